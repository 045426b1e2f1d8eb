"""pyfuse3's requests, answered by a `ModelFS`. Thin on purpose: this file knows timeouts and errnos, the file system the rest.

Errors. A handler may raise nothing but `FUSEError`: anything else would end pyfuse3's main loop and with it the mount. So what
any of them raises is translated in one place (`Operations.refusal`), which `requests.answered` calls for all but `lookup`, where
ENOENT is an answer, and `read`, which comes too often for a coroutine more. A reader learns only an errno, so what is no ordinary
answer is logged.
"""

import errno
import logging
import math
import os
from collections.abc import Sequence
from typing import Final, final

import pyfuse3
import trio
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, ReaddirToken, RequestContext, StatvfsData

from mkfs.content.reads import Buffer
from mkfs.errors import Closing, FileSystemError, MkfsError
from mkfs.fuse.requests import Requests, answered
from mkfs.fuse.waiting import Waiting
from mkfs.tree.paths import NAME_LIMIT_BYTES
from mkfs.vfs.attributes import Attributes
from mkfs.vfs.model_fs import ModelFS

log = logging.getLogger(__name__)

# The root's attributes alone are asked for again, on any walk through it. So all paths of a mount whose process died answer
# ENOTCONN; from cached attributes they would look alive until something is opened. Costs one small request a second while in use.
ROOT_SECONDS: Final = 1


@final
class Operations(pyfuse3.Operations):
    """One per mount. What is not here (access, flush, fsync …) is ENOSYS in the base class, which the kernel takes for good: it
    does not ask again, and reports what a file system without the feature reports. So are extended attributes unless `xattr` asks
    for them: `ls -l` wants two of every file, and nobody caches them (10,000 files: 0.13 s without, 1.1 s with).
    """

    supports_dot_lookup = True
    enable_writeback_cache = False

    def __init__(self, file_system: ModelFS, read_timeout_seconds: float, *, xattr: bool = False) -> None:
        super().__init__()
        self._xattr = xattr
        self._fs = file_system
        self._read_timeout_seconds = read_timeout_seconds
        self.waiting = Waiting()
        self._direct: set[int] = set()  # handles opened with O_DIRECT
        self._last_words = ""  # of the last refusal logged
        self.requests = Requests()
        self.ready = trio.Event()  # set while INIT is answered: whoever wakes up finds a mount that serves

    def init(self) -> None:
        """The kernel shakes hands."""
        self.ready.set()

    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:  # noqa: ARG002 - pyfuse3's signature
        """A name's attributes, or an entry that lets the kernel remember that there is none."""
        try:
            found = self._fs.lookup_now(parent_inode, name)
            entry = _entry(await self._fs.lookup(parent_inode, name) if found is None else found)
        except Exception as error:  # noqa: BLE001 - see the rules above
            refusal = self.refusal(error)
            self.requests.refused("lookup", refusal.errno)
            if isinstance(error, FileSystemError) and error.errno == errno.ENOENT:
                return _no_entry(self._fs.absent_seconds(parent_inode, name))
            raise refusal from None
        self.requests.answered("lookup")
        return entry

    @answered
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:  # noqa: ARG002 - pyfuse3's signature
        """An inode's attributes."""
        return _entry(self._fs.getattr(inode))

    @answered
    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        """The value of an extended attribute."""
        if not self._xattr:
            return await super().getxattr(inode, name, ctx)
        return await self._fs.getxattr(inode, name)

    @answered
    async def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        """The names of an inode's extended attributes."""
        if not self._xattr:
            return await super().listxattr(inode, ctx)
        return self._fs.listxattr(inode)

    @answered
    async def readlink(self, inode: int, ctx: RequestContext) -> bytes:  # noqa: ARG002 - pyfuse3's signature
        """Where a symbolic link leads."""
        target = self._fs.readlink_now(inode)
        return await self._fs.readlink(inode) if target is None else target

    @answered
    async def opendir(self, inode: int, ctx: RequestContext) -> int:  # noqa: ARG002 - pyfuse3's signature
        """A handle for `readdir`."""
        fh = self._fs.opendir_now(inode)
        return await self._fs.opendir(inode) if fh is None else fh

    @answered
    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        """Names and attributes in one answer (readdirplus), so that `ls -l` costs no look-up."""
        for position, name, attributes in self._fs.readdir(fh, start_id):
            if not pyfuse3.readdir_reply(token, name, _entry(attributes), position):
                return

    @answered
    async def releasedir(self, fh: int) -> None:
        """Ends `opendir`."""
        self._fs.releasedir(fh)

    @answered
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:  # noqa: ARG002 - pyfuse3's signature
        """A handle whose pages the kernel keeps after close: the bytes of an inode never change.

        Never direct_io, which would take shared mappings away from the readers (a reader's own O_DIRECT works without).
        """
        fh = self._fs.open(inode, flags)
        if flags & os.O_DIRECT:
            self._direct.add(fh)
        return FileInfo(fh=fh, direct_io=False, keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> Buffer:  # type: ignore[override]  # pyfuse3 takes any buffer, its stub says bytes
        """All bytes asked for, fewer only at the end of the file. Does not await anything where nothing has to be waited for."""
        try:
            data = self._fs.read_now(fh, off, size)
            if data is None:
                data = await self._wait_and_read(fh, off, size)
        except Exception as error:  # noqa: BLE001 - see the rules above
            refusal = self.refusal(error)
            self.requests.refused("read", refusal.errno)
            raise refusal from None
        self.requests.answered_read(len(data))
        return data

    @answered
    async def release(self, fh: int) -> None:
        """Ends `open`."""
        self._direct.discard(fh)
        self._fs.release(fh)

    @answered
    async def statfs(self, ctx: RequestContext) -> StatvfsData:  # noqa: ARG002 - pyfuse3's signature
        """For `df`: the mount is as large as what it holds, and full."""
        totals = self._fs.statfs()
        answer = StatvfsData()
        answer.f_bsize = answer.f_frsize = totals.fragment_bytes
        answer.f_blocks, answer.f_files = totals.fragments, totals.nodes
        answer.f_namemax = NAME_LIMIT_BYTES
        return answer

    async def _wait_and_read(self, fh: int, off: int, size: int) -> Buffer:
        """A reader with O_DIRECT can't be killed while it waits, unlike others: so its wait has an end, even while bytes flow."""
        with self.waiting.wait(self._read_timeout_seconds if fh in self._direct else math.inf):
            return await self._fs.read(fh, off, size)
        if self.waiting.ended:
            raise Closing("the mount ends")
        what = f"an O_DIRECT read waited {self._read_timeout_seconds:g} s"
        raise MkfsError(what, f"{size} bytes at {off}", "--read-timeout sets the limit")

    def refusal(self, error: Exception) -> FUSEError:
        """The answer for `error`. It is logged unless it is an ordinary answer, the end of the mount, or the same as before."""
        if isinstance(error, FUSEError):  # the base class: ENOSYS
            return error
        if isinstance(error, FileSystemError):
            return FUSEError(error.errno)
        if not isinstance(error, MkfsError):
            log.error("a reader gets EIO: unexpected", exc_info=error)
            return FUSEError(errno.EIO)
        words = "; ".join(error.lines())
        quiet = isinstance(error, Closing) or words == self._last_words  # a reader may repeat itself many times a second
        log.log(logging.DEBUG if quiet else logging.WARNING, "a reader gets %s: %s", errno.errorcode[error.errno], words)
        self._last_words = words
        return FUSEError(error.errno)


def _entry(attributes: Attributes) -> EntryAttributes:
    entry = EntryAttributes()
    entry.st_ino = attributes.inode
    entry.st_mode = attributes.mode
    entry.st_nlink = attributes.nlink
    entry.st_uid = attributes.uid
    entry.st_gid = attributes.gid
    entry.st_size = attributes.size_bytes
    entry.st_blocks = attributes.blocks
    entry.st_blksize = attributes.blksize_bytes
    entry.st_mtime_ns = entry.st_ctime_ns = entry.st_atime_ns = attributes.mtime_ns
    entry.entry_timeout = attributes.entry_seconds
    entry.attr_timeout = ROOT_SECONDS if attributes.inode == pyfuse3.ROOT_INODE else attributes.attributes_seconds
    return entry


def _no_entry(seconds: float) -> EntryAttributes:
    entry = EntryAttributes()
    entry.st_ino = 0  # libfuse: "no such name, and you may remember it for entry_timeout"
    entry.entry_timeout = seconds
    return entry
