"""The file system without FUSE: names, listings, open files, reads up to the end."""

import errno
import os
import stat

import pytest
import trio
import trio.testing

from mkfs.content.reads import Cause
from mkfs.errors import FileSystemError, Mismatch, MkfsError
from mkfs.formats.plan import InlineFile, Plan, PlannedLayer, RawLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.tree.build import build
from mkfs.vfs.attributes import MTIME_NS, Ownership
from mkfs.vfs.forest import TREE_STRIDE, Forest
from mkfs.vfs.model_fs import ModelFS
from mkfs.vfs.waits import Waits
from tests.support.fake_layers import BrokenLayer, LateLayer, MemoryLayer, SlowLayer
from tests.support.trees import MANIFEST, Part, grow

DATA = bytes(range(256)) * 4


def filesystem(**parts: Part) -> ModelFS:
    """`a__b` stands for the path `a/b`."""
    files = {name.replace("__", "/").encode(): part for name, part in parts.items()}
    forest = Forest()
    forest.plant(*grow(files, inline={b"Kitfile": b"manifestVersion: 1.0.0\n"}, directories={b"closed": 0o700}))
    return ModelFS(forest, Ownership(uid=1000, gid=100))


@pytest.fixture
def fs() -> ModelFS:
    return filesystem(weights=Part(len(DATA), MemoryLayer(DATA)), sub__deep__run=Part(2, MemoryLayer(b"#!"), mode=0o755))


def inode(fs: ModelFS, *names: bytes) -> int:
    number = 1
    for name in names:
        number = fs.lookup_now(number, name).inode
    return number


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(FileSystemError) as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno]


def test_names_lead_to_files_and_directories(fs: ModelFS) -> None:
    run = fs.lookup_now(inode(fs, b"sub", b"deep"), b"run")
    assert (run.mode, run.size_bytes, run.uid, run.gid) == (stat.S_IFREG | 0o555, 2, 1000, 100)
    assert fs.lookup_now(1, b"closed").mode == stat.S_IFDIR | 0o500
    assert fs.getattr(run.inode) == run


async def test_who_waits_is_known_by_inode_and_range_until_he_is_answered() -> None:
    layer, now = SlowLayer(), [100.0]
    fs = filesystem(weights=Part(len(DATA), layer))
    fs.waits = Waits(lambda: now[0])
    number = inode(fs, b"weights")
    handle = fs.open(number, os.O_RDONLY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fs.read, handle, 5, 4 * len(DATA))
        await layer.besieged(1)
        now[0] += 7
        ((seconds, wait),) = fs.waits.longest_waiting(9)
        assert (seconds, wait.inode, wait.start, wait.stop) == (7, number, 5, len(DATA))
        assert (wait.look().cause, wait.look().hosts) == (Cause.PROOF, ("registry.test",))
        planted, node = fs.locate(wait.inode)
        assert planted.tree.path(node.number) == b"weights"
        layer.open.set()
    assert fs.statistics().waiting == 0
    (slow,) = fs.waits.slowest()
    assert (slow.inode, slow.start, slow.stop, slow.seconds, slow.cause) == (number, 5, len(DATA), 7, Cause.PROOF)


async def test_a_read_that_fails_is_counted_and_one_whose_reader_is_gone_is_not() -> None:
    fs = filesystem(broken=Part(10, BrokenLayer()), slow=Part(10, SlowLayer()))
    with pytest.raises(MkfsError):
        await fs.read(fs.open(inode(fs, b"broken"), os.O_RDONLY), 0, 10)
    with trio.move_on_after(0):
        await fs.read(fs.open(inode(fs, b"slow"), os.O_RDONLY), 0, 10)
    counts = fs.statistics()
    assert (counts.reads_waited, counts.reads_failed, counts.waiting) == (2, 1, 0)
    assert fs.waits.statistics().seconds.count == 2


def test_reads_that_are_answered_at_once_pay_for_no_clock(fs: ModelFS) -> None:
    def stop() -> float:
        raise AssertionError("looked at the clock")

    fs.waits = Waits(stop)
    assert fs.read_now(fs.open(inode(fs, b"weights"), os.O_RDONLY), 0, 10) == DATA[:10]


def test_times_are_the_artifacts_own_where_it_keeps_them() -> None:
    raw = RawLayer(b"own", mtime_ns=1746093600 * 10**9)
    plan = Plan("test", (PlannedLayer(Descriptor("test", Digest.of(b""), 0), raw, "model"),), (InlineFile(b"none", b""),))
    forest = Forest()
    forest.plant(build(plan, [None]), [], MANIFEST)
    fs = ModelFS(forest, Ownership(uid=1000, gid=100))
    assert fs.lookup_now(1, b"own").mtime_ns == 1746093600 * 10**9
    assert fs.lookup_now(1, b"none").mtime_ns == fs.getattr(1).mtime_ns == MTIME_NS


def test_a_symbolic_link_says_where_it_leads_and_is_no_file() -> None:
    forest = Forest()
    forest.plant(*grow({b"d/a": Part(1, MemoryLayer(b"a"))}, links={b"d/link": b"../d/a"}))
    fs = ModelFS(forest, Ownership(uid=1000, gid=100, umask=0o077))
    link = fs.lookup_now(inode(fs, b"d"), b"link")
    assert (link.mode, link.size_bytes) == (stat.S_IFLNK | 0o777, 6)
    assert fs.readlink_now(link.inode) == b"../d/a"
    assert refusal(fs.open, link.inode, os.O_RDONLY) == "ELOOP"
    assert refusal(fs.opendir_now, link.inode) == refusal(fs.lookup_now, link.inode, b"x") == "ENOTDIR"
    assert refusal(fs.readlink_now, inode(fs, b"d", b"a")) == refusal(fs.readlink_now, 1) == "EINVAL"
    assert {name: each.mode for _, name, each in fs.readdir(fs.opendir_now(inode(fs, b"d")), 2)}[b"link"] == link.mode


def test_dot_and_dot_dot_are_names_as_well(fs: ModelFS) -> None:
    deep = inode(fs, b"sub", b"deep")
    assert fs.lookup_now(deep, b".").inode == deep
    assert fs.lookup_now(deep, b"..").inode == inode(fs, b"sub")
    assert fs.lookup_now(1, b"..").inode == 1


def test_what_is_not_there_is_refused_as_everywhere(fs: ModelFS) -> None:
    file = inode(fs, b"weights")
    assert refusal(fs.lookup_now, 1, b"nothing") == "ENOENT"
    assert refusal(fs.lookup_now, file, b"name") == "ENOTDIR"
    assert refusal(fs.opendir_now, file) == "ENOTDIR"
    assert refusal(fs.open, 1, os.O_RDONLY) == "EISDIR"
    assert refusal(fs.getattr, TREE_STRIDE + 1) == "ESTALE"


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC])
def test_nothing_opens_for_writing(fs: ModelFS, flags: int) -> None:
    assert refusal(fs.open, inode(fs, b"weights"), flags) == "EROFS"


def test_a_listing_names_everything_once_and_can_go_on_anywhere(fs: ModelFS) -> None:
    handle = fs.opendir_now(1)
    listing = list(fs.readdir(handle, 0))
    assert [name for _, name, _ in listing] == [b".", b"..", b"Kitfile", b"closed", b"sub", b"weights"]
    for position, name, attributes in listing:
        assert list(fs.readdir(handle, position)) == listing[position:]
        assert fs.lookup_now(1, name) == attributes
    fs.releasedir(handle)
    assert refusal(lambda: list(fs.readdir(handle, 0))) == "EBADF"


@pytest.mark.parametrize(
    ("offset", "length", "stop"), [(0, 10, 10), (1000, 24, 1024), (1000, 4096, 1024), (1024, 1, 1024), (9999, 5, 9999)]
)
async def test_reads_are_full_up_to_the_end_and_empty_after_it(fs: ModelFS, offset: int, length: int, stop: int) -> None:
    handle = fs.open(inode(fs, b"weights"), os.O_RDONLY)
    assert bytes(fs.read_now(handle, offset, length)) == DATA[offset:stop]
    late = filesystem(weights=Part(len(DATA), LateLayer(DATA)))
    handle = late.open(inode(late, b"weights"), os.O_RDONLY)
    assert bytes(await late.read(handle, offset, length)) == DATA[offset:stop]


def test_the_kitfile_is_read_without_any_layer(fs: ModelFS) -> None:
    handle = fs.open(inode(fs, b"Kitfile"), os.O_RDONLY)
    assert fs.read_now(handle, 0, 4096) == b"manifestVersion: 1.0.0\n"


async def test_a_read_that_has_to_wait_says_so_and_then_waits() -> None:
    slow = SlowLayer()
    fs = filesystem(slow=Part(100, slow), weights=Part(len(DATA), MemoryLayer(DATA)))
    handle = fs.open(inode(fs, b"slow"), os.O_RDONLY)
    assert fs.read_now(handle, 0, 100) is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fs.read, handle, 0, 100)
        await trio.testing.wait_all_tasks_blocked()
        assert fs.statistics().waiting == 1
        fs.release(handle)  # overtakes the read, which keeps what it needs
        slow.open.set()
    assert (fs.statistics().waiting, fs.statistics().bytes_served) == (0, 100)


async def test_a_layer_that_refuses_is_quoted_word_for_word() -> None:
    error = Mismatch("content does not match its digest")
    fs = filesystem(damaged=Part(100, BrokenLayer(error)))
    handle = fs.open(inode(fs, b"damaged"), os.O_RDONLY)
    with pytest.raises(Mismatch) as caught:
        await fs.read(handle, 0, 1)
    assert caught.value is error
    assert fs.statistics().waiting == 0


def test_handles_are_never_used_twice(fs: ModelFS) -> None:
    weights = inode(fs, b"weights")
    first = fs.open(weights, os.O_RDONLY)
    fs.release(first)
    second = fs.open(weights, os.O_RDONLY)
    assert first != second
    assert refusal(fs.read_now, first, 0, 1) == "EBADF"
    assert refusal(fs.release, first) == "EBADF"
    assert fs.read_now(second, 0, 1) == b"\0"


async def test_statistics_count_files_reads_and_bytes() -> None:
    fs = filesystem(weights=Part(len(DATA), LateLayer(DATA, frontier=512)))
    handle = fs.open(inode(fs, b"weights"), os.O_RDONLY)
    fs.read_now(handle, 0, 512)
    assert fs.read_now(handle, 512, 100) is None
    await fs.read(handle, 512, 100)
    counts = fs.statistics()
    assert (counts.opens, counts.open_files) == (1, 1)
    assert (counts.reads_now, counts.reads_waited, counts.waiting, counts.bytes_served) == (1, 1, 0, 612)
    fs.release(handle)
    assert fs.statistics().open_files == 0


def test_df_shows_what_the_mount_holds(fs: ModelFS) -> None:
    totals = fs.statfs()
    assert totals.fragments * totals.fragment_bytes == 4096  # 1024 + 2 + 23 bytes, rounded up
    assert totals.nodes == 7
