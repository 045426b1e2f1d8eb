"""One reader before a mount, three times: nothing in the cache; again, on the same mount; on a new mount of what the first left.

Each time it must say what it says of the directory that was packed, and the registry's log must show every byte sent once at most:
the ranges that were sent do not overlap, and after the first reading nothing is sent again. What a mount looks at for names before
it is ready, the first and last KiBs of a layer, is the exception that docs/ARCHITECTURE.md names ("A mount"). The mount counts its
own reads (`kitfs status`): none failed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from bench.processes import anonymous_memory
from mkfs.oci.digest import Digest
from mkfs.testing.kits import Kit
from mkfs.testing.registry import MemoryRegistry
from mkfs.units import KIB, MIB
from tests.faults.oracle import judge_words
from tests.support.mounting import Mount, Shell

Said = TypeVar("Said")

# Of the daemon's own memory. 45 MiB is usual while it idles; buffers and windows of files this small come to less than the rest.
MEMORY_CAP_BYTES: Final = 256 * MIB
_LOOK_BYTES: Final = 64 * KIB  # of a layer, for its names, at most


@dataclass(frozen=True)
class Reading:
    """What one reading cost: bytes and requests of layers (the first time, since the mount began), reads that the kernel asked the
    daemon for, and the most memory of its own that the daemon had.
    """

    sent_bytes: int
    requests: int
    kernel_reads: int
    memory_bytes: int


@dataclass(frozen=True)
class Trial:
    """All three."""

    total_bytes: int  # of all layers
    cold: Reading
    warm: Reading
    again: Reading

    def cells(self) -> list[str]:
        """As the page shows them."""
        cold = (
            f"{self.cold.sent_bytes / MIB:.1f} of {self.total_bytes / MIB:.1f} MiB, {self.cold.requests} requests,"
            f" {self.cold.kernel_reads} reads"
        )
        others = [f"{each.sent_bytes} B, {each.kernel_reads} reads" for each in (self.warm, self.again)]
        return [cold, *others, f"{max(each.memory_bytes for each in (self.cold, self.warm, self.again)) / MIB:.0f}"]


def tried(shell: Shell, registry: MemoryRegistry, reference: str, kit: Kit, read: Callable[[Path], Said], expected: Said) -> Trial:
    """Lets `read` read three times. Fails the test where it says another thing than `expected`."""
    counter = _Counter(registry, kit)
    with shell.mounted(reference) as mount:
        counter.note_looks()
        cold = counter.reading(mount, read, expected)
        warm = counter.reading(mount, read, expected)
        _judge(mount)
    with shell.mounted(reference, place=shell.new_place("again")) as mount:
        counter.note_looks()
        again = counter.reading(mount, read, expected)
        _judge(mount)
    twice, trial = counter.sent_twice(), Trial(sum(layer.body.size_bytes for layer in kit.layers), cold, warm, again)
    assert not twice, twice
    assert (warm.sent_bytes, again.sent_bytes) == (0, 0), trial
    assert max(reading.memory_bytes for reading in (cold, warm, again)) < MEMORY_CAP_BYTES, trial
    return trial


class _Counter:
    def __init__(self, registry: MemoryRegistry, kit: Kit) -> None:
        self._registry = registry
        self._layers = {layer.digest: layer.body.size_bytes for layer in kit.layers}
        self._sent_bytes = self._requests = 0
        self._seen: dict[Digest, int] = {}  # requests up to the last reading
        self._looks: dict[Digest, int] = {}  # of layers that are not fetched yet: how many requests a mount looked at them with

    def reading(self, mount: Mount, read: Callable[[Path], Said], expected: Said) -> Reading:
        before = _report(mount)["reads"]
        with anonymous_memory(mount.pid) as peak:
            said = read(mount.place)
        assert said == expected, f"{said} instead of {expected}"
        after = _report(mount)["reads"]
        answered = [reads["answered_at_once"] + reads["waited"] for reads in (before, after)]
        sent, requests = self._counted()
        found = Reading(sent - self._sent_bytes, requests - self._requests, answered[1] - answered[0], peak.size_bytes)
        self._sent_bytes, self._requests = sent, requests
        self._seen = {digest: len(self._registry.requests(digest)) for digest in self._layers}
        return found

    def note_looks(self) -> None:
        """A mount is ready: what was sent of a layer until now is a look, where it was not all. Fails the test where it was
        more than a look, or of a layer that the cache has.
        """
        for digest, size_bytes in self._layers.items():
            served = self._registry.requests(digest)
            new = sum(each.sent_bytes for each in served[self._seen.get(digest, 0) :])
            if sum(each.sent_bytes for each in served) < size_bytes:
                assert new <= _LOOK_BYTES, served
                self._looks[digest] = len(served)
            else:
                assert digest not in self._seen or not new, served
        if self._seen:
            self._sent_bytes, self._requests = self._counted()

    def sent_twice(self) -> list[str]:
        """Layers of which a byte was sent more than once."""
        twice = []
        for digest in self._layers:
            served = [each for each in self._registry.requests(digest)[self._looks.get(digest, 0) :] if each.sent_bytes]
            runs = sorted((each.range.start if each.range else 0, each.sent_bytes) for each in served)
            if any(start + length > follower for (start, length), (follower, _) in pairwise(runs)):
                twice.append(f"{digest}: {runs}")
        return twice

    def _counted(self) -> tuple[int, int]:
        served = [each for digest in self._layers for each in self._registry.requests(digest)]
        return sum(each.sent_bytes for each in served), len(served)


def _report(mount: Mount) -> dict[str, dict[str, int]]:
    ran = mount.shell.run("status", mount.place, "--format", "json")
    assert ran.exit_code == 0, ran
    report: dict[str, dict[str, int]] = json.loads(ran.stdout)["report"]
    return report


def _judge(mount: Mount) -> None:
    report = _report(mount)
    assert (report["reads"]["failed"], report["errors"]) == (0, []), report
    judge_words(mount.log_file.read_text("utf-8"), str(mount.log_file))
