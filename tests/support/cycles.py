"""Mounts again and again: mount, read, unmount, and look at what is left. One long-living parent runs them all."""

import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mkfs.testing.kits import Kit
from mkfs.testing.registry import MemoryRegistry
from mkfs.units import KIB, MIB
from tests.support.kit_parts import wrong_files
from tests.support.leftovers import left_behind
from tests.support.mounting import Shell, wait_for

WAYS: Final = ("background", "foreground")
LIMIT_BYTES: Final = MIB  # what the parent may grow by: a leak of 1 KiB in each of a thousand cycles is more
WARM_UP: Final = 3  # cycles after which the parent has loaded all that it will
_END_SECONDS: Final = 60
_RSS: Final = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


@dataclass
class Report:
    """What so many cycles of one way came to. Numbers of the parent and of the daemons are those of the first and the last cycle
    (of the parent, after `WARM_UP`).
    """

    way: str
    cycles: int = 0
    wrong: int = 0  # files with other bytes than they should have, or mounts that failed
    left: list[str] = field(default_factory=list)  # mounts, processes, temporary and staged files, locks, lines of the mount table
    parent_files: list[int] = field(default_factory=list)
    parent_bytes: list[int] = field(default_factory=list)
    daemon_files: list[int] = field(default_factory=list)
    daemon_bytes: list[int] = field(default_factory=list)

    @property
    def grown_bytes(self) -> int:
        """By how much the parent grew."""
        return self.parent_bytes[-1] - self.parent_bytes[0]

    @property
    def misses(self) -> list[str]:
        """What is not as it should be."""
        found = self.left[:5]
        if self.wrong:
            found.append(f"{self.wrong} wrong files or failed mounts")
        if self.parent_files[-1] != self.parent_files[0]:
            found.append(f"{self.parent_files[-1] - self.parent_files[0]} descriptors more in the parent")
        if self.grown_bytes > LIMIT_BYTES:
            found.append(f"{self.grown_bytes // KIB} KiB more in the parent")
        if self.daemon_files[-1] > self.daemon_files[0]:
            found.append("a daemon has more descriptors than the first")
        return found


def run(shell: Shell, registry: MemoryRegistry, reference: str, kit: Kit, way: str, cycles: int) -> Report:
    """Runs `cycles` cycles of one of `WAYS`, after `WARM_UP` of them; stops at the first that leaves something."""
    report, place = Report(way), shell.new_place(way)
    lines = len(shell.mounts())
    for number in range(WARM_UP + cycles):
        daemon_files, daemon_bytes, wrong = (_behind if way == "background" else _before)(shell, reference, kit, place)
        registry.log.clear()  # of the parent's own: it would remember every request
        left = left_behind(shell)
        left += [f"{path} in its place" for path in place.iterdir()]
        left += ["lines in the mount table"] * (len(shell.mounts()) != lines)
        report.wrong += wrong
        report.left += [f"cycle {number + 1}: {each}" for each in left]
        if number >= WARM_UP or left:
            report.cycles += 1
            _note(report.daemon_files, daemon_files)
            _note(report.daemon_bytes, daemon_bytes)
            wait_for(_registry_is_idle)
            _note(report.parent_files, len(os.listdir("/proc/self/fd")))
            _note(report.parent_bytes, _rss_bytes("self"))
        if left:
            break
    return report


def _behind(shell: Shell, reference: str, kit: Kit, place: Path) -> tuple[int, int, int]:
    """A cycle with a daemon: its descriptors, its memory, and what was wrong."""
    mounted = shell.run("mount", reference, place)
    daemons = shell.processes()
    if mounted.exit_code or len(daemons) != 1:
        return 0, 0, 1
    seen = _seen(shell, daemons[0], place, kit)
    return *seen[:2], seen[2] + (shell.run("umount", place).exit_code != 0)


def _before(shell: Shell, reference: str, kit: Kit, place: Path) -> tuple[int, int, int]:
    """A cycle with a mount in the foreground, ended as with Ctrl-C."""
    with shell.start("mount", reference, place, "--foreground") as process:
        assert process.stderr is not None
        if not any(" mounted at " in line for line in process.stderr):
            return 0, 0, 1
        seen = _seen(shell, process.pid, place, kit)
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        return *seen[:2], seen[2] + (process.returncode != 0)


def _seen(shell: Shell, pid: int, place: Path, kit: Kit) -> tuple[int, int, int]:
    wrong = len(wrong_files(place, kit))
    wait_for(lambda: not shell.is_busy())  # it may still import what it needs later
    return len(os.listdir(f"/proc/{pid}/fd")), _rss_bytes(pid), wrong


def _registry_is_idle() -> bool:
    """Whether the registry, which is in this process, has closed its end of all connections. It does so after the clients."""
    return not any("process_request_thread" in thread.name for thread in threading.enumerate())


def _note(numbers: list[int], number: int) -> None:
    numbers[1:] = [number]  # the first and the last; of the first alone, both
    numbers[:] = numbers if len(numbers) == 2 else [number, number]


def _rss_bytes(pid: int | str) -> int:
    found = _RSS.search(Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * KIB if found else 0
