"""Ways that read by system calls: read, pread, O_DIRECT."""

import mmap
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from bench.ways.common import Take, Tensor, in_threads, shards_of, tensors_of
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB

_BLOCK_BYTES: Final = 16 * MIB  # vLLM, SGLang, fastsafetensors
_SPANS: Final = 16  # Run:ai's threads
_SPAN_READ_BYTES: Final = 2 * MIB
_DIRECT_BYTES: Final = 8 * MIB  # InstantTensor
_STAGED_BYTES: Final = 64 * MIB  # llama.cpp
_SMALL_READ_BYTES: Final = 128 * KIB  # ollama
_BATCH_BYTES: Final = 32 * MIB  # MLX
_ALIGNMENT_BYTES: Final = 4 * KIB
_TAIL_BYTES: Final = 64 * KIB  # in which the directory of a zip file is looked for
RANDOM_READS: Final = 200


class Short(Exception):
    """Fewer bytes came than are there: some readers end at that, others go on with garbage."""


def in_blocks(directory: Path, take: Take, *, threads: int) -> None:
    """Whole files, 16 MiB at a time, so many files at once: vLLM's and SGLang's prefetch."""

    def read(path: Path) -> None:
        buffer, at = memoryview(bytearray(_BLOCK_BYTES)), 0
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                take(path, at, buffer[:count])
                at += count

    in_threads(threads, read, shards_of(directory))


def whole(directory: Path, take: Take, *, threads: int) -> None:
    """Each file by one read: transformers with `disable_mmap`, TensorRT-LLM's prefetch."""
    in_threads(threads, lambda path: take(path, 0, memoryview(path.read_bytes())), shards_of(directory))


def in_spans(directory: Path, take: Take) -> None:
    """All files end to end, cut into 16 spans, each read in order by a thread in pieces of 2 MiB: Run:ai's streamer."""
    shards = [(path, path.stat().st_size) for path in shards_of(directory)]
    total = sum(size for _, size in shards)
    step = -(-total // _SPANS)

    def read(span: ByteRange) -> None:
        base = 0
        for path, size in shards:
            wanted = span.overlap(ByteRange(base, base + size))
            if wanted.length:
                _read_in_pieces(path, wanted.start - base, wanted.stop - base, _SPAN_READ_BYTES, take)
            base += size

    in_threads(_SPANS, read, ByteRange(0, total).pieces(step))


def direct(directory: Path, take: Take, *, depth: int) -> None:
    """O_DIRECT in aligned blocks of 8 MiB, so many on their way at once, over the unaligned end of each file: InstantTensor."""
    for shard in shards_of(directory):
        size = shard.stat().st_size
        descriptor = os.open(shard, os.O_RDONLY | os.O_DIRECT)
        in_threads(depth, partial(_read_direct, shard, descriptor, take), ByteRange(0, size).pieces(_DIRECT_BYTES))
        os.close(descriptor)


def one_thread_per_file(directory: Path, take: Take) -> None:
    """Pread of 16 MiB, a thread for each file, where a short read is the end: fastsafetensors."""

    def read(path: Path) -> None:
        size = path.stat().st_size
        descriptor = os.open(path, os.O_RDONLY)
        for wanted in ByteRange(0, size).pieces(_BLOCK_BYTES):
            _pread(path, descriptor, take, wanted)
        os.close(descriptor)

    shards = shards_of(directory)
    in_threads(len(shards), read, shards)


def a_file_per_tensor(directory: Path, take: Take) -> None:
    """A descriptor of its own for every tensor, read in pieces of 128 KiB, as many threads as cores: ollama."""

    def read(tensor: Tensor) -> None:
        _read_in_pieces(tensor.path, tensor.start, tensor.stop, _SMALL_READ_BYTES, take)

    in_threads(os.cpu_count() or 1, read, [tensor for shard in shards_of(directory) for tensor in tensors_of(shard)])


def in_batches(directory: Path, take: Take) -> None:
    """Each tensor by preads of up to 32 MiB on 4 threads: MLX."""
    for shard in shards_of(directory):
        descriptor = os.open(shard, os.O_RDONLY)
        jobs = [wanted for tensor in tensors_of(shard) for wanted in ByteRange(tensor.start, tensor.stop).pieces(_BATCH_BYTES)]
        in_threads(4, partial(_pread, shard, descriptor, take), jobs)
        os.close(descriptor)


def tensor_by_tensor(directory: Path, take: Take) -> None:
    """Seek and read of whole tensors, the largest first: llama.cpp without mmap."""
    for shard in shards_of(directory):
        with shard.open("rb") as file:
            for tensor in sorted(tensors_of(shard), key=lambda tensor: tensor.size_bytes, reverse=True):
                file.seek(tensor.start)
                take(shard, tensor.start, memoryview(file.read(tensor.size_bytes)))


def staged(directory: Path, take: Take) -> None:
    """O_DIRECT in blocks of 64 MiB, one after another: llama.cpp with direct I/O."""
    for shard in shards_of(directory):
        size = shard.stat().st_size
        descriptor = os.open(shard, os.O_RDONLY | os.O_DIRECT)
        for block in ByteRange(0, size).pieces(_STAGED_BYTES):
            _read_direct(shard, descriptor, take, block)
        os.close(descriptor)


def from_the_tail(directory: Path, take: Take) -> None:
    """The end first, where a zip file has its directory, then record by record: torch.load."""
    for shard in shards_of(directory):
        size = shard.stat().st_size
        with shard.open("rb") as file:
            start = max(size - _TAIL_BYTES, 0)
            file.seek(start)
            take(shard, start, memoryview(file.read()))
            for tensor in tensors_of(shard):
                file.seek(tensor.start)
                take(shard, tensor.start, memoryview(file.read(tensor.size_bytes)))


def at_random(directory: Path, take: Take, *, read_bytes: int, threads: int) -> None:
    """200 preads at random places: the worst case."""
    read_places(directory, threads, read_bytes, lambda path, start: _pread_once(path, start, read_bytes, take))


def read_places(directory: Path, threads: int, read_bytes: int, read: Callable[[Path, int], None]) -> None:
    """Calls `read` for places that are the same in every run, and fit in their files."""
    chosen, shards = random.Random(read_bytes), shards_of(directory)
    places = []
    for _ in range(RANDOM_READS):
        path = chosen.choice(shards)
        places.append((path, chosen.randrange((path.stat().st_size - read_bytes) // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES))
    in_threads(threads, lambda place: read(*place), places)


def _pread_once(path: Path, start: int, size_bytes: int, take: Take) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    _pread(path, descriptor, take, ByteRange(start, start + size_bytes))
    os.close(descriptor)


def _pread(path: Path, descriptor: int, take: Take, wanted: ByteRange) -> None:
    data = os.pread(descriptor, wanted.length, wanted.start)
    if len(data) != wanted.length:
        raise Short(f"{len(data)} of {wanted.length} bytes at {wanted.start}")
    take(path, wanted.start, memoryview(data))


def _read_in_pieces(path: Path, start: int, stop: int, read_bytes: int, take: Take) -> None:
    """One after another, by a descriptor of its own."""
    buffer = memoryview(bytearray(read_bytes))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < stop:
            count = file.readinto(buffer[: min(read_bytes, stop - start)])
            if not count:
                raise Short(f"the file ends at {start}, expected {stop}")
            take(path, start, buffer[:count])
            start += count


def _read_direct(path: Path, descriptor: int, take: Take, block: ByteRange) -> None:
    """A block by O_DIRECT, into aligned memory; the last one ends where the file does, and is asked for up to a whole page."""
    with mmap.mmap(-1, block.length + -block.length % _ALIGNMENT_BYTES) as memory:
        count = os.preadv(descriptor, [memory], block.start)
        if count != block.length:
            raise Short(f"{count} of {block.length} bytes at {block.start}")
        with memoryview(memory) as view, view[:count] as data:
            take(path, block.start, data)
