"""Fixtures of the tests with faults: those of the system tests, and file systems of their own for a cache."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.faults.inputs import Stand
from tests.support.mounting import Shell
from tests.system.conftest import registry, server, shell

__all__ = ["registry", "server", "shell"]  # fixtures are found by their names here

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounts a small disk for a cache: `disk("size=6m")`; its directory. Gone after the test."""
    with ExitStack() as stack:

        def mount(options: str) -> Path:
            place = tmp_path / "disk"
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "none", place], check=True)
            stack.callback(subprocess.run, ["umount", "--lazy", place], check=True)
            return place

        yield mount


@pytest.fixture
def stand(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> Stand:  # those above
    """A registry, and somebody who mounts what is pushed to it."""
    return Stand(registry, server, shell)


def drop_cached(place: Path) -> None:
    """Takes what the kernel has of a mount's files out of memory, so that the daemon is asked again."""
    for path in place.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
