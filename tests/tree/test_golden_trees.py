"""What real tools packed gives the directory that the same tools unpacked: names, modes as a mount shows them, content."""

import pytest
import yaml

from mkfs.formats.plan import Plan
from mkfs.oci.digest import Digest
from mkfs.testing.artifacts import Artifact
from mkfs.testing.bodies import MemoryBody
from mkfs.tree.nodes import Directory
from tests.support import golden
from tests.support.growing import Grown, grown
from tests.support.planning import plan_of

SHOWN = 0o555  # a mount is read-only, and the tool's umask took the writing of others anyway
PARENTS = {"127.0.0.1:5310/golden/kit-1.11:simple-tar": "kit-1.11-simple-tar"}  # by the words of the kit that refers to it
KITS = golden.names("kit-")


def artifact(name: str) -> Artifact:
    blobs = {Digest.parse(digest): MemoryBody(data) for digest, data in golden.blobs(name).items()}
    return Artifact(golden.manifest_bytes(name), blobs)


def planned(name: str) -> Plan:
    """The plan of a golden artifact, with those it refers to."""
    blobs = {Digest.parse(digest): data for digest, data in golden.blobs(name).items()}
    return plan_of(golden.manifest_bytes(name), blobs, {words: artifact(parent) for words, parent in PARENTS.items()})


def shown(of: Grown) -> dict[str, tuple[str, int, str]]:
    return {
        path.decode(): ("dir", node.mode & SHOWN, "")
        if isinstance(node, Directory)
        else ("file", node.mode & SHOWN, golden.sha256(of.content(node)))
        for path, node in of.tree.walk()
    }


def test_every_golden_artifact_is_compared() -> None:
    assert (len(golden.names()), len(KITS)) == (44, 41)
    assert {path.stem for path in golden.EXPECTED.glob("*.json")} == set(golden.names())


@pytest.mark.parametrize("name", golden.names())
def test_the_tree_is_what_the_tool_unpacked(name: str) -> None:
    expected = {
        entry["path"]: (entry["type"], int(entry["mode"], 8) & SHOWN, entry.get("sha256", "")) for entry in golden.expected(name)
    }
    assert shown(grown(planned(name), golden.blob)) == expected


@pytest.mark.parametrize("name", KITS)
def test_the_kitfile_is_the_one_that_kit_wrote(name: str) -> None:
    (file,) = (file for file in planned(name).files if file.path == b"Kitfile")
    written = golden.kitfile(name)
    assert written is not None
    assert yaml.safe_load(file.data) == yaml.safe_load(written)
    assert file.data == written
