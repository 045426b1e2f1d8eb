"""Real libraries that load a model, as `bench.reader` has its ways: `python -m bench.loader LIBRARY`, by a Python that has it."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bench.reader import Taken, read_when_told
from bench.ways.common import shards_of


def load_safetensors(numpy_io: Any, directory: Path) -> int:  # noqa: ANN401 - a module
    """Every tensor of every shard, as arrays."""
    return sum(array.nbytes for shard in shards_of(directory) for array in numpy_io.load_file(shard).values())


def load_gguf(gguf: Any, directory: Path) -> int:  # noqa: ANN401 - a module
    """All tensors of a GGUF, copied out of its mapping."""
    (path,) = directory.glob("*.gguf")
    return sum(tensor.data.copy().nbytes for tensor in gguf.GGUFReader(os.fspath(path)).tensors)


def load_onnx(onnxruntime: Any, directory: Path) -> int:  # noqa: ANN401 - a module
    """A session of a model with external data, run once."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(os.fspath(directory / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return sum(array.nbytes for array in session.run(None, {}))


LIBRARIES: Final[dict[str, tuple[str, Callable[[Any, Path], int]]]] = {
    "safetensors": ("safetensors.numpy", load_safetensors),
    "gguf": ("gguf", load_gguf),
    "onnxruntime": ("onnxruntime", load_onnx),
}


def main() -> None:
    """Imports the library, then loads when told."""
    name, load = LIBRARIES[sys.argv[1]]
    library = import_module(name)
    read_when_told(lambda directory: Taken(load(library, directory)))


if __name__ == "__main__":
    main()
