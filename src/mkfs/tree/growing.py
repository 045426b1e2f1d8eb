"""A tree that still takes files, directories and links. How claims to one path are settled is decided by who grows it.

Work is linear in the components of all paths. No step recurses: a path may be 2,048 directories deep.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct, field

from mkfs.archive.entry import Entry
from mkfs.archive.names import show_name
from mkfs.errors import BadArchive, BadDocument, Unsupported
from mkfs.formats.plan import Plan, TarLayer
from mkfs.tree.nodes import Directory, Extent, File, Node, Symlink
from mkfs.tree.paths import components
from mkfs.tree.tree import ROOT, Tree

IMPLIED_MODE: Final = 0o755  # what kit, modctl and tar give directories that no entry names
NODES_LIMIT: Final = 2_000_000  # of a tree, about 1 GB of it: many layers, each within its own limits, must not fill the memory
CONFIG: Final = -1  # stands for an index into the plan's layers where a file comes from the config

_NS: Final = 10**9
_SECONDS_LIMIT: Final = 2**33  # the year 2242: nanoseconds stay within 64 bits

Names: TypeAlias = tuple[bytes, ...]


class Leaf(Struct):
    """A file. `claim` says whose it is: an index into the plan's layers, or `CONFIG`."""

    claim: int
    mode: int
    size_bytes: int
    layer: int | None
    extents: tuple[Extent, ...]
    data: bytes = b""
    mtime_ns: int | None = None


class Link(Struct):
    """A symbolic link, its target as the archive has it."""

    claim: int
    target: bytes
    mtime_ns: int | None = None


class Oddity(Struct):
    """A device or a pipe: nothing that a finished tree has."""

    claim: int
    entry: Entry


class Branch(Struct):
    """A directory."""

    claim: int  # who came first
    mode: int | None = None  # None until an entry names it
    mtime_ns: int | None = None
    children: "dict[bytes, Item]" = field(default_factory=dict)


Item: TypeAlias = Branch | Leaf | Link | Oddity

KINDS: Final[Mapping[type[Item], str]] = {Branch: "directory", Leaf: "file", Link: "symbolic link", Oddity: "device"}


def leaf(layer: int, mode: int, size_bytes: int, layer_offset: int, mtime_ns: int | None) -> Leaf:
    """A file whose content is one piece of a layer."""
    extents = (Extent(0, layer_offset, size_bytes),) if size_bytes else ()
    return Leaf(layer, mode, size_bytes, layer, extents, mtime_ns=mtime_ns)


def entry_time(entry: Entry, reading: TarLayer) -> int | None:
    """The entry's own time. The epoch is what those write who keep none, and nobody packed a model before or centuries from now."""
    return entry.mtime_seconds * _NS if reading.keeps_times and 0 < entry.mtime_seconds < _SECONDS_LIMIT else None


class Growing:
    """The tree so far. Names along a path are clean: they come from `given_path` or `entry_path`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.root = Branch(CONFIG, IMPLIED_MODE)
        self.has_links = False  # symbolic ones
        self._count = 1

    def given_path(self, path: bytes, claim: int) -> Names:
        """A path that manifest or config give, as components. Raises `BadDocument`."""
        try:
            return components(path)
        except BadArchive as error:
            raise BadDocument(error.what, self.label(claim)) from None

    def entry_path(self, path: bytes, index: int) -> Names:
        """A path that an archive's entry gives, its own or the one it links to, as components. Raises `BadArchive`."""
        try:
            return components(path)
        except BadArchive as error:
            raise BadArchive(error.what, self.label(index)) from None

    def put(self, branch: Branch, names: Names, child: Item) -> None:
        """Adds `child` to `branch`, where its name is free. Raises `Unsupported` where the tree is full."""
        if self._count == NODES_LIMIT:
            raise Unsupported(f"the artifact has more than {NODES_LIMIT} files and directories", self.label(child.claim))
        branch.children[names[-1]] = child
        self.has_links = self.has_links or isinstance(child, Link)
        self._count += 1

    def item_at(self, names: Sequence[bytes]) -> Item | None:
        """What lies at `names`; None where there is nothing, or something else than a directory on the way."""
        item: Item | None = self.root
        for name in names:
            item = item.children.get(name) if isinstance(item, Branch) else None
        return item

    def label(self, claim: int) -> str:
        """Who claims, for a message."""
        if claim == CONFIG:
            return "the artifact's config"
        layer = self.plan.layers[claim]
        return f"layer {layer.descriptor.digest} ({layer.element})"

    def no_place(self, entry: Entry, index: int) -> BadArchive:
        """The error for an entry of a kind that has no place in its layer."""
        return BadArchive(f"{show_name(entry.path)} is a {entry.kind.value}, which has no place here", self.label(index))

    def no_target(self, entry: Entry, index: int) -> BadArchive:
        """The error for a hard link to what is no file yet."""
        what = f"{show_name(entry.path)} is a hard link to {show_name(entry.link)}, which is no file before it"
        return BadArchive(what, self.label(index))


def finished(root: Branch) -> Tree:
    """The tree below `root`: breadth first, so that the children of a directory have numbers in a row."""
    nodes: list[Node] = []
    queue: list[tuple[int, bytes, Item]] = [(ROOT, b"", root)]
    for number, (parent, _, item) in enumerate(queue, ROOT):  # the queue grows on the way; a node's number is its place in it
        match item:
            case Leaf():
                nodes.append(File(number, item.mode, item.size_bytes, item.layer, item.extents, item.data, item.mtime_ns))
            case Link():
                nodes.append(Symlink(number, item.target, item.mtime_ns))
            case Branch():
                names = sorted(item.children)
                children = dict(zip(names, range(ROOT + len(queue), ROOT + len(queue) + len(names)), strict=True))
                queue.extend((number, name, item.children[name]) for name in names)
                mode = IMPLIED_MODE if item.mode is None else item.mode
                nodes.append(Directory(number, parent, mode, MappingProxyType(children), item.mtime_ns))
            case Oddity():
                raise TypeError("a device or a pipe is no node of a tree")
    return Tree(nodes, [(parent, name) for parent, name, _ in queue])
