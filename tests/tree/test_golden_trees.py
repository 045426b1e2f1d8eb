"""What real tools packed gives the directory that the same tools unpacked: names, modes as a mount shows them, content."""

import pytest

from mkfs.tree.nodes import Directory
from tests.support import golden
from tests.support.growing import Grown, grown
from tests.support.planning import plan_golden

SHOWN = 0o555  # a mount is read-only, and the tool's umask took the writing of others anyway
STANDALONE = [name for name in golden.names() if "-child-" not in name]  # that one is a reference to another kit


def shown(of: Grown) -> dict[str, tuple[str, int, str]]:
    return {
        path.decode(): ("dir", node.mode & SHOWN, "")
        if isinstance(node, Directory)
        else ("file", node.mode & SHOWN, golden.sha256(of.content(node)))
        for path, node in of.tree.walk()
    }


@pytest.mark.parametrize("name", STANDALONE)
def test_the_tree_is_what_the_tool_unpacked(name: str) -> None:
    expected = {
        entry["path"]: (entry["type"], int(entry["mode"], 8) & SHOWN, entry.get("sha256", "")) for entry in golden.expected(name)
    }
    assert shown(grown(plan_golden(name), golden.blob)) == expected
