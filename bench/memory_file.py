"""The least that a pyfuse3 program can do: one file, whose bytes are in memory. `python -m bench.memory_file MOUNTPOINT BYTES`.

It says `ready` once it is mounted, with the kernel's knobs turned as ours are, and ends when somebody unmounts it.
"""

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final, final

import pyfuse3
import trio

from mkfs.fuse.connection import tune
from mkfs.fuse.mountinfo import mount_at
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import SeededBody

NAME: Final = b"file"
_INODE: Final = pyfuse3.InodeT(pyfuse3.ROOT_INODE + 1)
_ENDLESS_SECONDS: Final = 3600


@final
class OneFile(pyfuse3.Operations):
    """A directory with one file. Whoever opens it finds the pages that the kernel has."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = memoryview(data)
        self.ready = trio.Event()

    def init(self) -> None:
        """The kernel shakes hands."""
        self.ready.set()

    async def getattr(self, inode: pyfuse3.InodeT, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:  # noqa: ARG002 - pyfuse3's
        """Of the directory or the file."""
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = pyfuse3.ModeT(stat.S_IFREG | 0o444 if inode == _INODE else stat.S_IFDIR | 0o555)
        entry.st_size = len(self._data) if inode == _INODE else 0
        entry.entry_timeout = entry.attr_timeout = _ENDLESS_SECONDS
        return entry

    async def lookup(self, parent_inode: pyfuse3.InodeT, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """The file."""
        if (parent_inode, name) != (pyfuse3.ROOT_INODE, NAME):
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(_INODE, ctx)

    async def open(self, inode: pyfuse3.InodeT, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:  # noqa: ARG002 - pyfuse3's
        """Keeps what the kernel has."""
        return pyfuse3.FileInfo(fh=pyfuse3.FileHandleT(inode), keep_cache=True)

    async def read(self, fh: pyfuse3.FileHandleT, off: int, size: int) -> bytes:  # noqa: ARG002 - pyfuse3's
        """A piece of memory, without a copy of ours."""
        return self._data[off : off + size]  # type: ignore[return-value]  # pyfuse3 takes any buffer


async def _serve(operations: OneFile, place: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_say_ready, operations, place)
        await pyfuse3.main()


async def _say_ready(operations: OneFile, place: Path) -> None:
    await operations.ready.wait()
    mount = mount_at(place)
    assert mount is not None
    tune(mount.device)
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def main() -> None:
    """Mounts and serves."""
    place, size_bytes = Path(sys.argv[1]), int(sys.argv[2])
    operations = OneFile(SeededBody(1, size_bytes).read(ByteRange(0, size_bytes)))
    pyfuse3.init(operations, os.fspath(place), {"fsname=bench", "ro", "default_permissions"})
    try:
        trio.run(_serve, operations, place)
    finally:
        pyfuse3.close(unmount=False)


if __name__ == "__main__":
    main()
