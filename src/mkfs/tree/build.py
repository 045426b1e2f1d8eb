"""From a plan and the tables of its layers to the tree a mount shows.

Rules. What the config gives (the Kitfile) comes first, then the layers in the plan's order. A directory may be named by many: the
first entry that names it gives its mode, one that none names gets 0o755, and the root, which is the user's own directory, keeps
0o755 whatever an archive says of `.`. A file belongs to one entry: a second claim to its path is refused, by the same layer or
another, as a file or as a directory on the way; `kit unpack` fails there too. Nothing is followed, renamed or repaired.

Work is linear in the components of all paths. No step recurses: a path may be 2,048 directories deep.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, final

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.names import show_name
from mkfs.errors import BadArchive, BadDocument, Unsupported
from mkfs.formats.plan import Plan, RawLayer, TarLayer
from mkfs.tree.nodes import Directory, Extent, File, Node
from mkfs.tree.paths import components

ROOT: Final = 1  # FUSE's number for the root of a mount
IMPLIED_MODE: Final = 0o755  # what kit, modctl and tar give directories that no entry names
NODES_LIMIT: Final = 2_000_000  # of a tree, about 1 GB of it: many layers, each within its own limits, must not fill the memory

_NS: Final = 10**9
_SECONDS_LIMIT: Final = 2**33  # the year 2242: nanoseconds stay within 64 bits
_NO_SIZES: Final[Mapping[int, int]] = MappingProxyType({})
_CONFIG: Final = -1  # stands for an index into the plan's layers where a file comes from the config

Names = tuple[bytes, ...]


@final
class Tree:
    """An immutable tree of files and directories. Numbers run from 1, the root, without gaps; they depend on the paths alone.

    Asking for a number that is not there raises `KeyError`.
    """

    __slots__ = ("_nodes", "_places")

    def __init__(self, nodes: Sequence[Node], places: Sequence[tuple[int, bytes]]) -> None:
        self._nodes = tuple(nodes)  # node `number` at index `number - ROOT`
        self._places = tuple(places)  # parent's number and own name, likewise

    def node(self, number: int) -> Node:
        """The file or directory with this number."""
        if not ROOT <= number < ROOT + len(self._nodes):
            raise KeyError(number)
        return self._nodes[number - ROOT]

    def lookup(self, directory_number: int, name: bytes) -> int | None:
        """The number of `name` in a directory; None where it has no such name, or is a file. `.` and `..` are no names here."""
        directory = self.node(directory_number)
        return directory.children.get(name) if isinstance(directory, Directory) else None

    def find(self, path: bytes) -> Node | None:
        """What lies at `path` below the root (`b""`), or None. `..` finds nothing; a `/` in front or behind means nothing."""
        number: int | None = ROOT
        for name in path.split(b"/"):
            if name not in (b"", b".") and number is not None:
                number = self.lookup(number, name)
        return None if number is None else self.node(number)

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Everything below the root with its path, parents before children, the names of each directory in order of their bytes."""
        below = [(b"", ROOT)]
        while below:
            path, number = below.pop()
            node = self.node(number)
            if number != ROOT:
                yield path, node
            if isinstance(node, Directory):
                start = path + b"/" if path else b""
                below.extend((start + name, child) for name, child in reversed(tuple(node.children.items())))

    def path(self, number: int) -> bytes:
        """The path of a node, relative to the root; `b""` for the root."""
        self.node(number)
        names: list[bytes] = []
        while number != ROOT:
            number, name = self._places[number - ROOT]
            names.append(name)
        return b"/".join(reversed(names))

    def __len__(self) -> int:
        """How many files and directories, the root among them."""
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<Tree of {len(self)} nodes>"


def build(plan: Plan, tables: Sequence[Table | None], raw_sizes: Mapping[int, int] = _NO_SIZES) -> Tree:
    """The tree of an artifact. `tables` run parallel to `plan.layers`: None for raw layers. `raw_sizes` has the uncompressed size
    of each compressed raw layer, in bytes, by its index there.

    Raises `BadArchive` (an entry's path or kind has no place here), `BadDocument` (a path or a size given by manifest or config is
    not right), `Unsupported` (two claims to one path, a file for the root, too many nodes), each naming path and layers. Raises
    `ValueError` where plan, tables and sizes do not belong together.
    """
    growing = _Growing(plan)
    for given in plan.files:
        leaf = _Leaf(_CONFIG, given.mode, len(given.data), None, (), given.data)
        growing.add_file(growing.given_path(given.path, _CONFIG), leaf)
    for index, (layer, table) in enumerate(zip(plan.layers, tables, strict=True)):
        if isinstance(layer.reading, RawLayer):
            size_bytes = growing.raw_size(index, layer.reading, raw_sizes)
            leaf = _leaf(index, layer.reading.mode, size_bytes, 0, layer.reading.mtime_ns)
            growing.add_file(growing.given_path(layer.reading.path, index), leaf)
        elif table is None:
            raise ValueError(f"layer {index} is a tar, and has no table")
        else:
            growing.add_table(index, layer.reading, table)
    return growing.tree()


@dataclass(slots=True)
class _Leaf:
    claim: int  # whose it is: an index into the plan's layers, or _CONFIG
    mode: int
    size_bytes: int
    layer: int | None
    extents: tuple[Extent, ...]
    data: bytes = b""
    mtime_ns: int | None = None


@dataclass(slots=True)
class _Branch:
    claim: int  # who came first
    mode: int | None = None  # None until an entry names it
    mtime_ns: int | None = None
    children: "dict[bytes, _Branch | _Leaf]" = field(default_factory=dict)


def _leaf(layer: int, mode: int, size_bytes: int, layer_offset: int, mtime_ns: int | None) -> _Leaf:
    extents = (Extent(0, layer_offset, size_bytes),) if size_bytes else ()
    return _Leaf(layer, mode, size_bytes, layer, extents, mtime_ns=mtime_ns)


def _time(entry: Entry, reading: TarLayer) -> int | None:
    """The entry's own time. The epoch is what those write who keep none, and nobody packed a model before or centuries from now."""
    return entry.mtime_seconds * _NS if reading.keeps_times and 0 < entry.mtime_seconds < _SECONDS_LIMIT else None


class _Growing:
    """A tree that still takes files and directories."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._root = _Branch(_CONFIG, IMPLIED_MODE)
        self._count = 1

    def add_table(self, index: int, reading: TarLayer, table: Table) -> None:
        """The entries of a tar layer, below its prefix."""
        prefix = self.given_path(reading.prefix, index) if reading.prefix else ()
        within = self.given_path(reading.within, index) if reading.within else ()
        if within:
            place = self._branch(within, index)
            place.mode = IMPLIED_MODE if place.mode is None else place.mode
        for entry in table:
            if entry.kind in reading.skipped:
                continue
            names = prefix + self._entry_path(entry, index)
            if names[: len(within)] != within:
                raise BadArchive(f"{show_name(entry.path)} is not within {show_name(reading.within)}", self._label(index))
            if entry.kind is EntryKind.DIRECTORY and entry.kind in reading.kinds:
                branch = self._branch(names, index)
                if branch.mode is None:
                    branch.mode, branch.mtime_ns = entry.mode, _time(entry, reading)
            elif entry.kind is EntryKind.FILE and entry.kind in reading.kinds:
                self.add_file(names, _leaf(index, entry.mode, entry.size_bytes, entry.content_offset, _time(entry, reading)))
            else:
                raise BadArchive(f"{show_name(entry.path)} is a {entry.kind.value}, which has no place here", self._label(index))

    def add_file(self, names: Names, leaf: _Leaf) -> None:
        """A file at `names`, with the directories on the way."""
        if not names:
            raise Unsupported("a file would take the place of the whole directory", self._label(leaf.claim))
        self._put(self._branch(names[:-1], leaf.claim), names, leaf)

    def raw_size(self, index: int, reading: RawLayer, raw_sizes: Mapping[int, int]) -> int:
        """The size of the file that a raw layer is. Raises `BadDocument` where the artifact says another."""
        if not reading.compression:
            return self._plan.layers[index].descriptor.size_bytes
        size_bytes = raw_sizes.get(index)
        if size_bytes is None:
            raise ValueError(f"layer {index} is a compressed file, and has no size")
        if reading.size_bytes not in (None, size_bytes):
            what = f"the file {show_name(reading.path)} has another size than its annotation says"
            raise BadDocument(f"{what} (got {size_bytes} bytes, expected {reading.size_bytes})", self._label(index))
        return size_bytes

    def given_path(self, path: bytes, claim: int) -> Names:
        """A path that manifest or config give, as components. Raises `BadDocument`."""
        try:
            return components(path)
        except BadArchive as error:
            raise BadDocument(error.what, self._label(claim)) from None

    def tree(self) -> Tree:
        """The tree as it stands: breadth first, so that the children of a directory have numbers in a row."""
        nodes: list[Node] = []
        queue: list[tuple[int, bytes, _Branch | _Leaf]] = [(ROOT, b"", self._root)]
        for number, (parent, _, item) in enumerate(queue, ROOT):  # the queue grows on the way; a node's number is its place in it
            if isinstance(item, _Leaf):
                nodes.append(File(number, item.mode, item.size_bytes, item.layer, item.extents, item.data, item.mtime_ns))
                continue
            names = sorted(item.children)
            children = dict(zip(names, range(ROOT + len(queue), ROOT + len(queue) + len(names)), strict=True))
            queue.extend((number, name, item.children[name]) for name in names)
            mode = IMPLIED_MODE if item.mode is None else item.mode
            nodes.append(Directory(number, parent, mode, MappingProxyType(children), item.mtime_ns))
        return Tree(nodes, [(parent, name) for parent, name, _ in queue])

    def _entry_path(self, entry: Entry, index: int) -> Names:
        try:
            return components(entry.path)
        except BadArchive as error:
            raise BadArchive(error.what, self._label(index)) from None

    def _branch(self, names: Names, claim: int) -> _Branch:
        """The directory at `names`, made where it is missing."""
        branch = self._root
        for depth, name in enumerate(names, 1):
            child = branch.children.get(name)
            if child is None:
                child = _Branch(claim)
                self._put(branch, names[:depth], child)
            elif isinstance(child, _Leaf):
                raise self._clash(names[:depth], child, claim)
            branch = child
        return branch

    def _put(self, branch: _Branch, names: Names, child: _Branch | _Leaf) -> None:
        other = branch.children.get(names[-1])
        if other is not None:
            raise self._clash(names, other, child.claim)
        if self._count == NODES_LIMIT:
            raise Unsupported(f"the artifact has more than {NODES_LIMIT} files and directories", self._label(child.claim))
        branch.children[names[-1]] = child
        self._count += 1

    def _clash(self, names: Names, first: _Branch | _Leaf, second: int) -> Unsupported:
        kind = "directory" if isinstance(first, _Branch) else "file"
        what = f"{show_name(b'/'.join(names))} is claimed twice: it is a {kind} already"
        return Unsupported(what, f"{self._label(first.claim)}, then {self._label(second)}")

    def _label(self, claim: int) -> str:
        """Who claims, for a message."""
        if claim == _CONFIG:
            return "the artifact's config"
        layer = self._plan.layers[claim]
        return f"layer {layer.descriptor.digest} ({layer.element})"
