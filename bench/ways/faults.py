"""Ways that map files and wait for page faults."""

import json
import mmap
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.ways.calls import read_places
from bench.ways.common import Mapping, Take, Tensor, in_threads, mappings, natural, parse_header, shards_of, tensors_of
from mkfs.units import MIB

_MADV_POPULATE_READ: Final = 22  # madvise(2), since Linux 5.14; Python 3.11 has no name for it
_WINDOW_BYTES: Final = 64 * MIB  # TensorRT-LLM
_LENGTH_BYTES: Final = 8


def populated(directory: Path, take: Take) -> None:
    """Windows of 64 MiB, each populated by one madvise: TensorRT-LLM."""
    for shard in shards_of(directory):
        with shard.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as mapped:
            for start in range(0, len(mapped), _WINDOW_BYTES):
                count = min(_WINDOW_BYTES, len(mapped) - start)
                mapped.madvise(_MADV_POPULATE_READ, start, count)
                _take_mapped(shard, mapped, start, start + count, take)


def headers(directory: Path, take: Take) -> None:
    """The header of every shard out of a mapping of it, then the index: transformers, TGI."""
    for shard in shards_of(directory):
        with shard.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapped:
            length = int.from_bytes(mapped[:_LENGTH_BYTES], "little")
            parse_header(shard, mapped[_LENGTH_BYTES : _LENGTH_BYTES + length])
            _take_mapped(shard, mapped, 0, _LENGTH_BYTES + length, take)
    index = directory / "model.safetensors.index.json"
    data = index.read_bytes()
    json.loads(data)
    take(index, 0, memoryview(data))


def key_order(directory: Path, take: Take, *, threads: int) -> None:
    """Shard by shard, tensors in the order of their names: vLLM, safetensors."""
    for shard in shards_of(directory):
        _copied(sorted(tensors_of(shard), key=lambda tensor: tensor.name), threads, take)


def natural_order(directory: Path, take: Take) -> None:
    """All headers first, then all tensors of all shards in the order of the layers, on 4 threads: transformers."""
    tensors = [tensor for shard in shards_of(directory) for tensor in tensors_of(shard)]
    _copied(sorted(tensors, key=lambda tensor: natural(tensor.name)), 4, take)


def shuffled(directory: Path, take: Take, *, threads: int) -> None:
    """Shard by shard, tensors in any order by many threads on one mapping: SGLang, diffusers."""
    chosen = random.Random(threads)
    for shard in shards_of(directory):
        tensors = tensors_of(shard)
        chosen.shuffle(tensors)
        _copied(tensors, threads, take)


def tensor_parallel(directory: Path, take: Take, *, ranks: int, rank: int) -> None:
    """The share of one of `ranks` processes: of every second tensor a run of rows, of the others a run of every row.

    As vLLM's column and row parallel layers, and TGI's `get_partial_sharded`.
    """
    with mappings(shards_of(directory)) as mapped:
        for shard, mapping in mapped.items():
            for number, tensor in enumerate(sorted(tensors_of(shard), key=lambda tensor: tensor.name)):
                if number % 2 == 0 or tensor.is_vector:
                    part = _cut(tensor.size_bytes, ranks, rank)
                    mapping.copy(tensor.start + part.start, tensor.start + part.stop, take)
                else:
                    mapping.copy_columns(tensor, _cut(tensor.size_bytes // tensor.rows, ranks, rank), take)


def populated_at_once(directory: Path, take: Take) -> None:
    """FADV_SEQUENTIAL, then a shared mapping that is populated when it is made, then WILLNEED: llama.cpp."""
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    for shard in shards_of(directory):
        with shard.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            with mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ) as mapped:
                mapped.madvise(mmap.MADV_WILLNEED)
                _take_mapped(shard, mapped, 0, len(mapped), take)


def a_mapping_per_tensor(directory: Path, take: Take) -> None:
    """For every tensor the file opened, the pages around it mapped, and the file closed: ONNX Runtime's external data."""
    for shard in shards_of(directory):
        for tensor in tensors_of(shard):
            first = tensor.start - tensor.start % mmap.ALLOCATIONGRANULARITY
            with shard.open("rb") as file:
                mapped = mmap.mmap(
                    file.fileno(), tensor.stop - first, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=first
                )
            with mapped:
                take(shard, tensor.start, memoryview(mapped[tensor.start - first :]))


def at_random(directory: Path, take: Take, *, read_bytes: int, threads: int) -> None:
    """Faults at 200 random places, of which the kernel was told (MADV_RANDOM): llama.cpp on NUMA."""
    with mappings(shards_of(directory)) as mapped:
        for mapping in mapped.values():
            mapping.memory.madvise(mmap.MADV_RANDOM)
        read: Callable[[Path, int], None] = lambda path, start: mapped[path].copy(start, start + read_bytes, take)  # noqa: E731 - typed
        read_places(directory, threads, read_bytes, read)


def _cut(size_bytes: int, ranks: int, rank: int) -> slice:
    """The part of a rank; the last one has what does not divide."""
    step = size_bytes // ranks
    return slice(rank * step, size_bytes if rank == ranks - 1 else (rank + 1) * step)


def _copied(tensors: Sequence[Tensor], threads: int, take: Take) -> None:
    with mappings(sorted({tensor.path for tensor in tensors})) as mapped:
        in_threads(threads, lambda tensor: _copy(mapped[tensor.path], tensor, take), tensors)


def _copy(mapping: Mapping, tensor: Tensor, take: Take) -> None:
    mapping.copy(tensor.start, tensor.stop, take)


def _take_mapped(path: Path, mapped: mmap.mmap, start: int, stop: int, take: Take) -> None:
    with memoryview(mapped) as view, view[start:stop] as data:
        take(path, start, data)
