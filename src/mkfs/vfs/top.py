"""What stands above the trees of a repository: `tags/`, a symbolic link for each tag, and `digests/`, where the links lead.

Theory. This top is the mutable part of the mount, and small. A link's inode is its tag's for the mount's life, and only what
`readlink` answers changes; the kernel keeps no targets, so a tag that moved is seen at the next walk through its link, and whoever
stands in a directory or has a file open stays in the tree he came to. Every well-formed digest is a directory of `digests/`, as
nobody can know that it is none without asking. Its number in the forest is set aside at the first look-up, and its tree is planted
there when somebody goes inside. A listing of `digests/` shows the trees that were planted.

What tags mean and what an artifact holds is asked of a `Grove`. Listing asks for no link's target: a link's attributes do not
depend on it, as all targets have the same length.

Atomic between checkpoints: everything but `lookup`, `opendir`, `readlink` and `enter`; these change nothing after their await.
"""

import errno
from collections.abc import Sequence
from typing import Final, Protocol, final

from mkfs.errors import FileSystemError
from mkfs.oci.digest import Digest
from mkfs.oci.reference import is_tag
from mkfs.vfs.attributes import Attributes, Ownership
from mkfs.vfs.forest import TREE_STRIDE, Forest

ROOT_INODE: Final = 1
TAGS_INODE: Final = 2
DIGESTS_INODE: Final = 3
_LINKS_FROM: Final = 16  # the inode of the first link; those between are free for what may come
# How long the kernel believes what the top's own directories look like, and that a name is not there.
TOP_SECONDS: Final = 1.0
# Digests that were looked up, in the mount's life: each keeps some 300 bytes here, and anybody may make names up.
DOORS_LIMIT: Final = 100_000
_DIRECTORY_MODE: Final = 0o755  # before ownership; what artifacts give the root of their tree
_UPWARDS: Final = b"../digests/"
_TARGET_BYTES: Final = len(_UPWARDS) + len("sha256-") + 64

Entries = list[tuple[bytes, int]]


class Grove(Protocol):
    """What a repository has to show. Whatever waits ends within a bound of its own."""

    def target_now(self, tag: str) -> Digest | None:
        """What the link of `tag` leads to, as far as that is believed; None where somebody has to be asked.

        Raises `FileSystemError`: ENOENT for a tag that is believed not to be there, EACCES for one that policy refuses.
        """

    async def target(self, tag: str) -> Digest:
        """The same, asking. Raises as `target_now`, and what asking raises."""

    def believed_seconds(self, tag: str) -> float:
        """How long what `target_now` says will do, 0 if not at all."""

    async def tags(self) -> Sequence[str]:
        """The names of all tags. Raises what asking raises."""

    async def plant(self, digest: Digest, number: int) -> None:
        """Returns when the artifact `digest` stands in the forest as tree `number`.

        Raises `FileSystemError` ENOENT where the repository has no such artifact, EACCES where policy refuses it; `MkfsError`.
        """


@final
class Top:
    """The top of one mount. It takes tree 0 of `forest`, in which nothing may be planted before."""

    def __init__(self, forest: Forest, grove: Grove, ownership: Ownership) -> None:
        self._forest, self._grove, self._ownership = forest, grove, ownership
        self._links: dict[str, int] = {}  # inodes, by tag
        self._tags: list[str] = []  # tags, by inode - _LINKS_FROM
        self._numbers: dict[Digest, int] = {}  # of trees, by digest
        self._digests: dict[int, Digest] = {}  # and back
        self._directory = ownership.directory_mode(_DIRECTORY_MODE)
        forest.reserve(above=ROOT_INODE)

    # --- what needs no waiting

    def lookup_now(self, parent: int, name: bytes) -> Attributes | None:
        """As `ModelFS.lookup_now`, for a `parent` in the top."""
        inode = _TOP_NAMES.get((parent, name))
        if inode is not None:
            return self.getattr(inode)
        if parent == TAGS_INODE:
            tag = _tag(name)
            return None if self._grove.target_now(tag) is None else self.getattr(self._link(tag))
        if parent == DIGESTS_INODE:
            return self.getattr(self.door(_digest(name)))
        if parent == ROOT_INODE:
            raise _no_name(name)
        self.getattr(parent)
        raise FileSystemError(errno.ENOTDIR, f"inode {parent} is a symbolic link")

    def getattr(self, inode: int) -> Attributes:
        """As `ModelFS.getattr`, for an inode of the top or the door of a tree."""
        owner = self._ownership
        if inode in (ROOT_INODE, TAGS_INODE, DIGESTS_INODE):
            return Attributes(
                inode, self._directory, 0, owner.uid, owner.gid, entry_seconds=TOP_SECONDS, attributes_seconds=TOP_SECONDS
            )
        if inode >= TREE_STRIDE:  # what its tree says of it changes nothing: roots have this mode
            return Attributes(inode, self._directory, 0, owner.uid, owner.gid)
        seconds = self._grove.believed_seconds(self._tag_of(inode))
        return Attributes(
            inode, owner.link_mode(), _TARGET_BYTES, owner.uid, owner.gid, entry_seconds=seconds, attributes_seconds=seconds
        )

    def absent_seconds(self, parent: int, name: bytes) -> float:
        """How long the kernel may believe that `parent` has no `name`."""
        if parent == TAGS_INODE and is_tag(tag := name.decode("utf-8", "replace")):
            return self._grove.believed_seconds(tag)
        return TOP_SECONDS

    def readlink_now(self, inode: int) -> bytes | None:
        """As `ModelFS.readlink_now`, for an inode of the top."""
        digest = self._grove.target_now(self._tag_of(inode))
        return None if digest is None else _path(digest)

    def opendir_now(self, inode: int) -> Entries | None:
        """Names and inodes of a directory of the top; None for `tags`, which has to be asked for."""
        if inode == TAGS_INODE:
            return None
        if inode == ROOT_INODE:
            return [(b".", inode), (b"..", inode), (b"tags", TAGS_INODE), (b"digests", DIGESTS_INODE)]
        if inode != DIGESTS_INODE:
            self._tag_of(inode)
            raise FileSystemError(errno.ENOTDIR, f"inode {inode} is a symbolic link")
        planted = [digest for digest, number in self._numbers.items() if self._forest.is_planted(number)]
        listed = [(_directory_name(digest), self.door(digest)) for digest in sorted(planted)]
        return [(b".", inode), (b"..", ROOT_INODE), *listed]

    def is_closed(self, inode: int) -> bool:
        """Whether `inode` is the door of a tree that nobody has gone into."""
        number, node_number = divmod(inode, TREE_STRIDE)
        return node_number == ROOT_INODE and number in self._digests and not self._forest.is_planted(number)

    def digest_behind(self, inode: int) -> Digest:
        """The digest whose directory the door `inode` is."""
        return self._digests[inode // TREE_STRIDE]

    # --- what may have to wait

    async def lookup(self, parent: int, name: bytes) -> Attributes:
        """As `lookup_now`, waiting."""
        found = self.lookup_now(parent, name)
        if found is None:
            await self._grove.target(tag := _tag(name))
            found = self.getattr(self._link(tag))
        return found

    async def readlink(self, inode: int) -> bytes:
        """As `readlink_now`, waiting."""
        tag = self._tag_of(inode)
        return _path(self._grove.target_now(tag) or await self._grove.target(tag))

    async def opendir(self, inode: int) -> Entries:
        """As `opendir_now`, waiting for `tags`. No tag's target is asked for."""
        found = self.opendir_now(inode)
        if found is None:
            tags = await self._grove.tags()
            found = [(b".", inode), (b"..", ROOT_INODE), *((tag.encode(), self._link(tag)) for tag in tags)]
        return found

    async def enter(self, inode: int) -> None:
        """Opens the door `inode`, if it is one and closed. Raises as `Grove.plant`."""
        if self.is_closed(inode):
            await self._grove.plant(self.digest_behind(inode), inode // TREE_STRIDE)

    # --- numbers

    def door(self, digest: Digest) -> int:
        """The inode of a digest's directory: the root of a tree that may still have to be planted. Raises `FileSystemError` ENFILE
        for one digest too many.
        """
        number = self._numbers.get(digest)
        if number is None:
            if len(self._numbers) >= DOORS_LIMIT:
                raise FileSystemError(errno.ENFILE, f"{DOORS_LIMIT} digests were looked up in this mount, and no more can be")
            number = self._forest.reserve(above=DIGESTS_INODE)
            self._numbers[digest], self._digests[number] = number, digest
        return number * TREE_STRIDE + ROOT_INODE

    def _link(self, tag: str) -> int:
        if tag not in self._links:
            self._links[tag] = _LINKS_FROM + len(self._tags)
            self._tags.append(tag)
        return self._links[tag]

    def _tag_of(self, inode: int) -> str:
        if inode in (ROOT_INODE, TAGS_INODE, DIGESTS_INODE):
            raise FileSystemError(errno.EINVAL, f"inode {inode} is no symbolic link")
        if not _LINKS_FROM <= inode < _LINKS_FROM + len(self._tags):
            raise FileSystemError(errno.ESTALE, f"no inode {inode}")
        return self._tags[inode - _LINKS_FROM]


_TOP_NAMES: Final = {
    (ROOT_INODE, b"."): ROOT_INODE,
    (ROOT_INODE, b".."): ROOT_INODE,
    (ROOT_INODE, b"tags"): TAGS_INODE,
    (ROOT_INODE, b"digests"): DIGESTS_INODE,
    (TAGS_INODE, b"."): TAGS_INODE,
    (TAGS_INODE, b".."): ROOT_INODE,
    (DIGESTS_INODE, b"."): DIGESTS_INODE,
    (DIGESTS_INODE, b".."): ROOT_INODE,
}


def _no_name(name: bytes) -> FileSystemError:
    return FileSystemError(errno.ENOENT, f"no {name[:80]!r} here")


def _tag(name: bytes) -> str:
    """The tag that `name` may be: others are not there, and nobody is asked. Raises `FileSystemError` ENOENT."""
    tag = name.decode("utf-8", "replace")
    if not is_tag(tag):
        raise _no_name(name)
    return tag


def _digest(name: bytes) -> Digest:
    """The digest that `name` spells, with a dash for the colon: some readers take a colon for the end of a path."""
    digest = Digest.found_in(name.decode("utf-8", "replace").replace("-", ":", 1))
    if digest is None or _directory_name(digest) != name:
        raise _no_name(name)
    return digest


def _directory_name(digest: Digest) -> bytes:
    return f"{digest.algorithm}-{digest.hex}".encode()


def _path(digest: Digest) -> bytes:
    return _UPWARDS + _directory_name(digest)
