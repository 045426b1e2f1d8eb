"""Who reads: real libraries with the model each reads, and engines whose way of reading is replayed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Home(StrEnum):
    """Where a reader is installed: the name of the variable that says so. The readers of the tests' own Python need none."""

    TESTS = ""
    READERS = "READERS"
    LLAMA = "READERS_LLAMA"
    TORCH = "READERS_TORCH"


@dataclass(frozen=True)
class Reader:
    """A library (`program` of tests.readers.programs; of llama.cpp, its mode), what it reads, and how."""

    library: str
    program: str
    model: str
    way: str
    home: Home = Home.TESTS


@dataclass(frozen=True)
class Replay:
    """What an engine does, as ways of bench.ways that read at the same time. `ordinary`: also in the ordinary suite."""

    engine: str
    ways: tuple[str, ...]
    ordinary: bool = False


READERS: Final[Mapping[str, Reader]] = {
    "safetensors load_file": Reader("safetensors", "safetensors-numpy", "minilm", "mmap, numpy"),
    "safetensors pread": Reader("safetensors", "safetensors-numpy-pread", "minilm", 'backend="pread", numpy'),
    "safetensors shards": Reader("safetensors", "safetensors-numpy", "shards", "mmap, numpy, 8 shards"),
    "safetensors slices": Reader("safetensors", "safetensors-slices", "shards", "get_slice, halves of tensors"),
    "gguf of F16": Reader("gguf", "gguf", "shards", "numpy.memmap"),
    "gguf of Q4_1": Reader("gguf", "gguf", "smollm2", "numpy.memmap", Home.READERS),
    "onnxruntime external data": Reader("onnxruntime", "onnx-external", "onnx", "a mapping for each weight", Home.READERS),
    "onnxruntime one file": Reader("onnxruntime", "onnx-speech", "silero", "protobuf, reads of 4 MiB", Home.READERS),
    "tokenizers": Reader("tokenizers", "tokenizers", "minilm", "one read", Home.READERS),
    "llama.cpp mmap": Reader("llama.cpp", "mmap", "smollm2", "MAP_POPULATE", Home.LLAMA),
    "llama.cpp no mmap": Reader("llama.cpp", "read", "smollm2", "seek and read of each tensor", Home.LLAMA),
    "llama.cpp direct": Reader("llama.cpp", "direct", "smollm2", "O_DIRECT", Home.LLAMA),
    "safetensors torch": Reader("safetensors", "safetensors-torch", "llama", "mmap, torch", Home.TORCH),
    "safetensors torch pread": Reader("safetensors", "safetensors-torch-pread", "llama", 'backend="pread", torch', Home.TORCH),
    "transformers encoder": Reader("transformers", "transformers-encoder", "minilm", "mmap", Home.TORCH),
    "transformers encoder whole": Reader("transformers", "transformers-encoder-whole", "minilm", "disable_mmap=True", Home.TORCH),
    "transformers llama": Reader("transformers", "transformers-causal", "llama", "mmap, 4 threads over all shards", Home.TORCH),
    "transformers llama whole": Reader("transformers", "transformers-causal-whole", "llama", "disable_mmap=True", Home.TORCH),
    "accelerate": Reader("accelerate", "accelerate", "llama", "mmap, shard by shard", Home.TORCH),
    "sentence-transformers": Reader("sentence-transformers", "sentence-transformers", "minilm", "mmap", Home.TORCH),
    "torch.load mmap": Reader("torch", "torch-load", "zip", "mmap=True", Home.TORCH),
    "torch.load": Reader("torch", "torch-load-whole", "zip", "mmap=False", Home.TORCH),
    "Run:ai streamer": Reader("runai-model-streamer", "runai", "llama", "16 threads, reads of 2 MiB", Home.TORCH),
}

REPLAYS: Final[Mapping[str, Replay]] = {
    "vLLM prefetch": Replay("vLLM --safetensors-load-strategy=prefetch, loader beside it", ("a1-8", "c-1"), ordinary=True),
    "vLLM default": Replay("vLLM, default (lazy)", ("c-1",)),
    "vLLM threads": Replay("vLLM, enable_multithread_load", ("c-4",)),
    "vLLM eager": Replay("vLLM --safetensors-load-strategy=eager", ("a2-1",)),
    "vLLM 2 ranks": Replay("vLLM, TGI: 2 ranks", ("e-2",)),
    "vLLM 4 ranks": Replay("vLLM, TGI: 4 ranks", ("e-4",)),
    "vLLM 8 ranks": Replay("vLLM, TGI: 8 ranks", ("e-8",), ordinary=True),
    "vLLM 8 ranks eager": Replay("8 ranks, each all files", ("all-8",)),
    "SGLang prefetch": Replay("SGLang --weight-loader-prefetch-checkpoints, loader beside it", ("a1-4", "d-32")),
    "SGLang default": Replay("SGLang, default (up to 32 threads)", ("d-32",), ordinary=True),
    "SGLang shards": Replay("SGLang, many shards at a time", ("c-32",)),
    "SGLang whole": Replay("SGLang --weight-loader-disable-mmap", ("a2-4",)),
    "diffusers": Replay("diffusers, 6 threads on one mapping", ("d-6",)),
    "one stream": Replay("cp, cat, one prefetching thread", ("a1-1",)),
    "TensorRT-LLM": Replay("TensorRT-LLM, whole files then the loader", ("a2-4", "c-4")),
    "TensorRT-LLM populate": Replay("TensorRT-LLM, MADV_POPULATE_READ", ("a3",)),
    "fastsafetensors": Replay("fastsafetensors, a thread for each file", ("h2",)),
    "InstantTensor": Replay("InstantTensor, O_DIRECT 16 deep", ("h-16",), ordinary=True),
    "Run:ai": Replay("vLLM, SGLang --load-format runai_streamer", ("g",)),
    "headers": Replay("transformers, TGI: all headers first", ("b",)),
    "transformers": Replay("transformers, 4 threads over all shards", ("c2",)),
    "llama.cpp": Replay("llama.cpp, default", ("f1",)),
    "llama.cpp no mmap": Replay("llama.cpp --no-mmap", ("f2",)),
    "llama.cpp direct": Replay("llama.cpp, direct I/O", ("f2-direct",)),
    "GGUF header": Replay("gguf_init_from_file", ("b2",)),
    "ONNX Runtime": Replay("ONNX Runtime, external data", ("l",)),
    "ollama": Replay("ollama's engine", ("i",)),
    "MLX": Replay("MLX", ("j",)),
    "torch.load": Replay("torch.load of zip files", ("n",)),
    "Triton": Replay("Triton, polling", ("m",)),
    "NUMA 1": Replay("llama.cpp with NUMA, faults at random", ("k-fault-4k-1",)),
    "NUMA 16": Replay("the same by 16 threads", ("k-fault-4k-16", "k-fault-128k-16")),
    "random": Replay("random preads", ("k-pread-4k-1", "k-pread-128k-1", "k-fault-128k-1")),
    "random 16": Replay("random preads by 16 threads", ("k-pread-4k-16", "k-pread-128k-16")),
}
