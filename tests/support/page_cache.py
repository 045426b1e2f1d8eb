"""What the kernel keeps of files, for tests that count on it."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MAP_LOCKED: Final = 0x2000  # mman.h of x86 and arm64, which Python does not name


@contextmanager
def kept(path: Path) -> Iterator[None]:
    """The kernel, which takes pages away when memory is short, keeps those of `path` for the length of the block (mlock(2)).
    Whoever opens the file anew still loses them, where a file system has it so. Nothing of it may have to come from a server in
    this process: whoever maps it waits with the lock of Python held.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED | _MAP_LOCKED, prot=mmap.PROT_READ):
        yield
