"""What is asked of many processes over one cache: each byte from the origin once, whatever becomes of one of them.

A cell is a node in a directory of its own, a number of daemons, and a case: all mount the same kit, or kits of their own that share
layers; or one of them is killed, or stopped and continued later, in the middle of receiving a layer that all others wait for.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mkfs.oci.digest import Digest
from mkfs.testing.bodies import SeededBody
from mkfs.testing.faults import Fault, Match, Stall
from mkfs.testing.kits import Directory, Kit, KitBuilder
from tests.faults.oracle import judge_words
from tests.support.comparing import Compared
from tests.support.kit_parts import layer_at
from tests.support.mounting import Mount, ended
from tests.support.node import Node, Reader, node

RATIO: Final = 1.05  # what may come from the origin, of the distinct bytes
FIRST: Final = "a-first.bin"  # by its name the first that every reader reads
_HELD_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Sizes:
    """Of the layers: the one that is received when a process is killed or stopped, of which it has `held_bytes` then; the one that
    all kits share with it; and the one that only one kit has.
    """

    first_bytes: int
    shared_bytes: int
    own_bytes: int
    held_bytes: int


@dataclass(frozen=True)
class Result:
    """What a cell came to."""

    case: str
    processes: int
    distinct_bytes: int
    origin_bytes: int  # all that the registry sent: layers, headers, configs, manifests
    victim_bytes: int  # of these, what the requests under way brought to the process that was killed or stopped
    read_bytes: int
    wrong_bytes: int
    errors: Sequence[str]  # of readers that had to get everything
    staged: Sequence[str]  # what `cache prune` leaves in staging
    logged: Sequence[str]  # tracebacks and secrets in the daemons' logs
    seconds: float

    @property
    def ratio(self) -> float:
        """The origin's bytes to the distinct ones."""
        return self.origin_bytes / self.distinct_bytes

    @property
    def misses(self) -> list[str]:
        """What is not as promised."""
        found = [f"{self.wrong_bytes} wrong bytes"] if self.wrong_bytes else []
        found += self.errors
        if self.ratio > RATIO:
            found.append(f"the origin sent {self.ratio:.3f} of the distinct bytes")
        found += self.logged
        if self.staged:
            found.append(f"left in staging: {', '.join(self.staged)}")
        return found


Reports = list[Compared]


def same(here: Node, processes: int, sizes: Sizes) -> tuple[Reports, int]:
    """Everybody mounts and reads the same kit at the same moment."""
    return _read_all(here, here.mount([here.push("team/kit", _kit(sizes))] * processes)), 0


def different(here: Node, processes: int, sizes: Sizes) -> tuple[Reports, int]:
    """Everybody has a kit and a repository of his own; two of its layers are in all of them."""
    references = [here.push(f"team-{number}/kit", _kit(sizes, number)) for number in range(processes)]
    return _read_all(here, here.mount(references)), 0


def killed(here: Node, processes: int, sizes: Sizes) -> tuple[Reports, int]:
    """The one that all others wait for dies."""
    victim = _Victim.receiving(here, sizes)
    readers = victim.waited_for_by(processes - 1)
    os.kill(victim.mount.pid, signal.SIGKILL)
    assert ended(victim.mount.pid)
    victim.stall.release()
    assert victim.reader.report()["wrong_bytes"] == 0  # nothing but errors: its mount is gone
    return [reader.report() for reader in readers], victim.sent_bytes()


def stopped(here: Node, processes: int, sizes: Sizes) -> tuple[Reports, int]:
    """The one that all others wait for stands still until they are done, and goes on then."""
    victim = _Victim.receiving(here, sizes)
    readers = victim.waited_for_by(processes - 1)
    os.kill(victim.mount.pid, signal.SIGSTOP)
    victim.stall.release()
    reports = [reader.report() for reader in readers]
    assert not victim.reader.is_done()
    os.kill(victim.mount.pid, signal.SIGCONT)
    return [*reports, victim.reader.report()], victim.sent_bytes()


Case = Callable[[Node, int, Sizes], tuple[Reports, int]]
CASES: Final[dict[str, Case]] = {"same": same, "different": different, "killed": killed, "stopped": stopped}


def run(directory: Path, case: str, processes: int, sizes: Sizes) -> Result:
    """Runs one cell in `directory`, which must be there."""
    started = time.monotonic()
    with node(directory) as here:
        reports, victim_bytes = CASES[case](here, processes, sizes)
        seconds = time.monotonic() - started
        pruned = here.shell.run("cache", "prune")
        assert pruned.exit_code == 0, pruned
        return Result(
            case=case,
            processes=processes,
            distinct_bytes=here.distinct_bytes,
            origin_bytes=here.registry.bytes_sent(),
            victim_bytes=victim_bytes,
            read_bytes=sum(report["read_bytes"] for report in reports),
            wrong_bytes=sum(report["wrong_bytes"] for report in reports),
            errors=[f"{path}: {error}" for report in reports for path, error in report["errors"].items()],
            staged=here.staged(),
            logged=list(misspoken(here.directory / "home")),
            seconds=seconds,
        )


def misspoken(home: Path) -> Iterator[str]:
    """What the logs of the mounts in `home` have that nobody should read."""
    for log in home.glob("mnt*.log"):
        try:
            judge_words(log.read_text("utf-8", "replace"), log.name)
        except AssertionError as failure:
            yield f"{type(failure).__name__}: {failure}"


def _kit(sizes: Sizes, owner: int = 0) -> Kit:
    """Three layers of weights, one of them as tar, and a small one. `owner` numbers what is its own."""
    builder = KitBuilder("many", seed=owner).raw(FIRST, SeededBody(1, sizes.first_bytes))
    half = sizes.shared_bytes // 2
    builder.part("shared", Directory({"1.bin": SeededBody(2, half), "2.bin": SeededBody(3, half)}))
    builder.part("z-own.bin", SeededBody(1000 + owner, sizes.own_bytes), raw=True)
    return builder.docs("README.md", f"# kit {owner}\n".encode()).build()


def _read_all(here: Node, mounts: Sequence[Mount]) -> Reports:
    return [reader.report() for reader in [here.reader(mount) for mount in mounts]]


@dataclass(frozen=True)
class _Victim:
    """A process in the middle of receiving the first layer: it has `Sizes.held_bytes` of it, no more come until `stall` goes."""

    here: Node
    reference: str
    first: Digest
    mount: Mount
    reader: Reader
    stall: Stall

    @classmethod
    def receiving(cls, here: Node, sizes: Sizes) -> "_Victim":
        kit = _kit(sizes)
        reference, first, stall = here.push("team/kit", kit), layer_at(kit, FIRST).digest, Stall(sizes.held_bytes)
        here.registry.faults.install(Fault(Match("GET", digest=first), stall, times=1))
        (mount,) = here.mount([reference])
        reader = here.reader(mount)
        assert stall.gate.wait_until_held(timeout_seconds=_HELD_SECONDS)
        return cls(here, reference, first, mount, reader, stall)

    def waited_for_by(self, others: int) -> list[Reader]:
        """The readers of so many other mounts, all of whom wait."""
        mounts = self.here.mount([self.reference] * others)
        readers = [self.here.reader(mount) for mount in mounts]
        deadline = time.monotonic() + _HELD_SECONDS
        while not all(mount.requests_waiting() for mount in mounts):
            assert time.monotonic() < deadline
            time.sleep(_POLL_SECONDS)  # nobody tells when a request is queued
        return readers

    def sent_bytes(self) -> int:
        """What its one request brought, or left in its sockets."""
        return self.here.registry.requests(self.first)[0].sent_bytes
