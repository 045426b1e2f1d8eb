"""The forest: immutable trees side by side in one space of inode numbers.

An inode is `tree * 2**40 + node`, so its number says where it belongs, is the same in every process that planted the same trees in
the same order, and stays valid for as long as the tree stands, whether or not the kernel has forgotten it. Tree 0 is at the root of
the mount: its node 1 is inode 1, which FUSE takes for the root.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

from mkfs.content.reads import LayerReads
from mkfs.errors import FileSystemError
from mkfs.oci.digest import Digest
from mkfs.tree.build import ROOT, Tree
from mkfs.tree.nodes import File, Node

# A tree has two million nodes at most (`tree.build`), an inode 63 bits for all readers: 2**23 trees.
TREE_STRIDE: Final = 2**40


@final
@dataclass(frozen=True, eq=False)  # no slots: it keeps its totals once somebody asked
class Planted:
    """A tree in its place. `layers` are parallel to its plan's and answer the reads of its files; `digest` is its manifest's."""

    number: int
    tree: Tree
    layers: Sequence[LayerReads]
    digest: Digest

    def inode(self, node_number: int) -> int:
        """The mount's number for a node of this tree."""
        return self.number * TREE_STRIDE + node_number

    def files_of(self, layer: LayerReads) -> tuple[int, ...]:
        """The mount's numbers of all files whose content `layer` has. Looks at every node."""
        nodes = map(self.tree.node, range(ROOT, ROOT + len(self.tree)))
        files = (node for node in nodes if isinstance(node, File) and node.layer is not None)
        return tuple(self.inode(file.number) for file in files if file.layer is not None and self.layers[file.layer] is layer)

    @cached_property
    def size_bytes(self) -> int:
        """All files together. The first call looks at every node (0.3 s for a million)."""
        nodes = map(self.tree.node, range(ROOT, ROOT + len(self.tree)))
        return sum(node.size_bytes for node in nodes if isinstance(node, File))


@final
class Forest:
    """Trees by number. Planting is all that changes it; a planted tree never does."""

    def __init__(self) -> None:
        self._trees: list[Planted] = []

    def plant(self, tree: Tree, layers: Sequence[LayerReads], digest: Digest) -> Planted:
        """Adds a tree under the next number."""
        planted = Planted(len(self._trees), tree, layers, digest)
        self._trees.append(planted)
        return planted

    def locate(self, inode: int) -> tuple[Planted, Node]:
        """The tree and node of `inode`. Raises `FileSystemError` ESTALE for one this mount never gave out (NFS may ask)."""
        number, node_number = divmod(inode, TREE_STRIDE)
        try:
            planted = self._trees[number]
            return planted, planted.tree.node(node_number)
        except (IndexError, KeyError):
            raise FileSystemError(errno.ESTALE, f"no inode {inode}") from None

    def totals(self) -> tuple[int, int]:
        """Bytes and nodes of all trees."""
        return sum(planted.size_bytes for planted in self._trees), sum(len(planted.tree) for planted in self._trees)
