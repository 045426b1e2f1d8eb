"""What a read costs when the mount's pages were dropped: with the cache's files in the page cache, and on the disk only."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Final, final

from bench.memory_file import NAME
from bench.payload import push_payload
from bench.processes import Cpu
from bench.reading import drop_pages, files_below, missing_pages, opened, read_all, read_opened
from bench.report import Answer, Row
from bench.scene import Failed, Scene, program
from mkfs.units import GIB, format_size
from tests.support.mounting import SOURCE

_MEMORY_RATIO: Final = 0.9  # the in-memory file's time by ours
_DISK_RATIO: Final = 0.8  # openssl's time by ours
_CPU_SECONDS: Final = 0.7  # per GiB
_LARGE_BYTES: Final = 1 << 20  # files of the cache beyond it are layers
_END_SECONDS: Final = 20
_TRIES: Final = 20
_TRY_SECONDS: Final = 0.05


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """One mount that has received and proven everything; the two states and their peers take turns."""
    payload = push_payload(scene, size_bytes)
    place = scene.pull(payload.artifact).place
    scene.clear_cache()
    cached, disk, memory, hashed = list[_Turn](), list[_Turn](), list[_Turn](), list[float]()
    with scene.mounted(payload.kit) as mounted, _memory_file(scene, payload.size_bytes) as (peer, peer_pid):
        mine, pid = files_below(scene.mountpoint), mounted.mount.pid
        read_all(mine)
        read_ahead = {_read_ahead_kib(scene.mountpoint), _read_ahead_kib(peer.parent)}
        for _ in range(rounds):
            scene.settle()
            memory.append(_turn(peer_pid, [peer], [], there=True))
            read_all(_stored(scene))
            cached.append(_turn(pid, mine, _stored(scene), there=True))
            _drop(_stored(scene))
            disk.append(_turn(pid, mine, _stored(scene), there=False))
            hashed.append(_openssl(files_below(place)))
    scene.clear_pulled()
    scene.clear_cache()
    gibs = payload.size_bytes / GIB
    state_a = Row("(a) cache in the page cache", "s", [turn.seconds for turn in cached], shape="{:.3f}")
    state_b = Row("(b) cache on the disk only", "s", [turn.seconds for turn in disk])
    return Answer(
        "warm",
        f"{format_size(payload.size_bytes)}, received and proven by this mount, whose pages were dropped before each read",
        (
            state_a,
            Row(
                "in-memory file, pyfuse3",
                "s",
                [turn.seconds for turn in memory],
                state_a,
                least_ratio=_MEMORY_RATIO,
                theirs=True,
                shape="{:.3f}",
            ),
            state_b,
            Row("O_DIRECT read into openssl", "s", hashed, state_b, least_ratio=_DISK_RATIO, theirs=True),
            Row("(a)", "GiB/s", [gibs / turn.seconds for turn in cached]),
            Row("in-memory file, pyfuse3", "GiB/s", [gibs / turn.seconds for turn in memory], theirs=True),
            Row("(b)", "GiB/s", [gibs / turn.seconds for turn in disk]),
            Row("O_DIRECT read into openssl", "GiB/s", [gibs / seconds for seconds in hashed], theirs=True),
            Row("(a): daemon, CPU", "s/GiB", [turn.cpu_seconds / gibs for turn in cached], limit=_CPU_SECONDS),
            Row("in-memory file: its process, CPU", "s/GiB", [turn.cpu_seconds / gibs for turn in memory], theirs=True),
            Row("(b): daemon, CPU", "s/GiB", [turn.cpu_seconds / gibs for turn in disk]),
            Row("(a): missing pages of the cache before", "", [turn.missing for turn in cached], limit=0, shape="{:.0f}"),
        ),
        (
            "pages of the mount: dropped by POSIX_FADV_DONTNEED on its files; cachestat(2) found none of them before each read",
            "(a): the cache's files were read right before, which keeps their pages; (b): dropped in the same way, none found",
            f"read_ahead_kb: {', '.join(map(str, sorted(read_ahead)))}, ours and the in-memory file's",
            "in-memory file: as large as all of ours, a slice of one buffer for each request, same knobs of the kernel",
            "O_DIRECT: `dd iflag=direct bs=8M | openssl dgst -sha256`, file after file, of the files that oras pulled",
        ),
    )


@final
@dataclass(frozen=True, slots=True)
class _Turn:
    seconds: float
    cpu_seconds: float  # the daemon's
    missing: int  # pages of the cache before the read


def _turn(pid: int, mine: list[Path], stored: list[Path], *, there: bool) -> _Turn:
    """Reads the mount's files, with the cache's where they should be. Raises `Failed` where they are not."""
    _drop(mine)
    with opened(stored) as files:
        missing = missing_pages(files)
    if not there and missing < sum(map(_pages, stored)):
        raise Failed("the kernel keeps pages of the cache's files")
    before = Cpu.of(pid)
    with opened(mine) as files:
        seconds = read_opened(files)
    return _Turn(seconds, Cpu.of(pid).since(before).seconds, missing if there else 0)


def _stored(scene: Scene) -> list[Path]:
    """The files of the cache that hold layers."""
    return [path for path in files_below(scene.shell.cache) if path.stat().st_size > _LARGE_BYTES]


def _drop(paths: list[Path]) -> None:
    """Lets the kernel forget the files. Raises `Failed` where it keeps pages however often it is told: somebody may be reading."""
    kept = 0
    for _ in range(_TRIES):
        os.sync()
        drop_pages(paths)
        with opened(paths) as files:
            kept = sum(map(_pages, paths)) - missing_pages(files)
        if not kept:
            return
        sleep(_TRY_SECONDS)
    raise Failed(f"the kernel keeps {kept} pages")


def _pages(path: Path) -> int:
    return -(-path.stat().st_size // mmap.PAGESIZE)


@contextmanager
def _memory_file(scene: Scene, size_bytes: int) -> Iterator[tuple[Path, int]]:
    """A file in memory, mounted by a small program of its own, and the id of its process."""
    place = scene.directory / "memory"
    place.mkdir()
    root = Path(__file__).resolve().parents[1]
    environment = {**scene.shell.variables(), "PYTHONPATH": f"{SOURCE}:{root}"}
    command: list[str | Path] = [sys.executable, "-m", "bench.memory_file", place, str(size_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise Failed("the in-memory file was not mounted")
            yield place / os.fsdecode(NAME), process.pid
        finally:
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
            process.wait(_END_SECONDS)
    place.rmdir()


def _read_ahead_kib(place: Path) -> int:
    device = place.stat().st_dev
    return int(Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").read_text("ascii"))


def _openssl(paths: list[Path]) -> float:
    """Seconds to read files past the page cache and hash them."""
    started = perf_counter()
    for path in paths:
        with subprocess.Popen(["dd", f"if={path}", "iflag=direct", "bs=8M", "status=none"], stdout=subprocess.PIPE) as reading:
            subprocess.run([program("openssl"), "dgst", "-sha256"], stdin=reading.stdout, stdout=subprocess.DEVNULL, check=True)
    return perf_counter() - started
