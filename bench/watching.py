"""What a hook in its interpreter sees of our daemon: steps of its loop that keep others waiting, and reads by their size."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final

from bench.scene import Scene
from mkfs.units import KIB, MIB
from tests.support.mounting import SOURCE, Shell

_HOOK: Final = Path(__file__).with_name("hook")
_HEAD: Final = 4  # steps, long, longest_ns, longest_cpu_ns: as the hook has them
_SIZES: Final = 10  # of 1, 2, 4 … 512 pages of 4 KiB, the last with all that is larger
_ITEM_BYTES: Final = 8
_SECOND_NS: Final = 10**9


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen since the last look. A step is long beyond 10 ms; `reads` are counts: up to 4 KiB, up to 8 KiB and so on."""

    steps: int = 0
    long: int = 0
    longest_seconds: float = 0.0
    longest_cpu_seconds: float = 0.0
    reads: tuple[int, ...] = field(default=())

    @property
    def read_requests(self) -> int:
        """How many reads the kernel asked for."""
        return sum(self.reads)

    def histogram(self) -> str:
        """The reads in words: `12 × 128K, 3 × 1M`, each with the most that it asked for."""
        sizes = (4 * KIB << power for power in range(len(self.reads)))
        words = (
            f"{count} × {size // MIB}M" if size >= MIB else f"{count} × {size // KIB}K"
            for size, count in zip(sizes, self.reads, strict=True)
        )
        return ", ".join(word for word, count in zip(words, self.reads, strict=True) if count)


@final
class Watch:
    """Looks at what the hook writes. Made by `watched`."""

    def __init__(self, counts: memoryview) -> None:
        self._counts = counts

    def look(self) -> Seen:
        """What was seen since the last look, or since the daemon began; begins anew."""
        steps, long, longest_ns, longest_cpu_ns, *reads = self._counts
        for place in range(len(self._counts)):
            self._counts[place] = 0
        return Seen(steps, long, longest_ns / _SECOND_NS, longest_cpu_ns / _SECOND_NS, tuple(reads))


@contextmanager
def watched(scene: Scene) -> Iterator[tuple[Scene, Watch]]:
    """The same scene, whose daemons are watched, one at a time. It costs them a little."""
    counts = scene.directory / "counts"
    counts.write_bytes(bytes((_HEAD + _SIZES) * _ITEM_BYTES))
    environment = {**scene.shell.environment, "PYTHONPATH": f"{_HOOK}:{SOURCE}", "MKFS_BENCH_COUNTS": str(counts)}
    with counts.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped, memoryview(mapped) as view, view.cast("Q") as numbers:
        yield replace(scene, shell=Shell(scene.shell.home, environment)), Watch(numbers)
