"""Inode numbers: tree and node in one number, the same in every process."""

import errno

import pytest

from mkfs.errors import FileSystemError
from mkfs.vfs.forest import TREE_STRIDE, Forest
from tests.support.fake_layers import MemoryLayer
from tests.support.trees import Part, grow


def one_file(size: int = 1) -> tuple:
    return grow({b"dir/file": Part(size, MemoryLayer(bytes(size)))})


def test_the_first_tree_stands_at_the_root_that_fuse_asks_for() -> None:
    forest = Forest()
    planted = forest.plant(*one_file())
    assert forest.locate(1) == (planted, planted.tree.node(1))
    assert planted.inode(2) == 2


def test_trees_do_not_share_numbers() -> None:
    forest = Forest()
    first, second = forest.plant(*one_file()), forest.plant(*one_file())
    assert forest.locate(TREE_STRIDE + 3) == (second, second.tree.node(3))
    assert second.inode(3) == TREE_STRIDE + 3
    assert forest.locate(3) == (first, first.tree.node(3))


@pytest.mark.parametrize("inode", [0, 4, TREE_STRIDE, TREE_STRIDE + 4, 2 * TREE_STRIDE + 1])
def test_a_number_never_given_out_is_stale(inode: int) -> None:
    forest = Forest()
    forest.plant(*one_file())
    forest.plant(*one_file())
    with pytest.raises(FileSystemError) as caught:
        forest.locate(inode)
    assert caught.value.errno == errno.ESTALE


def test_totals_are_of_all_trees() -> None:
    forest = Forest()
    forest.plant(*one_file(100))
    forest.plant(*one_file(23))
    assert forest.totals() == (123, 6)
