"""From a plan and the tables of its layers to the tree a mount shows.

Rules. What the config gives (the Kitfile) comes first, then the layers in the plan's order. A directory may be named by many: the
first entry that names it gives its mode, one that none names gets 0o755, and the root, which is the user's own directory, keeps
0o755 whatever an archive says of `.`. A file belongs to one entry: a second claim to its path is refused, by the same layer or
another, as a file or as a directory on the way; `kit unpack` fails there too. Nothing is followed, renamed or repaired.

A hard link is its target's content once more: an earlier entry of a layer that holds such links. Symbolic links: see `links`. An
image's layers do not come together but lie over one another: see `overlay`.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, final

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.names import show_name
from mkfs.errors import BadArchive, BadDocument, Unsupported
from mkfs.formats.plan import Plan, RawLayer, TarLayer
from mkfs.tree.growing import (
    CONFIG,
    IMPLIED_MODE,
    KINDS,
    Branch,
    Growing,
    Item,
    Leaf,
    Link,
    Names,
    entry_time,
    finished,
    leaf,
)
from mkfs.tree.links import check_links
from mkfs.tree.overlay import overlaid
from mkfs.tree.tree import Tree

_NO_SIZES: Final[Mapping[int, int]] = MappingProxyType({})


def build(plan: Plan, tables: Sequence[Table | None], raw_sizes: Mapping[int, int] = _NO_SIZES) -> Tree:
    """The tree of an artifact. `tables` run parallel to `plan.layers`: None for raw layers. `raw_sizes` has the uncompressed size
    of each compressed raw layer, in bytes, by its index there.

    Raises `BadArchive` (an entry's path, kind or target has no place here), `BadDocument` (a path or a size given by manifest or
    config is not right), `Unsupported` (two claims to one path, a file for the root, too many nodes), each naming path and layers.
    Raises `ValueError` where plan, tables and sizes do not belong together.
    """
    if plan.overlay:
        return overlaid(plan, tables)
    union = _Union(plan)
    for given in plan.files:
        file = Leaf(CONFIG, given.mode, len(given.data), None, (), given.data)
        union.add(union.given_path(given.path, CONFIG), file)
    for index, (layer, table) in enumerate(zip(plan.layers, tables, strict=True)):
        if isinstance(layer.reading, RawLayer):
            size_bytes = union.raw_size(index, layer.reading, raw_sizes)
            file = leaf(index, layer.reading.mode, size_bytes, 0, layer.reading.mtime_ns)
            union.add(union.given_path(layer.reading.path, index), file)
        elif table is None:
            raise ValueError(f"layer {index} is a tar, and has no table")
        else:
            union.add_table(index, layer.reading, table)
    if union.has_links:
        check_links(union, union.root)
    return finished(union.root)


@final
class _Union(Growing):
    """Layers beside one another."""

    def raw_size(self, index: int, reading: RawLayer, raw_sizes: Mapping[int, int]) -> int:
        """The size of the file that a raw layer is. Raises `BadDocument` where the artifact says another."""
        if not reading.compression:
            return self.plan.layers[index].descriptor.size_bytes
        size_bytes = raw_sizes.get(index)
        if size_bytes is None:
            raise ValueError(f"layer {index} is a compressed file, and has no size")
        if reading.size_bytes not in (None, size_bytes):
            what = f"the file {show_name(reading.path)} has another size than its annotation says"
            raise BadDocument(f"{what} (got {size_bytes} bytes, expected {reading.size_bytes})", self.label(index))
        return size_bytes

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
            names = prefix + self.entry_path(entry.path, index)
            if names[: len(within)] != within:
                raise BadArchive(f"{show_name(entry.path)} is not within {show_name(reading.within)}", self.label(index))
            if entry.kind not in reading.kinds:
                raise self.no_place(entry, index)
            self._add_entry(names, entry, index, reading)

    def _add_entry(self, names: Names, entry: Entry, index: int, reading: TarLayer) -> None:
        mtime_ns = entry_time(entry, reading)
        match entry.kind:
            case EntryKind.DIRECTORY:
                branch = self._branch(names, index)
                if branch.mode is None:
                    branch.mode, branch.mtime_ns = entry.mode, mtime_ns
            case EntryKind.FILE:
                self.add(names, leaf(index, entry.mode, entry.size_bytes, entry.content_offset, mtime_ns))
            case EntryKind.SYMLINK:
                self.add(names, Link(index, entry.link, mtime_ns))
            case EntryKind.HARDLINK:
                self.add(names, self._linked(entry, index))
            case _:
                raise self.no_place(entry, index)

    def add(self, names: Names, item: Leaf | Link) -> None:
        """A file or link at `names`, with the directories on the way."""
        if not names:
            raise Unsupported("a file would take the place of the whole directory", self.label(item.claim))
        self._claim(self._branch(names[:-1], item.claim), names, item)

    def _linked(self, entry: Entry, index: int) -> Leaf:
        """The file that a hard link names: one that came before, in an archive by its path from the archive's top."""
        reading = self.plan.layers[index].reading
        prefix = self.given_path(reading.prefix, index) if isinstance(reading, TarLayer) and reading.prefix else ()
        item = self.item_at(prefix + self.entry_path(entry.link, index))
        if not isinstance(item, Leaf):
            raise self.no_target(entry, index)
        return item

    def _branch(self, names: Names, claim: int) -> Branch:
        """The directory at `names`, made where it is missing."""
        branch = self.root
        for depth, name in enumerate(names, 1):
            child = branch.children.get(name)
            if child is None:
                child = Branch(claim)
                self._claim(branch, names[:depth], child)
            elif not isinstance(child, Branch):
                raise self._clash(names[:depth], child, claim)
            branch = child
        return branch

    def _claim(self, branch: Branch, names: Names, child: Item) -> None:
        other = branch.children.get(names[-1])
        if other is not None:
            raise self._clash(names, other, child.claim)
        self.put(branch, names, child)

    def _clash(self, names: Names, first: Item, second: int) -> Unsupported:
        what = f"{show_name(b'/'.join(names))} is claimed twice: it is a {KINDS[type(first)]} already"
        return Unsupported(what, f"{self.label(first.claim)}, then {self.label(second)}")
