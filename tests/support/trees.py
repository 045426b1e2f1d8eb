"""Trees for tests, from a list of files: each file has a layer of its own, as a ModelKit's parts have."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mkfs.archive.entry import Entry, EntryKind
from mkfs.content.reads import LayerReads
from mkfs.formats.plan import InlineFile, Plan, PlannedLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.tree.build import build
from mkfs.tree.tree import Tree

MANIFEST = Digest.of(b"manifest")


@dataclass(frozen=True)
class Part:
    """One file of a tree and the layer that answers for it; the content starts at `content_offset` of the layer."""

    size_bytes: int
    layer: LayerReads
    mode: int = 0o644
    content_offset: int = 0


def grow(
    parts: Mapping[bytes, Part],
    *,
    inline: Mapping[bytes, bytes] = MappingProxyType({}),
    directories: Mapping[bytes, int] = MappingProxyType({}),
    links: Mapping[bytes, bytes] = MappingProxyType({}),
) -> tuple[Tree, tuple[LayerReads, ...], Digest]:
    """What to plant: the tree of `parts`, `inline` files and `links` by path, the layers of its files, its manifest's digest."""
    tables = [(Entry(path, EntryKind.FILE, part.mode, part.size_bytes, part.content_offset),) for path, part in parts.items()]
    tables.append(tuple(Entry(path, EntryKind.DIRECTORY, mode, 0, 0) for path, mode in directories.items()))
    tables.append(tuple(Entry(path, EntryKind.SYMLINK, 0o777, 0, 0, link=target) for path, target in links.items()))
    reading = TarLayer(kinds=frozenset({EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.SYMLINK}))
    layers = tuple(
        PlannedLayer(Descriptor("test", Digest.of(b"%d" % number), 0), reading, "model") for number in range(len(tables))
    )
    files = tuple(InlineFile(path, data) for path, data in inline.items())
    return build(Plan("test", layers, files), tables), tuple(part.layer for part in parts.values()), MANIFEST
