"""The layers that real kits are made of give the directories that kit unpacked: names, modes as a mount shows them, content."""

import json

import pytest

from mkfs.formats.plan import InlineFile
from mkfs.tree.build import Tree
from mkfs.tree.nodes import Directory, File
from tests.support import golden
from tests.tree.plans import Layer, tar, tree_of

SHOWN = 0o555  # a mount is read-only, and the tool's umask took the writing of others anyway


def layers(name: str) -> list[Layer]:
    """The layers of an artifact, each a tar."""
    return [tar(golden.blob(layer["digest"])) for layer in json.loads(golden.manifest_bytes(name))["layers"] or ()]


def content(node: File, of: list[Layer]) -> bytes:
    """What a reader would get."""
    if node.layer is None:
        return node.data
    data = of[node.layer][1]
    return b"".join(data[extent.layer_offset : extent.layer_offset + extent.length] for extent in node.extents)


def shown(tree: Tree, of: list[Layer]) -> dict[str, tuple[str, int, str]]:
    return {
        path.decode(): ("dir", node.mode & SHOWN, "")
        if isinstance(node, Directory)
        else ("file", node.mode & SHOWN, golden.sha256(content(node, of)))
        for path, node in tree.walk()
    }


@pytest.mark.parametrize("name", golden.tar_kits())
def test_the_tree_is_what_kit_unpacked(name: str) -> None:
    of = layers(name)
    kitfile = golden.kitfile(name)
    tree = tree_of(*of, files=(InlineFile(b"Kitfile", kitfile),) if kitfile else ())
    expected = {
        entry["path"]: (entry["type"], int(entry["mode"], 8) & SHOWN, entry.get("sha256", "")) for entry in golden.expected(name)
    }
    assert shown(tree, of) == expected
