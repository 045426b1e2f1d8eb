"""Plans for trees: layers given as tars or bytes, with the tables a scan gives."""

from mkfs.archive.entry import Table
from mkfs.formats.plan import InlineFile, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.tree.build import build
from mkfs.tree.nodes import Directory
from mkfs.tree.tree import Tree
from tests.archive.tarballs import scan

Layer = tuple[TarLayer | RawLayer, bytes]


def tar(data: bytes, prefix: bytes = b"") -> Layer:
    """A layer that is a tar."""
    return TarLayer(prefix), data


def raw(path: bytes, data: bytes, mode: int = 0o644) -> Layer:
    """A layer that is one file."""
    return RawLayer(path, mode), data


def digest(layer: Layer) -> Digest:
    """The digest of a layer."""
    return Digest.of(layer[1])


def planned(*layers: Layer, files: tuple[InlineFile, ...] = ()) -> tuple[Plan, list[Table | None]]:
    """A plan of these layers, and its tables."""
    places = tuple(PlannedLayer(Descriptor("", digest((how, data)), len(data)), how, "model") for how, data in layers)
    return Plan("test", places, files), [scan(data) if isinstance(how, TarLayer) else None for how, data in layers]


def tree_of(*layers: Layer, files: tuple[InlineFile, ...] = ()) -> Tree:
    """The tree of these layers."""
    return build(*planned(*layers, files=files))


def listing(tree: Tree) -> list[tuple[bytes, int]]:
    """Every path and mode, as `walk` gives them; directories with a slash."""
    return [(path + b"/" * isinstance(node, Directory), node.mode) for path, node in tree.walk()]
