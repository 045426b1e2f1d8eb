"""The file system of a mount: names, attributes and proven bytes of a forest, read-only.

Rules of this file: inside a tree every answer but `read` is synchronous and complete. What may have to wait in the top of a
repository (`vfs.top`) is asked for twice: `…_now` answers None where it would, and then the one without does. An ordinary refusal
is a `FileSystemError` with its errno, what a layer or the top's grove raises passes as it is. Nothing here knows FUSE: handles are
numbers, offsets in a directory are numbers.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, final

from msgspec import Struct

from mkfs.content.reads import Buffer
from mkfs.errors import FileSystemError
from mkfs.tree.nodes import Directory, File, Node, Symlink
from mkfs.units import KIB
from mkfs.vfs import xattrs
from mkfs.vfs.attributes import ENDLESS_SECONDS, MTIME_NS, Attributes, Ownership
from mkfs.vfs.contents import Content, content_of
from mkfs.vfs.forest import TREE_STRIDE, Forest, Planted
from mkfs.vfs.handles import Handles
from mkfs.vfs.waits import Waits

if TYPE_CHECKING:  # one artifact needs no top
    from mkfs.vfs.top import Entries, Top

_FRAGMENT_BYTES: Final = 4 * KIB  # the unit `df` counts in; a finer one says nothing to a person
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_TRUNC


@final
class Totals(Struct, frozen=True):
    """For `statfs`: what the whole mount holds. Nothing is free."""

    fragment_bytes: int
    fragments: int
    nodes: int


@final
@dataclass(frozen=True, slots=True)
class FileSystemStatistics:
    """A moment's counts, for `status`, metrics and tests."""

    open_files: int
    opens: int  # files since the beginning
    reads_now: int  # answered without waiting
    reads_waited: int  # that had to wait, those that still do included
    waiting: int  # of those, how many still do
    bytes_served: int
    reads_failed: int  # of those that waited


@final
class _Open(Struct, frozen=True, eq=False):
    """An open file."""

    content: Content
    inode: int


@final
class ModelFS:
    """One mount's file system. `ownership` is the same for all of it; `top` stands above its trees, where there are several. By
    `clock`, in seconds, is measured how long reads wait.
    """

    def __init__(
        self, forest: Forest, ownership: Ownership, top: "Top | None" = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._forest, self._ownership, self._top = forest, ownership, top
        self._files: Handles[_Open] = Handles()
        self._directories: Handles[tuple[tuple[bytes, int], ...]] = Handles()
        self.waits = Waits(clock)
        self._reads_now = self._reads_waited = self._reads_failed = self._bytes_served = 0

    def lookup_now(self, parent: int, name: bytes) -> Attributes | None:
        """The attributes of `name` in the directory `parent`; `.` and `..` are names as well (NFS asks for them). None where they
        have to be waited for.

        Raises `FileSystemError`: ENOENT, ENOTDIR, ESTALE; in the top also what `vfs.top.Grove` says.
        """
        top = self._top
        if top is not None:
            if parent < TREE_STRIDE:
                return top.lookup_now(parent, name)
            if top.is_closed(parent):
                return None
        return self._lookup(parent, name)

    async def lookup(self, parent: int, name: bytes) -> Attributes:
        """The same, waiting. Cancelling it leaves what others wait for alone. Raises as `lookup_now`, and `MkfsError`."""
        if self._top is not None:
            if parent < TREE_STRIDE:
                return await self._top.lookup(parent, name)
            await self._top.enter(parent)
        return self._lookup(parent, name)

    def absent_seconds(self, parent: int, name: bytes) -> float:
        """How long it may be believed that `parent` has no `name`, after `lookup` said so."""
        top = self._top_of(parent)
        return ENDLESS_SECONDS if top is None else top.absent_seconds(parent, name)

    def getattr(self, inode: int) -> Attributes:
        """The attributes of `inode`. Raises `FileSystemError` ESTALE."""
        top = self._top_of(inode)
        return self._attributes(*self._forest.locate(inode)) if top is None else top.getattr(inode)

    def listxattr(self, inode: int) -> tuple[bytes, ...]:
        """The names of the extended attributes of `inode` (`vfs.xattrs`); the top has none. Raises `FileSystemError` ESTALE."""
        if self._top_of(inode) is not None:
            return () if inode < TREE_STRIDE else (xattrs.DIGEST,)
        return xattrs.names(self._forest.locate(inode)[1])

    async def getxattr(self, inode: int, name: bytes) -> bytes:
        """An extended attribute of `inode`. May ask the disk. Raises `FileSystemError`: ENODATA, ESTALE."""
        top = self._top_of(inode)
        if top is not None:
            if name not in self.listxattr(inode):
                raise FileSystemError(errno.ENODATA, f"no attribute {name[:80]!r}")
            return str(top.digest_behind(inode)).encode()
        return await xattrs.value(*self._forest.locate(inode), name)

    def opendir_now(self, inode: int) -> int | None:
        """A handle on the listing of a directory as it is now; None where it has to be waited for.

        Raises `FileSystemError`: ENOTDIR, ESTALE.
        """
        top = self._top
        if top is not None:
            if inode < TREE_STRIDE:
                entries = top.opendir_now(inode)
                return None if entries is None else self._directories.add(tuple(entries))
            if top.is_closed(inode):
                return None
        return self._directories.add(tuple(self._listing(inode)))

    async def opendir(self, inode: int) -> int:
        """The same, waiting. Cancelling it leaves what others wait for alone. Raises as `opendir_now`, and as `vfs.top.Grove`."""
        if self._top is not None:
            if inode < TREE_STRIDE:
                return self._directories.add(tuple(await self._top.opendir(inode)))
            await self._top.enter(inode)
        return self._directories.add(tuple(self._listing(inode)))

    def readdir(self, handle: int, start: int) -> Iterator[tuple[int, bytes, Attributes]]:
        """Entries of an open directory from position `start` (0 is the first), each as (position after it, name, attributes).

        Raises `FileSystemError` EBADF.
        """
        entries = self._directories[handle]
        for position in range(start, len(entries)):
            name, inode = entries[position]
            yield position + 1, name, self.getattr(inode)

    def releasedir(self, handle: int) -> None:
        """Closes a directory. Raises `FileSystemError` EBADF."""
        self._directories.remove(handle)

    def readlink_now(self, inode: int) -> bytes | None:
        """The target of a symbolic link, never one that leads out of the mount; None where it has to be waited for.

        Raises `FileSystemError`: EINVAL, ESTALE; for the link of a tag also what `vfs.top.Grove` says.
        """
        top = self._top
        if top is not None:
            if inode < TREE_STRIDE:
                return top.readlink_now(inode)
            if top.is_closed(inode):
                raise FileSystemError(errno.EINVAL, f"inode {inode} is no symbolic link")
        return self._readlink(inode)

    async def readlink(self, inode: int) -> bytes:
        """The same, waiting. Cancelling it leaves what others wait for alone. Raises as `readlink_now`, and `MkfsError`."""
        if self._top is not None and inode < TREE_STRIDE:
            return await self._top.readlink(inode)
        return self._readlink(inode)

    def open(self, inode: int, flags: int) -> int:
        """A handle on a file. `flags` are those of the system call.

        Raises `FileSystemError`: EISDIR, ELOOP, ESTALE, and EROFS where `flags` ask for writing.
        """
        if flags & _WRITING:
            self.getattr(inode)
            raise FileSystemError(errno.EROFS, "a mounted model is read-only")
        if self._top_of(inode) is not None:
            self.getattr(inode)
            raise FileSystemError(errno.EISDIR, f"inode {inode} is no file")
        planted, node = self._forest.locate(inode)
        if isinstance(node, Directory):
            raise FileSystemError(errno.EISDIR, f"inode {inode} is a directory")
        if isinstance(node, Symlink):
            raise FileSystemError(errno.ELOOP, f"inode {inode} is a symbolic link")
        return self._files.add(_Open(content_of(node, planted.layers), inode))

    def read_now(self, handle: int, offset: int, length: int) -> Buffer | None:
        """Bytes `[offset, offset + length)` of an open file, fewer only at its end; None where they have to be waited for.

        Never blocks. Raises `FileSystemError` EBADF.
        """
        content = self._files[handle].content
        stop = min(offset + length, content.size_bytes)
        data = content.read_now(offset, stop) if offset < stop else b""
        if data is not None:
            self._reads_now += 1
            self._bytes_served += len(data)
        return data

    async def read(self, handle: int, offset: int, length: int) -> Buffer:
        """The same bytes, waiting for them. To be asked where `read_now` had none.

        Cancelling it leaves what others wait for alone. Raises `FileSystemError` EBADF and what the layer raises.
        """
        file = self._files[handle]
        stop = min(offset + length, file.content.size_bytes)
        if offset >= stop:
            return b""
        self._reads_waited += 1
        wait = self.waits.begin(file.inode, offset, stop, partial(file.content.obstacle, offset, stop))
        try:
            data = await file.content.read(offset, stop)
        except Exception:
            self._reads_failed += 1
            raise
        finally:
            self.waits.end(wait)
        self._bytes_served += len(data)
        return data

    def locate(self, inode: int) -> tuple[Planted, Node]:
        """The tree and node of `inode`, for whoever tells of its waits. Raises `FileSystemError` ESTALE."""
        return self._forest.locate(inode)

    def release(self, handle: int) -> None:
        """Closes a file. Reads that are under way keep what they need. Raises `FileSystemError` EBADF."""
        self._files.remove(handle)

    def statfs(self) -> Totals:
        """What the mount holds. The first call looks at every node."""
        size_bytes, nodes = self._forest.totals()
        return Totals(_FRAGMENT_BYTES, -(-size_bytes // _FRAGMENT_BYTES), nodes)

    def statistics(self) -> FileSystemStatistics:
        """A snapshot; cheap enough for every poll."""
        return FileSystemStatistics(
            open_files=len(self._files),
            opens=self._files.opened,
            reads_now=self._reads_now,
            reads_waited=self._reads_waited,
            waiting=self.waits.waiting,
            bytes_served=self._bytes_served,
            reads_failed=self._reads_failed,
        )

    def _top_of(self, inode: int) -> "Top | None":
        """The top, where it answers for `inode`: one of its own, or the door of a tree that nobody has gone into."""
        top = self._top
        return top if top is not None and (inode < TREE_STRIDE or top.is_closed(inode)) else None

    def _lookup(self, parent: int, name: bytes) -> Attributes:
        planted, directory = self._directory(parent)
        if name == b".." and directory.parent == directory.number and planted.above is not None:
            return self.getattr(planted.above)
        number = _find(planted, directory, name)
        if number is None:
            raise FileSystemError(errno.ENOENT, f"no {name[:80]!r} in inode {parent}")
        return self._attributes(planted, planted.tree.node(number))

    def _readlink(self, inode: int) -> bytes:
        _, node = self._forest.locate(inode)
        if not isinstance(node, Symlink):
            raise FileSystemError(errno.EINVAL, f"inode {inode} is no symbolic link")
        return node.target

    def _listing(self, inode: int) -> "Entries":
        planted, directory = self._directory(inode)
        is_root = directory.parent == directory.number
        parent = planted.above if is_root and planted.above is not None else planted.inode(directory.parent)
        entries = [(b".", inode), (b"..", parent)]
        entries += [(name, planted.inode(number)) for name, number in directory.children.items()]
        return entries

    def _directory(self, inode: int) -> tuple[Planted, Directory]:
        planted, node = self._forest.locate(inode)
        if not isinstance(node, Directory):
            raise FileSystemError(errno.ENOTDIR, f"inode {inode} is no directory")
        return planted, node

    def _attributes(self, planted: Planted, node: Node) -> Attributes:
        owner, inode = self._ownership, planted.inode(node.number)
        mtime_ns = node.mtime_ns or MTIME_NS
        if isinstance(node, File):
            return Attributes(inode, owner.file_mode(node.mode), node.size_bytes, owner.uid, owner.gid, mtime_ns=mtime_ns)
        if isinstance(node, Symlink):
            return Attributes(inode, owner.link_mode(), len(node.target), owner.uid, owner.gid, mtime_ns=mtime_ns)
        return Attributes(inode, owner.directory_mode(node.mode), 0, owner.uid, owner.gid, mtime_ns=mtime_ns)


def _find(planted: Planted, directory: Directory, name: bytes) -> int | None:
    if name == b".":
        return directory.number
    if name == b"..":
        return directory.parent
    return planted.tree.lookup(directory.number, name)
