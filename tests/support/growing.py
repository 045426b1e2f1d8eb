"""Trees of whole artifacts: plan, tables and tree by our own rooms, layers decompressed by Python."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mkfs.formats.plan import Plan, TarLayer
from mkfs.oci.digest import Digest
from mkfs.tree.build import build
from mkfs.tree.nodes import File
from mkfs.tree.tree import Tree
from tests.archive.tarballs import scan
from tests.support.unpacking import uncompressed


@dataclass(frozen=True)
class Grown:
    """A tree and the uncompressed bytes of its layers."""

    tree: Tree
    layers: Sequence[bytes]

    def content(self, file: File) -> bytes:
        """What a reader would get."""
        if file.layer is None:
            return file.data
        data = self.layers[file.layer]
        return b"".join(data[extent.layer_offset : extent.layer_offset + extent.length] for extent in file.extents)


def grown(plan: Plan, blob: Callable[[Digest], bytes]) -> Grown:
    """The tree of an artifact whose blobs `blob` has."""
    layers = [uncompressed(layer, blob(layer.descriptor.digest)) for layer in plan.layers]
    tables = [scan(data) if isinstance(layer.reading, TarLayer) else None for layer, data in zip(plan.layers, layers, strict=True)]
    sizes = {index: len(data) for index, data in enumerate(layers) if plan.layers[index].reading.compression}
    return Grown(build(plan, tables, sizes), layers)
