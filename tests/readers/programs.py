"""Real libraries that read a model, each in a process of its own, by a Python that has the library.

    python -m tests.readers.programs NAME DIRECTORY

says in JSON which version read, and what came of it: a digest of every tensor, the tokens, the numbers a model computed. What is
said of the mount must be what is said of the directory that was packed. Each library is imported by the program that needs it.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

Said = dict[str, str]

_TEXT: Final = "Readers should get exactly the bytes that were pushed: no more, no fewer, and none twice. 模型 🙂"
_SEED: Final = 7
_NEW_TOKENS: Final = 12


def safetensors_numpy(directory: Path) -> Said:
    """load_file: a mapping, and each tensor copied."""
    load_file = importlib.import_module("safetensors.numpy").load_file
    return _arrays(pair for shard in _shards(directory) for pair in load_file(shard).items())


def safetensors_numpy_pread(directory: Path) -> Said:
    """safe_open with the backend that reads each tensor by pread."""
    return _arrays(pair for shard in _shards(directory) for pair in _opened(shard, "np", backend="pread"))


def safetensors_slices(directory: Path) -> Said:
    """Half of each tensor after the other, as two ranks would take them."""
    safe_open = importlib.import_module("safetensors").safe_open
    said: Said = {}
    for shard in _shards(directory):
        with safe_open(shard, "np") as opened:
            for name in opened.keys():  # noqa: SIM118 - no dictionary
                part = opened.get_slice(name)
                length = (part.get_shape() or [0])[0]
                halves = [part[: length // 2], part[length // 2 :]] if length else [opened.get_tensor(name)]
                said |= _arrays((f"{name}/{number}", half) for number, half in enumerate(halves))
    return said


def gguf_tensors(directory: Path) -> Said:
    """All keys and tensors of a GGUF, out of gguf-py's numpy.memmap."""
    gguf = importlib.import_module("gguf")
    (path,) = directory.glob("*.gguf")
    reader = gguf.GGUFReader(str(path))
    fields = {f"field {name}": _digest(b"".join(part.tobytes() for part in field.parts)) for name, field in reader.fields.items()}
    return fields | _arrays((tensor.name, tensor.data) for tensor in reader.tensors)


def onnx_external(directory: Path) -> Said:
    """A session of a graph whose weights lie in a file beside it, each mapped; the graph hands all of them through."""
    session = _session(directory / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    return _arrays(zip(names, session.run(None, {}), strict=True))


def onnx_speech(directory: Path) -> Said:
    """Silero's detector of speech, weights in the graph's file, over three windows of a tone."""
    numpy = importlib.import_module("numpy")
    session = _session(directory / "silero_vad.onnx")
    state, said = numpy.zeros((2, 1, 128), numpy.float32), []
    for window in range(3):
        tone = numpy.sin(numpy.arange(576, dtype=numpy.float32) * (window + 1) / 9)[None]
        probability, state = session.run(None, {"input": tone, "state": state, "sr": numpy.array(16_000, numpy.int64)})
        said += [(f"probability {window}", probability), (f"state {window}", state)]
    return _arrays(said)


def tokenizers_encode(directory: Path) -> Said:
    """tokenizer.json, and the tokens of a text."""
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(directory / "tokenizer.json"))
    return {"tokens": str(tokenizer.encode(_TEXT).ids), "vocabulary": _digest(json.dumps(tokenizer.get_vocab(), sort_keys=True))}


def safetensors_torch(directory: Path) -> Said:
    """load_file of torch: the storage is a private mapping of the file, opened a second time."""
    load_file = importlib.import_module("safetensors.torch").load_file
    return _tensors(pair for shard in _shards(directory) for pair in load_file(shard).items())


def safetensors_torch_pread(directory: Path) -> Said:
    """safe_open of torch with preads."""
    return _tensors(pair for shard in _shards(directory) for pair in _opened(shard, "pt", backend="pread"))


def transformers_encoder(directory: Path, *, disable_mmap: bool = False) -> Said:
    """Tokenizer and model by `from_pretrained`, all parameters, and the hidden states of a text."""
    torch, transformers = _torch(), importlib.import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModel.from_pretrained(directory, disable_mmap=disable_mmap).eval()
    words = tokenizer(_TEXT, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**words).last_hidden_state
    return _tensors([*model.state_dict().items(), ("tokens", words["input_ids"]), ("hidden states", hidden)])


def transformers_causal(directory: Path, *, disable_mmap: bool = False) -> Said:
    """A Llama in shards, all parameters, and what it says to a seed: sampled, not the likeliest."""
    torch, transformers = _torch(), importlib.import_module("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, disable_mmap=disable_mmap).eval()
    torch.manual_seed(_SEED)
    prompt = torch.tensor([[1, 5, 9, 200]])
    tokens = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=True,
        max_new_tokens=_NEW_TOKENS,
        min_new_tokens=_NEW_TOKENS,
        pad_token_id=0,
    )
    with torch.no_grad():
        logits = model(prompt).logits
    return _tensors([*model.state_dict().items(), ("logits", logits)]) | {"generated": str(tokens.tolist())}


def accelerate_load(directory: Path) -> Said:
    """load_checkpoint_in_model: shard by shard."""
    torch, transformers = _torch(), importlib.import_module("transformers")
    accelerate = importlib.import_module("accelerate")
    with accelerate.init_empty_weights():
        model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(directory))
    accelerate.load_checkpoint_in_model(model, str(directory), device_map={"": "cpu"}, dtype=torch.bfloat16)
    return _tensors(model.state_dict().items())


def sentence_transformers_encode(directory: Path) -> Said:
    """The vector of a text."""
    _torch()
    model = importlib.import_module("sentence_transformers").SentenceTransformer(str(directory), device="cpu")
    return _arrays([("vector", model.encode(_TEXT))])


def torch_load(directory: Path, *, mapped: bool = True) -> Said:
    """torch.load of a zip file: its end first."""
    return _tensors(_torch().load(directory / "pytorch_model.bin", mmap=mapped, weights_only=True).items())


def runai_streamer(directory: Path) -> Said:
    """Run:ai's streamer on the CPU: 16 threads, reads of 2 MiB, over spans of all files."""
    _torch()
    streamer_of = importlib.import_module("runai_model_streamer").SafetensorsStreamer
    with streamer_of() as streamer:
        streamer.stream_files([str(shard) for shard in _shards(directory)])
        return _tensors((name, tensor.clone()) for name, tensor in streamer.get_tensors())


def write_llama(directory: Path) -> Said:
    """No reader: writes the Llama that the others read, from a seed, in shards, and the same once more as a zip file."""
    torch, transformers = _torch(), importlib.import_module("transformers")
    torch.manual_seed(_SEED)
    config = transformers.LlamaConfig(
        hidden_size=512, intermediate_size=1792, num_hidden_layers=12, num_attention_heads=8, num_key_value_heads=2, vocab_size=4096
    )
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
    (directory / "zip").mkdir()
    model.save_pretrained(directory / "shards", max_shard_size="20MB")
    torch.save(model.state_dict(), directory / "zip" / "pytorch_model.bin")
    return {}


def _shards(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.safetensors"))


def _opened(shard: Path, framework: str, **how: str) -> Iterable[tuple[str, Any]]:
    with importlib.import_module("safetensors").safe_open(shard, framework, **how) as opened:
        for name in opened.keys():  # noqa: SIM118 - no dictionary
            yield name, opened.get_tensor(name)


def _session(path: Path) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the same sums in the same order
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _torch() -> Any:
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)  # the same sums in the same order
    return torch


def _digest(data: bytes | str) -> str:
    return sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def _arrays(arrays: Iterable[tuple[str, Any]]) -> Said:
    return {name: f"{array.dtype} {array.shape} {_digest(array.tobytes())}" for name, array in arrays}


def _tensors(tensors: Iterable[tuple[str, Any]]) -> Said:
    byte = _torch().uint8

    def bytes_of(tensor: Any) -> bytes:
        data: bytes = tensor.detach().contiguous().reshape(-1).view(byte).numpy().tobytes()
        return data

    return {name: f"{tensor.dtype} {tuple(tensor.shape)} {_digest(bytes_of(tensor))}" for name, tensor in tensors}


# By name: the distribution whose version is told, and the program.
PROGRAMS: Final[dict[str, tuple[str, Callable[[Path], Said]]]] = {
    "safetensors-numpy": ("safetensors", safetensors_numpy),
    "safetensors-numpy-pread": ("safetensors", safetensors_numpy_pread),
    "safetensors-slices": ("safetensors", safetensors_slices),
    "gguf": ("gguf", gguf_tensors),
    "onnx-external": ("onnxruntime", onnx_external),
    "onnx-speech": ("onnxruntime", onnx_speech),
    "tokenizers": ("tokenizers", tokenizers_encode),
    "safetensors-torch": ("safetensors", safetensors_torch),
    "safetensors-torch-pread": ("safetensors", safetensors_torch_pread),
    "transformers-encoder": ("transformers", transformers_encoder),
    "transformers-encoder-whole": ("transformers", lambda directory: transformers_encoder(directory, disable_mmap=True)),
    "transformers-causal": ("transformers", transformers_causal),
    "transformers-causal-whole": ("transformers", lambda directory: transformers_causal(directory, disable_mmap=True)),
    "accelerate": ("accelerate", accelerate_load),
    "sentence-transformers": ("sentence-transformers", sentence_transformers_encode),
    "torch-load": ("torch", torch_load),
    "torch-load-whole": ("torch", lambda directory: torch_load(directory, mapped=False)),
    "runai": ("runai-model-streamer", runai_streamer),
    "write-llama": ("transformers", write_llama),
}


def main() -> None:
    """Reads, and tells."""
    distribution, read = PROGRAMS[sys.argv[1]]
    said = read(Path(sys.argv[2]))
    sys.stdout.write(json.dumps({"version": version(distribution), "said": said}))


if __name__ == "__main__":
    main()
