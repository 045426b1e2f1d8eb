"""What a second read costs: of the same mount, and of a new mount that finds a warm cache."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.payload import push_payload
from bench.reading import drop_pages, files_below, opened, read_all, read_opened
from bench.report import Answer, Row
from bench.scene import Scene, program
from mkfs.units import GIB, format_size

_STOP_LIMIT_SECONDS: Final = 60.0  # a reader that needs a stopped daemon waits as long, and then the run fails


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """The same files again with our daemon stopped, and hashed from the disk by a new one; oras' files in the same turn."""
    payload = push_payload(scene, size_bytes)
    place = scene.pull(payload.artifact).place
    with scene.mounted(payload.kit):
        read_all(files_below(scene.mountpoint))  # fills the cache
    stopped, plain, hashing, checking, unhashed = [], [], [], [], []
    for _ in range(rounds):
        scene.settle()
        with scene.mounted(payload.kit) as mounted:
            paths = files_below(scene.mountpoint)
            started = perf_counter()
            read_all(paths)
            hashing.append(perf_counter() - started)
            with opened(paths) as files, _stopped(mounted.mount.pid):
                stopped.append(read_opened(files))
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
            plain.append(read_opened(files))
    scene.clear_pulled()
    scene.clear_cache()
    cached = Row("oras' files from the page cache", "s", plain, shape="{:.3f}")
    checked = Row("openssl dgst + read, from the disk", "s", checking)
    return Answer(
        "again",
        f"{format_size(payload.size_bytes)} in 4 raw shards and small files, read before",
        (
            Row("second read, daemon stopped", "s", stopped, cached, shape="{:.3f}"),
            cached,
            Row("new mount, warm cache: first read", "s", hashing, checked),
            checked,
            Row("read alone, from the disk", "s", unhashed),
            Row("new mount, warm cache: first read", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in hashing]),
            Row("openssl dgst + read, from the disk", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in checking]),
            Row("read alone, from the disk", "GiB/s", [payload.size_bytes / GIB / seconds for seconds in unhashed]),
        ),
        (
            "daemon stopped: by SIGSTOP, after the files were opened; so every byte came from the kernel's page cache",
            "first read of a new mount: every chunk is read past the page cache and hashed before it is answered",
            "oras' files were dropped from the page cache before they were hashed; the read after it finds them there",
        ),
    )


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """The process answers nobody for the length of the block. One that lasts too long fails the run instead of hanging it."""
    waited = threading.Event()

    def go_on() -> None:
        waited.set()
        os.kill(pid, signal.SIGCONT)

    alarm = threading.Timer(_STOP_LIMIT_SECONDS, go_on)
    alarm.start()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        alarm.cancel()
        os.kill(pid, signal.SIGCONT)
    if waited.is_set():
        raise AssertionError("a second read asked the daemon: not all of it was in the kernel's page cache")


def _openssl(paths: list[Path]) -> None:
    """Hashes the files as a careful person would; coreutils' sha256sum does not use the CPU's instructions for it."""
    subprocess.run([program("openssl"), "dgst", "-sha256", *paths], stdout=subprocess.DEVNULL, check=True)
