"""All ways, by the names that the measurements give them: a letter and number of the set they were chosen from, and what varies."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, final

from bench.gguf import read_header
from bench.ways import calls, faults, names
from bench.ways.common import Take
from mkfs.units import KIB


class _Read(Protocol):
    def __call__(self, directory: Path, take: Take, /) -> None: ...


class _Share(Protocol):
    def __call__(self, directory: Path, take: Take, /, *, rank: int) -> None: ...


@final
@dataclass(frozen=True, slots=True)
class Way:
    """How somebody reads a model. `processes` at the same time, each its share; `share` gets the number of the process."""

    what: str
    share: _Share
    processes: int = 1


def gguf_header(directory: Path, take: Take) -> None:
    """Value after value through a buffer of the file system's block size: `gguf_init_from_file`."""
    (path,) = directory.glob("*.gguf")
    parts: list[bytes] = []
    with path.open("rb") as file:

        def read(size_bytes: int) -> bytes:
            parts.append(file.read(size_bytes))
            return parts[-1]

        read_header(read)
    take(path, 0, memoryview(b"".join(parts)))


def _alone(read: _Read) -> _Share:
    def share(directory: Path, take: Take, /, *, rank: int) -> None:  # noqa: ARG001 - there is one
        read(directory, take)

    return share


def _random(how: str, read: Callable[..., None]) -> dict[str, Way]:
    return {
        f"k-{how}-{size_bytes // KIB}k-{threads}": Way(
            f"{calls.RANDOM_READS} {how}s of {size_bytes // KIB} KiB at random, {threads} at a time",
            _alone(partial(read, read_bytes=size_bytes, threads=threads)),
        )
        for size_bytes in (4 * KIB, 128 * KIB)
        for threads in (1, 16)
    }


WAYS: Final[dict[str, Way]] = {
    "a1-1": Way("files in blocks of 16 MiB", _alone(partial(calls.in_blocks, threads=1))),
    "a1-4": Way("files in blocks of 16 MiB, 4 at a time", _alone(partial(calls.in_blocks, threads=4))),
    "a1-8": Way("files in blocks of 16 MiB, 8 at a time", _alone(partial(calls.in_blocks, threads=8))),
    "a2-1": Way("whole files by one read", _alone(partial(calls.whole, threads=1))),
    "a2-4": Way("whole files by one read, 4 at a time", _alone(partial(calls.whole, threads=4))),
    "a3": Way("MADV_POPULATE_READ in windows of 64 MiB", _alone(faults.populated)),
    "b": Way("header of every shard, mapped", _alone(faults.headers)),
    "b2": Way("GGUF header", _alone(gguf_header)),
    "c-1": Way("mapped tensors in key order", _alone(partial(faults.key_order, threads=1))),
    "c-4": Way("mapped tensors in key order, 4 at a time", _alone(partial(faults.key_order, threads=4))),
    "c-32": Way("mapped tensors in key order, 32 at a time", _alone(partial(faults.key_order, threads=32))),
    "c2": Way("mapped tensors of all shards in natural order, 4 at a time", _alone(faults.natural_order)),
    "d-6": Way("mapped tensors in any order, 6 at a time", _alone(partial(faults.shuffled, threads=6))),
    "d-32": Way("mapped tensors in any order, 32 at a time", _alone(partial(faults.shuffled, threads=32))),
    "e-2": Way("2 ranks, each half of every tensor", partial(faults.tensor_parallel, ranks=2), processes=2),
    "e-4": Way("4 ranks, each a quarter of every tensor", partial(faults.tensor_parallel, ranks=4), processes=4),
    "e-8": Way("8 ranks, each an eighth of every tensor", partial(faults.tensor_parallel, ranks=8), processes=8),
    "f1": Way("FADV_SEQUENTIAL, MAP_POPULATE, WILLNEED", _alone(faults.populated_at_once)),
    "f2": Way("seek and read of tensors, the largest first", _alone(calls.tensor_by_tensor)),
    "f2-direct": Way("O_DIRECT in blocks of 64 MiB", _alone(calls.staged)),
    "g": Way("16 spans at a time in reads of 2 MiB", _alone(calls.in_spans)),
    "h-16": Way("O_DIRECT in blocks of 8 MiB, 16 at a time", _alone(partial(calls.direct, depth=16))),
    "h2": Way("pread of 16 MiB, a thread for each file", _alone(calls.one_thread_per_file)),
    "i": Way("a descriptor for each tensor, reads of 128 KiB", _alone(calls.a_file_per_tensor)),
    "j": Way("tensors by preads of 32 MiB, 4 at a time", _alone(calls.in_batches)),
    **_random("pread", calls.at_random),
    **_random("fault", faults.at_random),
    "l": Way("a mapping for each tensor", _alone(faults.a_mapping_per_tensor)),
    "m": Way("everything listed 16 times, 25 names looked for in vain", _alone(names.polled)),
    "n": Way("the tail of each file, then its tensors", _alone(calls.from_the_tail)),
    "all-8": Way("8 processes, each all files in blocks of 16 MiB", _alone(partial(calls.in_blocks, threads=1)), processes=8),
}
