"""The forest: immutable trees side by side in one space of inode numbers.

An inode is `tree * 2**40 + node`, so its number says where it belongs, is the same in every process that planted the same trees in
the same order, and stays valid for as long as the tree stands, whether or not the kernel has forgotten it. Tree 0 is at the root of
the mount: its node 1 is inode 1, which FUSE takes for the root. A number may be set aside for a tree that is still to be planted
(`vfs.top`).
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, final

from mkfs.content.reads import LayerReads
from mkfs.errors import FileSystemError
from mkfs.oci.digest import Digest
from mkfs.tree.nodes import File, Node
from mkfs.tree.tree import ROOT, Tree

# A tree has two million nodes at most (`tree.growing`), an inode 63 bits for all readers: 2**23 trees.
TREE_STRIDE: Final = 2**40
TREES_LIMIT: Final = 2**23


@final
@dataclass(frozen=True, eq=False)  # no slots: it keeps its totals once somebody asked
class Planted:
    """A tree in its place. `layers` are parallel to its plan's and answer the reads of its files; `digest` is its manifest's.
    `above` is the inode of the directory that its root is in, None at the root of the mount.
    """

    number: int
    tree: Tree
    layers: Sequence[LayerReads]
    digest: Digest
    above: int | None = None

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
        self._trees: dict[int, Planted] = {}
        self._above: dict[int, int] = {}  # of the numbers that were set aside
        self._next = 0

    def plant(self, tree: Tree, layers: Sequence[LayerReads], digest: Digest, number: int | None = None) -> Planted:
        """Adds a tree under the next number, or under one that was set aside for it."""
        if number is None:
            number, self._next = self._next, self._next + 1
        planted = self._trees[number] = Planted(number, tree, layers, digest, self._above.get(number))
        return planted

    def reserve(self, above: int) -> int:
        """Sets the next number aside for a tree whose root is in the directory `above`. Raises `FileSystemError` ENOSPC when all
        numbers are given out.
        """
        if self._next == TREES_LIMIT:
            raise FileSystemError(errno.ENOSPC, f"this mount has given out all of its {TREES_LIMIT} numbers for trees")
        number, self._next = self._next, self._next + 1
        self._above[number] = above
        return number

    def is_planted(self, number: int) -> bool:
        """Whether a tree stands there."""
        return number in self._trees

    def locate(self, inode: int) -> tuple[Planted, Node]:
        """The tree and node of `inode`. Raises `FileSystemError` ESTALE for one this mount never gave out (NFS may ask)."""
        number, node_number = divmod(inode, TREE_STRIDE)
        try:
            planted = self._trees[number]
            return planted, planted.tree.node(node_number)
        except KeyError:
            raise FileSystemError(errno.ESTALE, f"no inode {inode}") from None

    def totals(self) -> tuple[int, int]:
        """Bytes and nodes of all trees."""
        trees = self._trees.values()
        return sum(planted.size_bytes for planted in trees), sum(len(planted.tree) for planted in trees)
