"""The model files that several tests of this room read."""

import pytest

from tests.tensors.model_files import ModelFile, gguf_model, safetensors_model, seeded

FEW = {"b": seeded(3, 5), "a": seeded(7), "layers.10.w": seeded(40), "layers.2.w": seeded(2, 2, 2)}
MAKERS = {
    "safetensors": lambda path: safetensors_model(path, **FEW),
    "safetensors of several types": lambda path: safetensors_model(
        path,
        {"format": "pt", "note": '"data_offsets":[1,2] {'},
        a=seeded(5, dtype="int8"),
        b=seeded(6, dtype="int64"),
        c=seeded(7, dtype="float16"),
    ),
    "safetensors without tensors": safetensors_model,
    "gguf": lambda path: gguf_model(path, **FEW),
    "gguf of several types": lambda path: gguf_model(
        path, a=seeded(4, 34, dtype="uint8"), b=seeded(6, dtype="float16"), c=seeded(9)
    ),
    "gguf aligned to a page": lambda path: gguf_model(path, alignment=4096, **FEW),
    "gguf hardly aligned": lambda path: gguf_model(path, alignment=8, **FEW),
    "gguf without tensors": gguf_model,
}


@pytest.fixture(scope="session", params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """One file after the other, as its library writes it."""
    return MAKERS[request.param](tmp_path_factory.mktemp("models") / "file")
