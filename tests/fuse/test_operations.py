"""Requests and errnos, without a kernel: what pyfuse3 would be told."""

import errno
import os
from collections.abc import Sequence

import pyfuse3
import pytest
import trio
from trio.testing import MockClock

from mkfs.errors import Closing, FileSystemError, Mismatch, Unreachable
from mkfs.fuse.operations import ROOT_SECONDS, Operations
from mkfs.oci.digest import Digest
from mkfs.vfs.attributes import ENDLESS_SECONDS, Ownership
from mkfs.vfs.forest import Forest
from mkfs.vfs.model_fs import ModelFS
from mkfs.vfs.top import DIGESTS_INODE, TAGS_INODE, Top
from tests.support.fake_layers import BrokenLayer, LateLayer, MemoryLayer, SlowLayer
from tests.support.trees import Part, grow

CTX = pyfuse3.RequestContext()
DAMAGED = Mismatch("content does not match its digest", "layer sha256:1 from host", "fetch again")


def operations_on_a_mount(*, xattr: bool = False) -> Operations:
    forest = Forest()
    parts = {
        b"now": Part(100, MemoryLayer(bytes(100))),
        b"late": Part(100, LateLayer(b"x" * 100)),
        b"slow": Part(100, SlowLayer()),
        b"damaged": Part(100, BrokenLayer(DAMAGED)),
        b"closing": Part(100, BrokenLayer(Closing("the mount is going away"))),
        b"buggy": Part(100, BrokenLayer(ZeroDivisionError("a bug"))),
    }
    forest.plant(*grow(parts, links={b"link": b"now"}))
    return Operations(ModelFS(forest, Ownership(1000, 100)), read_timeout_seconds=300, xattr=xattr)


@pytest.fixture
def operations() -> Operations:
    return operations_on_a_mount()


async def open_file(operations: Operations, name: bytes, flags: int = os.O_RDONLY) -> int:
    entry = await operations.lookup(1, name, CTX)
    return (await operations.open(entry.st_ino, flags, CTX)).fh


async def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await call(*arguments)
    return errno.errorcode[caught.value.errno]


async def test_names_are_remembered_for_ever_the_root_for_a_second(operations: Operations) -> None:
    entry = await operations.lookup(1, b"now", CTX)
    assert (entry.entry_timeout, entry.attr_timeout) == (ENDLESS_SECONDS, ENDLESS_SECONDS)
    assert (await operations.getattr(1, CTX)).attr_timeout == ROOT_SECONDS


async def test_names_and_listings_of_one_artifact_wait_for_nothing(operations: Operations) -> None:
    link = (await operations.lookup(1, b"link", CTX)).st_ino
    for work in (operations.lookup(1, b"now", CTX), operations.opendir(1, CTX), operations.readlink(link, CTX)):
        with pytest.raises(StopIteration):
            work.send(None)


async def test_that_there_is_no_such_name_is_remembered_as_well(operations: Operations) -> None:
    entry = await operations.lookup(1, b"nothing", CTX)
    assert (entry.st_ino, entry.entry_timeout) == (0, ENDLESS_SECONDS)


async def test_a_link_is_read_and_what_is_none_is_refused(operations: Operations) -> None:
    assert await operations.readlink((await operations.lookup(1, b"link", CTX)).st_ino, CTX) == b"now"
    assert await refusal(operations.readlink, 1, CTX) == "EINVAL"


async def test_pages_stay_after_close_and_mappings_are_possible(operations: Operations) -> None:
    info = await operations.open((await operations.lookup(1, b"now", CTX)).st_ino, os.O_RDONLY | os.O_DIRECT, CTX)
    assert info.keep_cache
    assert not info.direct_io


async def test_a_read_of_bytes_at_hand_waits_for_nothing(operations: Operations) -> None:
    reading = operations.read(await open_file(operations, b"now"), 0, 50)
    with pytest.raises(StopIteration) as answer:
        reading.send(None)
    assert len(answer.value.value) == 50


async def test_a_read_waits_where_it_must(operations: Operations) -> None:
    assert await operations.read(await open_file(operations, b"late"), 90, 50) == b"x" * 10


async def test_ordinary_refusals_have_their_own_errno_and_no_log(operations: Operations) -> None:
    file = (await operations.lookup(1, b"now", CTX)).st_ino
    assert await refusal(operations.lookup, file, b"name", CTX) == "ENOTDIR"
    assert await refusal(operations.getattr, 2**41, CTX) == "ESTALE"
    assert await refusal(operations.opendir, file, CTX) == "ENOTDIR"
    assert await refusal(operations.open, file, os.O_RDWR, CTX) == "EROFS"
    assert await refusal(operations.open, 1, os.O_RDONLY, CTX) == "EISDIR"
    assert await refusal(operations.read, 99, 0, 1) == "EBADF"
    assert await refusal(operations.release, 99) == "EBADF"
    assert await refusal(operations.readdir, 99, 0, None) == "EBADF"
    assert await refusal(operations.releasedir, 99) == "EBADF"


@pytest.mark.logs("a reader gets EIO: content does not match its digest; layer sha256:1 from host; fetch again")
async def test_what_a_layer_refuses_is_logged_once_though_readers_repeat_themselves(
    operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await open_file(operations, b"damaged")
    for _ in range(3):
        assert await refusal(operations.read, handle, 0, 1) == "EIO"
    assert len(caplog.records) == 1


async def test_the_end_of_the_mount_is_no_news_for_the_log(operations: Operations) -> None:
    assert await refusal(operations.read, await open_file(operations, b"closing"), 0, 1) == "EIO"


@pytest.mark.logs("a reader gets EIO: unexpected")
async def test_a_bug_never_ends_the_mount(operations: Operations, caplog: pytest.LogCaptureFixture) -> None:
    assert await refusal(operations.read, await open_file(operations, b"buggy"), 0, 1) == "EIO"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.logs("an O_DIRECT read waited 300 s")
async def test_a_direct_read_does_not_wait_for_ever(operations: Operations, autojump_clock: MockClock) -> None:
    handle = await open_file(operations, b"slow", os.O_RDONLY | os.O_DIRECT)
    assert await refusal(operations.read, handle, 0, 1) == "EIO"
    assert trio.current_time() - 300 < 1
    with trio.move_on_after(10_000) as patience:
        await operations.read(await open_file(operations, b"slow"), 0, 1)
    assert patience.cancelled_caught


async def test_what_is_not_supported_is_said_once_and_for_all(operations: Operations) -> None:
    assert await refusal(operations.getxattr, 1, b"user.mkfs", CTX) == "ENOSYS"
    assert await refusal(operations.listxattr, 1, CTX) == "ENOSYS"


async def test_extended_attributes_are_unknown_unless_asked_for(operations: Operations) -> None:
    assert await refusal(operations.getxattr, 1, b"user.mkfs.digest", CTX) == "ENOSYS"
    assert await refusal(operations.listxattr, 1, CTX) == "ENOSYS"


async def test_asked_for_they_tell_digest_and_proof() -> None:
    operations = operations_on_a_mount(xattr=True)
    entry = await operations.lookup(1, b"now", CTX)
    assert b"user.mkfs.proof" in await operations.listxattr(entry.st_ino, CTX)
    assert await operations.getxattr(entry.st_ino, b"user.mkfs.proof", CTX) == b"own"
    assert await refusal(operations.getxattr, entry.st_ino, b"security.capability", CTX) == "ENODATA"


# --- the top of a repository

KNOWN, REFUSED, UNKNOWN = (Digest.of(name) for name in (b"known", b"refused", b"unknown"))


class OneTag:
    """A grove with the tag `7b`, believed for 30 s once it was asked for; a registry that is not there for others."""

    def __init__(self, forest: Forest) -> None:
        self._forest, self._asked = forest, False

    def target_now(self, tag: str) -> Digest | None:
        return KNOWN if self._asked and tag == "7b" else None

    async def target(self, tag: str) -> Digest:
        await trio.lowlevel.checkpoint()
        if tag == "gone":
            raise Unreachable("no answer", "registry.test")
        self._asked = True
        if tag != "7b":
            raise FileSystemError(errno.ENOENT, "no such tag")
        return KNOWN

    def believed_seconds(self, tag: str) -> float:
        return 30.0 if self._asked and tag != "8b" else 12.0

    async def tags(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return ("7b",)

    async def plant(self, digest: Digest, number: int) -> None:
        await trio.lowlevel.checkpoint()
        if digest == REFUSED:
            raise FileSystemError(errno.EACCES, "refused")
        if digest == UNKNOWN:
            raise FileSystemError(errno.ENOENT, "no such artifact")
        self._forest.plant(*grow({b"now": Part(100, MemoryLayer(bytes(100)))}), number=number)


@pytest.fixture
def top() -> Operations:
    forest, owner = Forest(), Ownership(1000, 100)
    return Operations(ModelFS(forest, owner, Top(forest, OneTag(forest), owner)), read_timeout_seconds=300)


def named(digest: Digest) -> bytes:
    return f"sha256-{digest.hex}".encode()


async def test_a_link_is_remembered_as_long_as_it_is_believed(top: Operations) -> None:
    entry = await top.lookup(TAGS_INODE, b"7b", CTX)
    assert (entry.entry_timeout, entry.attr_timeout) == (30, 30)
    assert await top.readlink(entry.st_ino, CTX) == b"../digests/" + named(KNOWN)
    absent = await top.lookup(TAGS_INODE, b"8b", CTX)
    assert (absent.st_ino, absent.entry_timeout) == (0, 12)
    for name, inode in ((b"tags", TAGS_INODE), (b"digests", DIGESTS_INODE)):
        entry = await top.lookup(1, name, CTX)
        assert (entry.st_ino, entry.entry_timeout, entry.attr_timeout) == (inode, 1, 1)
    assert (await top.opendir(TAGS_INODE, CTX)) != (await top.opendir(1, CTX))


async def test_inside_a_digest_everything_lasts_for_ever_once_it_was_opened(top: Operations) -> None:
    door = await top.lookup(DIGESTS_INODE, named(KNOWN), CTX)
    assert (door.entry_timeout, door.attr_timeout) == (ENDLESS_SECONDS, ENDLESS_SECONDS)
    entry = await top.lookup(door.st_ino, b"now", CTX)
    assert (entry.entry_timeout, entry.attr_timeout) == (ENDLESS_SECONDS, ENDLESS_SECONDS)
    assert (await top.lookup(door.st_ino, b"nothing", CTX)).entry_timeout == ENDLESS_SECONDS
    with pytest.raises(StopIteration):
        top.opendir(door.st_ino, CTX).send(None)


@pytest.mark.logs("a reader gets EIO: no answer; registry.test")
async def test_a_door_that_does_not_open_says_why_and_nothing_is_remembered(top: Operations) -> None:
    unknown, refused = [(await top.lookup(DIGESTS_INODE, named(digest), CTX)).st_ino for digest in (UNKNOWN, REFUSED)]
    absent = await top.lookup(unknown, b"now", CTX)
    assert (absent.st_ino, absent.entry_timeout) == (0, 1)
    assert await refusal(top.opendir, unknown, CTX) == "ENOENT"
    assert await refusal(top.lookup, refused, b"now", CTX) == await refusal(top.opendir, refused, CTX) == "EACCES"
    assert await refusal(top.lookup, TAGS_INODE, b"gone", CTX) == "EIO"
