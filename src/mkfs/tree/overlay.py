"""Layers over one another, as a container's root file system is made of them (image-spec, layer.md, "Applying Changesets").

Each layer changes what is below it. First its whiteouts take away: `.wh.NAME` what the layers below have as NAME, `.wh..wh..opq`
all that they have in its directory. Then its entries come, in their order: a directory over a directory keeps the children and
takes the new mode, anything else takes the place of what was there. A path goes through links of the layers below, within the
image's root, as an unpacker's would.

Of the result the directory `top` is shown. Links in it that lead anywhere else are refused: their target is not there for a reader.
So are devices and pipes; outside of it they are nobody's business.
"""

from collections.abc import Sequence
from typing import Final, cast, final

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.names import show_name
from mkfs.errors import BadArchive, Unsupported
from mkfs.formats.plan import Plan, TarLayer
from mkfs.tree.growing import Branch, Growing, Item, Leaf, Link, Names, Oddity, entry_time, finished, leaf
from mkfs.tree.links import HOPS_LIMIT, check_links, everything_below, follow, relative, steps
from mkfs.tree.tree import Tree

_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"


def overlaid(plan: Plan, tables: Sequence[Table | None]) -> Tree:
    """The tree below `plan.top` of these layers. Raises as `build`, and `Unsupported` where there is no such directory."""
    image = _Image(plan)
    for index, (layer, table) in enumerate(zip(plan.layers, tables, strict=True)):
        if table is None or not isinstance(layer.reading, TarLayer):
            raise ValueError(f"layer {index} of an image has no table")
        image.apply(index, layer.reading, table)
    return finished(image.top())


@final
class _Image(Growing):
    """Layers over one another."""

    def apply(self, index: int, reading: TarLayer, table: Table) -> None:
        """The next layer."""
        entries: list[tuple[Names, Entry]] = []
        for entry in table:
            if entry.kind in reading.skipped:
                continue
            names = self.entry_path(entry.path, index)
            if names and names[-1].startswith(_WHITEOUT):
                self._white_out(names)
            else:
                entries.append((names, entry))
        for names, entry in entries:
            self._add(names, entry, index, reading)

    def top(self) -> Branch:
        """The directory that is shown, its links made fit for it."""
        names = self.given_path(self.plan.top, 0) if self.plan.top else ()
        place = follow(self.root, (), self.plan.top, absolute=True)
        item = None if place is None else self.item_at(place)
        if place is None or not isinstance(item, Branch) or not (item.children or not names):
            has = ", ".join(show_name(name) for name in sorted(self.root.children)[:8]) or "nothing"
            raise Unsupported(f"the image has no /{b'/'.join(names).decode('utf-8', 'replace')} with files in it (it has {has})")
        for at, below in everything_below(item):
            if isinstance(below, Oddity):
                raise self.no_place(below.entry, below.claim)
            if isinstance(below, Link):
                self._mend(place, at, below)
        check_links(self, item)
        return item

    def _mend(self, top: Names, at: Names, link: Link) -> None:
        """Makes the link at `at` below `top` lead where it leads in the image, without the image's root."""
        here = (*top, *at[:-1])
        to = follow(self.root, here, link.target, absolute=True)
        if to is not None and to[: len(top)] == top:
            if link.target.startswith(b"/") or _climbs_above(here, top, link.target):
                link.target = relative(here, to)
            return
        if to is None and not link.target.startswith(b"/") and not _climbs_above(here, top, link.target):
            return  # to nothing, but within
        what = f"{show_name(b'/'.join(at))} is a symbolic link that leads out of the directory (to {show_name(link.target)})"
        raise BadArchive(what, self.label(link.claim))

    def _white_out(self, names: Names) -> None:
        """What a whiteout takes away from the layers below. One that finds nothing does nothing."""
        place = self._real(names[:-1])
        branch = None if place is None else self.item_at(place)
        if not isinstance(branch, Branch):
            return
        if names[-1] == _OPAQUE:
            branch.children.clear()
        else:
            branch.children.pop(names[-1].removeprefix(_WHITEOUT), None)

    def _add(self, names: Names, entry: Entry, index: int, reading: TarLayer) -> None:
        mtime_ns = entry_time(entry, reading)
        if entry.kind is EntryKind.DIRECTORY:
            branch = self._directory(names, index)
            branch.mode, branch.mtime_ns = entry.mode, mtime_ns
            return
        if not names:
            raise Unsupported("a file would take the place of the whole directory", self.label(index))
        branch = self._directory(names[:-1], index)
        match entry.kind:
            case EntryKind.FILE:
                item: Item = leaf(index, entry.mode, entry.size_bytes, entry.content_offset, mtime_ns)
            case EntryKind.SYMLINK:
                item = Link(index, entry.link, mtime_ns)
            case EntryKind.HARDLINK:
                item = self._linked(entry, index)
            case _:
                item = Oddity(index, entry)
        branch.children.pop(names[-1], None)
        self.put(branch, names, item)

    def _directory(self, names: Names, index: int) -> Branch:
        """The directory at `names`, through the links on the way; made where it is missing or something else is in its place."""
        waiting = list(reversed(names))
        at: list[bytes] = []
        hops = 0
        while waiting:
            name = waiting.pop()
            if name == b"..":
                del at[-1:]
                continue
            branch = cast(Branch, self.item_at(at))
            child = branch.children.get(name)
            if isinstance(child, Link) and hops < HOPS_LIMIT:
                hops += 1
                if child.target.startswith(b"/"):
                    at.clear()
                waiting += steps(child.target)
                continue
            if not isinstance(child, Branch):
                branch.children.pop(name, None)
                self.put(branch, (*at, name), Branch(index))
            at.append(name)
        return cast(Branch, self.item_at(at))

    def _real(self, names: Names) -> Names | None:
        """Where a path leads, through the links on the way; None where it leads nowhere."""
        return follow(self.root, (), b"/".join(names), absolute=True)

    def _linked(self, entry: Entry, index: int) -> Leaf:
        """The file that a hard link names, by its path from the image's root: of this layer or of one below."""
        names = self.entry_path(entry.link, index)
        place = self._real(names[:-1])
        item = None if place is None else self.item_at((*place, *names[-1:]))
        if not isinstance(item, Leaf):
            raise self.no_target(entry, index)
        return item


def _climbs_above(at: Names, top: Names, target: bytes) -> bool:
    """Whether following `target` from the directory `at` may step above `top`, by the look of it."""
    depth = len(at) - len(top)
    for step in target.split(b"/"):
        if step == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif step not in (b"", b"."):
            depth += 1
    return False
