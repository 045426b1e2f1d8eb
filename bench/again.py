"""What a second read costs: of the same mount, and of a new mount that finds a warm cache."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from time import perf_counter
from typing import Final, final

from bench.payload import push_payload
from bench.reading import drop_pages, files_below, missing_pages, opened, read_all, read_opened
from bench.report import Answer, Row
from bench.scene import Failed, Scene, program
from mkfs.units import GIB, format_size
from tests.support.mounting import Mount

_RATIO: Final = 1.25  # of the native page cache's time: 0.8 times as fast
_STOP_LIMIT_SECONDS: Final = 20.0  # a reader that needs a stopped daemon waits as long
# A kernel may drop pages at any time that were not used for a while (DAMON does). Then a turn says nothing, and is repeated.
TRIES: Final = 5


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """The same files again with our daemon stopped, and hashed from the disk by a new one; oras' files in the same turn."""
    payload = push_payload(scene, size_bytes)
    place = scene.pull(payload.artifact).place
    with scene.mounted(payload.kit):
        read_all(files_below(scene.mountpoint))  # fills the cache
    ours_void, their_void = Voids(), Voids()
    again, plain, hashing, checking, unhashed = [], [], [], [], []
    for _ in range(rounds):
        scene.settle()
        with scene.mounted(payload.kit) as mounted:
            paths = files_below(scene.mountpoint)
            started = perf_counter()
            read_all(paths)
            hashing.append(perf_counter() - started)
            with opened(paths) as files:
                again.append(repeated(partial(_without_daemon, mounted.mount), files, ours_void))
        theirs = files_below(place)
        drop_pages(theirs)
        started = perf_counter()
        read_all(theirs)
        unhashed.append(perf_counter() - started)
        drop_pages(theirs)
        started = perf_counter()
        _openssl(theirs)
        read_all(theirs)
        checking.append(perf_counter() - started)
        with opened(theirs) as files:
            plain.append(repeated(_plainly, files, their_void))
    scene.clear_pulled()
    scene.clear_cache()
    cached = Row("oras' files from the page cache", "s", [turn.seconds for turn in plain], theirs=True, shape="{:.3f}")
    checked = Row("openssl dgst + read, from the disk", "s", checking, theirs=True)
    return Answer(
        "again",
        f"{format_size(payload.size_bytes)} in 4 raw shards and small files, read before",
        (
            Row("second read, daemon stopped", "s", [turn.seconds for turn in again], cached, ratio_limit=_RATIO, shape="{:.3f}"),
            Row("  FUSE requests in it", "", [turn.requests for turn in again], limit=0, shape="{:.0f}"),
            cached,
            Row("new mount, warm cache: first read", "s", hashing, checked),
            checked,
            Row("read alone, from the disk", "s", unhashed, theirs=True),
            Row("new mount, warm cache: first read", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in hashing]),
            Row(
                "openssl dgst + read, from the disk",
                "GiB/s",
                [payload.size_bytes / GIB / seconds for seconds in checking],
                theirs=True,
            ),
            Row("read alone, from the disk", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in unhashed], theirs=True),
        ),
        (
            "daemon stopped: by SIGSTOP, after the files were opened and cachestat(2) had found every page of them",
            "FUSE requests: those the kernel waits for at the end (fusectl); a stopped daemon has answered none",
            f"rounds: {rounds} counted; second reads of ours not counted: {ours_void}; of oras' files: {their_void}",
            "first read of a new mount: every chunk is read past the page cache and hashed before it is answered",
            "oras' files were dropped from the page cache before they were hashed; the read after it finds them there",
        ),
    )


@final
@dataclass(frozen=True, slots=True)
class Turn:
    """A read of files that are all in the page cache. `requests`: what a FUSE daemon was asked meanwhile."""

    seconds: float
    requests: int = 0


@final
class Voids:
    """Turns that were not counted, and why."""

    def __init__(self) -> None:
        self.missing: list[int] = []  # pages that the kernel had dropped before the read
        self.requests: list[int] = []  # made during the read, though all pages were there when it began

    def __str__(self) -> str:
        words = [str(len(self.missing) + len(self.requests))]
        if self.missing:
            words.append(f"pages dropped by the kernel before the read {', '.join(map(str, self.missing))}")
        if self.requests:
            words.append(f"requests for pages dropped during the read {', '.join(map(str, self.requests))}")
        return ", ".join(words)


def repeated(read: Callable[[Sequence[FileIO]], Turn], files: Sequence[FileIO], voids: Voids) -> Turn:
    """A turn that found every page of `files` there when it began, and asked for nothing.

    Otherwise reads what is missing, and tries again: a kernel that drops pages does it now and then, a defect shows every time, and
    then the last turn is the answer. Raises `Failed` where the pages were never all there.
    """
    asking: Turn | None = None
    for _ in range(TRIES):
        if missing := missing_pages(files):
            voids.missing.append(missing)
            read_opened(files)
            continue
        turn = read(files)
        if not turn.requests:
            return turn
        asking = turn
        voids.requests.append(turn.requests)
    if asking is None:
        raise Failed(f"the kernel dropped pages before each of {TRIES} reads ({voids})")
    voids.requests.pop()  # this one counts
    return asking


def _plainly(files: Sequence[FileIO]) -> Turn:
    return Turn(read_opened(files))


def _without_daemon(mount: Mount, files: Sequence[FileIO]) -> Turn:
    """Reads while the daemon answers nobody. One that asks it waits, and goes on after a while: its requests are counted before."""
    found: list[int] = []

    def go_on() -> None:
        found.append(mount.requests_waiting())
        os.kill(mount.pid, signal.SIGCONT)

    alarm = threading.Timer(_STOP_LIMIT_SECONDS, go_on)
    before = mount.requests_waiting()
    os.kill(mount.pid, signal.SIGSTOP)
    alarm.start()
    try:
        seconds = read_opened(files)
    finally:
        alarm.cancel()
        alarm.join()
        if not found:
            go_on()
    return Turn(seconds, found[0] - before)


def _openssl(paths: list[Path]) -> None:
    """Hashes the files as a careful person would; coreutils' sha256sum does not use the CPU's instructions for it."""
    subprocess.run([program("openssl"), "dgst", "-sha256", *paths], stdout=subprocess.DEVNULL, check=True)
