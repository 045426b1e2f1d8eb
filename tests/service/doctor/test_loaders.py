"""What loaders are told, by the files of an artifact."""

import pytest

from mkfs.service.doctor.loaders import advise


def commands(*files: str) -> dict[str, str]:
    return {advice.loader: advice.command for advice in advise(files)}


def test_nothing_known_is_everything_told() -> None:
    told = {advice.loader: advice for advice in advise(None)}
    assert list(told) == ["vLLM", "SGLang", "transformers", "TensorRT-LLM", "llama.cpp", "ONNX Runtime", "Triton"]
    assert told["vLLM"].command == "HF_HUB_OFFLINE=1 vllm serve DIR --safetensors-load-strategy=prefetch"
    assert told["SGLang"].command.endswith("--model-path DIR --weight-loader-prefetch-checkpoints")
    assert "disable_mmap=True" in told["transformers"].command
    assert told["llama.cpp"].command == "llama-server -m DIR/FILE.gguf --mmap"
    assert all(advice.reason for advice in told.values())


def test_files_that_no_loader_reads_are_told_nothing_about() -> None:
    assert commands("README.md", "Kitfile") == {}


@pytest.mark.parametrize(
    ("files", "directory"),
    [
        (("model.safetensors",), "DIR"),
        (("weights/a.safetensors", "weights/b.safetensors", "adapter/c.safetensors"), "DIR/weights"),
        (("b/x/1.safetensors", "a/1.safetensors"), "DIR/a"),
        (("my model/1.safetensors",), "DIR/'my model'"),
    ],
)
def test_the_directory_of_most_shards_is_the_model(files: tuple[str, ...], directory: str) -> None:
    told = commands(*files)
    assert set(told) == {"vLLM", "SGLang", "transformers", "TensorRT-LLM"}
    assert f"vllm serve {directory} " in told["vLLM"]


def test_of_split_files_the_first_is_named() -> None:
    files = [f"q4-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert [advice.command for advice in advise([*files, "small.gguf"])] == [
        "llama-server -m DIR/q4-00001-of-00003.gguf --mmap",
        "llama-server -m DIR/small.gguf --mmap",
    ]


def test_a_model_repository_of_triton() -> None:
    told = commands("models/bert/config.pbtxt", "models/bert/1/model.onnx")
    assert told["Triton"] == "tritonserver --model-repository=DIR/models"
    assert told["ONNX Runtime"] == 'onnxruntime.InferenceSession("DIR/models/bert/1/model.onnx")'
    assert commands("bert/config.pbtxt")["Triton"] == "tritonserver --model-repository=DIR"
    assert "Triton" not in commands("config.pbtxt")
