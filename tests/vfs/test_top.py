"""The top of a repository: links and doors, what waits and what does not, inodes that keep their meaning."""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from mkfs.errors import FileSystemError, MkfsError, Unreachable
from mkfs.oci.digest import Digest
from mkfs.vfs import xattrs
from mkfs.vfs.attributes import ENDLESS_SECONDS, Ownership
from mkfs.vfs.forest import TREE_STRIDE, Forest
from mkfs.vfs.model_fs import ModelFS
from mkfs.vfs.top import DIGESTS_INODE, DOORS_LIMIT, TAGS_INODE, TOP_SECONDS, Top
from tests.support.fake_layers import MemoryLayer
from tests.support.trees import Part, grow

A, B = Digest.of(b"a"), Digest.of(b"b")


def name_of(digest: Digest) -> bytes:
    return f"{digest.algorithm}-{digest.hex}".encode()


@dataclass
class Table:
    """A grove that knows everything it was told, and counts who asks."""

    forest: Forest
    meanings: dict[str, Digest] = field(default_factory=dict)
    artifacts: dict[Digest, bytes] = field(default_factory=dict)
    believed: dict[str, Digest] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    planted: list[Digest] = field(default_factory=list)
    refusal: MkfsError | None = None

    def target_now(self, tag: str) -> Digest | None:
        return self.believed.get(tag)

    async def target(self, tag: str) -> Digest:
        self.asked.append(tag)
        await trio.lowlevel.checkpoint()
        if tag not in self.meanings:
            raise FileSystemError(errno.ENOENT, "no such tag")
        self.believed[tag] = self.meanings[tag]
        return self.believed[tag]

    def believed_seconds(self, tag: str) -> float:
        return 30.0 if tag in self.believed else 0.0

    async def tags(self) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        return list(self.meanings)

    async def plant(self, digest: Digest, number: int) -> None:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        if digest not in self.artifacts:
            raise FileSystemError(errno.ENOENT, "no such artifact")
        data = self.artifacts[digest]
        tree, layers, _ = grow({b"sub/file": Part(len(data), MemoryLayer(data))})
        self.forest.plant(tree, layers, digest, number)
        self.planted.append(digest)


@pytest.fixture
def grove() -> Table:
    return Table(Forest(), {"7b": A, "production": A, "8b": B}, {A: b"aa", B: b"bbb"})


@pytest.fixture
def fs(grove: Table) -> ModelFS:
    owner = Ownership(uid=1000, gid=100)
    return ModelFS(grove.forest, owner, Top(grove.forest, grove, owner))


def door(fs: ModelFS, digest: Digest) -> int:
    return fs.lookup_now(DIGESTS_INODE, name_of(digest)).inode


def names(fs: ModelFS, handle: int) -> list[bytes]:
    return [name for _, name, _ in fs.readdir(handle, 0)]


def refused(call: object, *arguments: object) -> str:
    with pytest.raises(FileSystemError) as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno]


async def refused_later(call: object, *arguments: object) -> str:
    with pytest.raises(FileSystemError) as caught:
        await call(*arguments)
    return errno.errorcode[caught.value.errno]


def test_the_root_has_two_directories_that_are_looked_at_again_each_second(fs: ModelFS) -> None:
    assert names(fs, fs.opendir_now(1)) == [b".", b"..", b"tags", b"digests"]
    for name, inode in ((b"tags", TAGS_INODE), (b"digests", DIGESTS_INODE)):
        found = fs.lookup_now(1, name)
        assert (found.inode, found.mode, found.uid, found.gid) == (inode, stat.S_IFDIR | 0o555, 1000, 100)
        assert (found.entry_seconds, found.attributes_seconds) == (TOP_SECONDS, TOP_SECONDS)
        assert fs.lookup_now(inode, b"..").inode == fs.lookup_now(1, b".").inode == fs.lookup_now(1, b"..").inode == 1
        assert fs.lookup_now(inode, b".") == found
    assert refused(fs.lookup_now, 1, b"manifests") == "ENOENT"
    assert fs.absent_seconds(1, b"manifests") == TOP_SECONDS


async def test_a_tag_is_asked_for_at_its_first_look_up_and_then_believed(fs: ModelFS, grove: Table) -> None:
    assert fs.lookup_now(TAGS_INODE, b"7b") is None
    link = await fs.lookup(TAGS_INODE, b"7b")
    assert (link.mode, link.entry_seconds) == (stat.S_IFLNK | 0o777, 30)
    assert fs.lookup_now(TAGS_INODE, b"7b") == fs.getattr(link.inode) == link
    assert fs.readlink_now(link.inode) == b"../digests/" + name_of(A)
    assert await fs.readlink(link.inode) == fs.readlink_now(link.inode)
    assert await fs.lookup(TAGS_INODE, b"7b") == link
    assert link.size_bytes == len(fs.readlink_now(link.inode))
    assert grove.asked == ["7b"]


async def test_listing_tags_asks_for_none_of_them(fs: ModelFS, grove: Table) -> None:
    assert fs.opendir_now(TAGS_INODE) is None
    handle = await fs.opendir(TAGS_INODE)
    listing = {name: attributes for _, name, attributes in fs.readdir(handle, 0)}
    assert list(listing) == [b".", b"..", b"7b", b"production", b"8b"]
    assert listing[b"7b"].mode == stat.S_IFLNK | 0o777
    assert (listing[b"7b"].size_bytes, listing[b"7b"].entry_seconds) == (82, 0)
    assert grove.asked == []
    assert fs.readlink_now(listing[b"8b"].inode) is None
    assert await fs.readlink(listing[b"8b"].inode) == b"../digests/" + name_of(B)
    assert (await fs.lookup(TAGS_INODE, b"8b")).inode == listing[b"8b"].inode
    assert grove.asked == ["8b"]


async def test_a_link_keeps_its_inode_while_its_target_moves(fs: ModelFS, grove: Table) -> None:
    link = await fs.lookup(TAGS_INODE, b"production")
    grove.meanings["production"], grove.believed = B, {}
    assert fs.readlink_now(link.inode) is None
    assert await fs.readlink(link.inode) == b"../digests/" + name_of(B)
    assert (await fs.lookup(TAGS_INODE, b"production")).inode == link.inode


@pytest.mark.parametrize("name", [b"-x", b".hidden", b"a/b", b"a b", b"x" * 129, b"\xff", b"", "\u0661".encode()])
async def test_what_is_no_tag_is_not_asked_for(fs: ModelFS, grove: Table, name: bytes) -> None:
    assert refused(fs.lookup_now, TAGS_INODE, name) == "ENOENT"
    assert fs.absent_seconds(TAGS_INODE, name) == TOP_SECONDS
    assert grove.asked == []


@pytest.mark.parametrize("name", ["_", "A.b-c_d", "x" * 128, "0", "latest..--__"])
async def test_odd_tags_are_tags(fs: ModelFS, grove: Table, name: str) -> None:
    grove.meanings[name] = A
    assert stat.S_ISLNK((await fs.lookup(TAGS_INODE, name.encode())).mode)


async def test_a_tag_that_is_not_there_is_absent_for_as_long_as_that_is_believed(fs: ModelFS, grove: Table) -> None:
    assert await refused_later(fs.lookup, TAGS_INODE, b"none") == "ENOENT"
    assert fs.absent_seconds(TAGS_INODE, b"none") == 0
    grove.believed["none"] = A
    assert fs.absent_seconds(TAGS_INODE, b"none") == 30


async def test_every_digest_is_a_directory_and_nobody_is_asked(fs: ModelFS, grove: Table) -> None:
    unknown = Digest.of(b"unknown")
    found = fs.lookup_now(DIGESTS_INODE, name_of(unknown))
    assert (found.mode, found.entry_seconds, found.inode % TREE_STRIDE) == (stat.S_IFDIR | 0o555, ENDLESS_SECONDS, 1)
    assert fs.getattr(found.inode) == fs.lookup_now(DIGESTS_INODE, name_of(unknown)) == found
    assert door(fs, Digest("sha512", "0" * 128)) != found.inode
    assert names(fs, fs.opendir_now(DIGESTS_INODE)) == [b".", b".."]
    assert grove.planted == []


@pytest.mark.parametrize(
    "name", [b"sha256", b"sha256-", b"sha256-abc", b"sha256-" + b"A" * 64, b"sha256:" + b"a" * 64, b"md5-" + b"0" * 32, b"\xff"]
)
def test_what_is_no_digest_is_not_there(fs: ModelFS, name: bytes) -> None:
    assert refused(fs.lookup_now, DIGESTS_INODE, name) == "ENOENT"


@pytest.mark.parametrize("way", ["lookup", "opendir"])
async def test_who_goes_inside_has_the_tree_planted(fs: ModelFS, grove: Table, way: str) -> None:
    inode = door(fs, B)
    before = fs.getattr(inode)
    if way == "lookup":
        assert fs.lookup_now(inode, b"sub") is None
        await fs.lookup(inode, b"sub")
    else:
        assert fs.opendir_now(inode) is None
        assert names(fs, await fs.opendir(inode)) == [b".", b"..", b"sub"]
    assert grove.planted == [B]
    assert fs.getattr(inode) == before
    sub = fs.lookup_now(inode, b"sub")
    file = fs.lookup_now(sub.inode, b"file")
    assert (file.size_bytes, file.entry_seconds, file.inode // TREE_STRIDE) == (3, ENDLESS_SECONDS, inode // TREE_STRIDE)
    assert bytes(fs.read_now(fs.open(file.inode, os.O_RDONLY), 0, 10)) == b"bbb"
    assert fs.lookup_now(inode, b"..").inode == DIGESTS_INODE
    assert fs.lookup_now(sub.inode, b"..").inode == inode
    listed = {name: each.inode for _, name, each in fs.readdir(fs.opendir_now(inode), 0)}
    assert listed == {b".": inode, b"..": DIGESTS_INODE, b"sub": sub.inode}
    assert names(fs, fs.opendir_now(DIGESTS_INODE)) == [b".", b"..", name_of(B)]
    assert grove.planted == [B]


async def test_a_door_to_nothing_stays_closed_and_may_open_later(fs: ModelFS, grove: Table) -> None:
    late = Digest.of(b"late")
    inode = door(fs, late)
    assert await refused_later(fs.lookup, inode, b"sub") == await refused_later(fs.opendir, inode) == "ENOENT"
    assert fs.absent_seconds(inode, b"sub") == TOP_SECONDS  # not for ever: it says nothing of the name
    grove.refusal = Unreachable("no answer")
    with pytest.raises(Unreachable):
        await fs.lookup(inode, b"sub")
    grove.refusal = None
    grove.artifacts[late] = b"x"
    assert (await fs.lookup(inode, b"sub")).inode // TREE_STRIDE == inode // TREE_STRIDE
    assert fs.absent_seconds(inode, b"other") == ENDLESS_SECONDS


async def test_ordinary_refusals_are_those_of_any_file_system(fs: ModelFS) -> None:
    link = (await fs.lookup(TAGS_INODE, b"7b")).inode
    inode = door(fs, A)
    for directory in (1, TAGS_INODE, DIGESTS_INODE, inode):
        assert refused(fs.readlink_now, directory) == "EINVAL"
        assert refused(fs.open, directory, os.O_RDONLY) == "EISDIR"
        assert refused(fs.open, directory, os.O_RDWR) == "EROFS"
    assert refused(fs.lookup_now, link, b"x") == refused(fs.opendir_now, link) == "ENOTDIR"
    for never in (4, link + 100, inode + TREE_STRIDE):
        assert refused(fs.getattr, never) == refused(fs.readlink_now, never) == refused(fs.open, never, os.O_RDONLY) == "ESTALE"
        assert refused(fs.opendir_now, never) == refused(fs.lookup_now, never, b"x") == "ESTALE"
        assert await refused_later(fs.opendir, never) == await refused_later(fs.lookup, never, b"x") == "ESTALE"
    assert refused(fs.getattr, inode + 1) == "ESTALE"


async def test_a_door_says_its_digest_as_an_attribute_and_the_top_says_nothing(fs: ModelFS) -> None:
    inode = door(fs, A)
    for _ in range(2):
        assert fs.listxattr(inode) == (xattrs.DIGEST,)
        assert await fs.getxattr(inode, xattrs.DIGEST) == str(A).encode()
        assert await refused_later(fs.getxattr, inode, xattrs.PROOF) == "ENODATA"
        await fs.opendir(inode)
    assert fs.listxattr(1) == fs.listxattr(TAGS_INODE) == ()
    assert await refused_later(fs.getxattr, TAGS_INODE, xattrs.DIGEST) == "ENODATA"


async def test_the_mount_holds_what_was_opened(fs: ModelFS) -> None:
    assert fs.statfs().fragments == 0
    await fs.opendir(door(fs, A))
    await fs.opendir(door(fs, B))
    assert (fs.statfs().fragments, fs.statfs().nodes) == (1, 6)


def test_names_made_up_by_somebody_do_not_take_all_memory(fs: ModelFS, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DOORS_LIMIT >= 10_000
    monkeypatch.setattr("mkfs.vfs.top.DOORS_LIMIT", 3)
    known = [door(fs, Digest.of(b"%d" % number)) for number in range(3)]
    assert refused(fs.lookup_now, DIGESTS_INODE, name_of(A)) == "ENFILE"
    assert door(fs, Digest.of(b"0")) == known[0]
