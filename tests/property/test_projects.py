"""Whatever a project holds, what kit packs of it comes out as the same directory: by our tree, and by an unpacker of other code."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mkfs.formats.plan import Plan
from mkfs.testing.artifacts import Artifact
from mkfs.testing.kits import Directory, File, KitBuilder
from mkfs.testing.kits import Kit as Packed
from mkfs.tree.nodes import File as ShownFile
from tests.support import golden
from tests.support.golden import ExpectedEntry
from tests.support.growing import grown
from tests.support.planning import plan_made, whole
from tests.support.unpacking import unpacked

EXAMPLES = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SIZES = (0, 1, 511, 512, 513, 1024, 4095, 4096, 4097, 65536)  # around the blocks of a tar and the pages of a file
KINDS = ("model", "part", "dataset", "code", "docs", "prompt")
RESERVED = {"Kitfile", "kitfile", ".kitfile", ".kitignore"}

names = st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda name: name not in {".", "..", *RESERVED}
)
files = st.builds(
    lambda seed, size, mode: File(random.Random(seed).randbytes(size), mode),
    st.integers(0, 2**16),
    st.sampled_from(SIZES),
    st.sampled_from((0o644, 0o600, 0o755, 0o444)),
)
directories = st.recursive(
    st.builds(Directory, st.dictionaries(names, files, max_size=3), st.sampled_from((0o755, 0o700))),
    lambda below: st.builds(
        Directory, st.dictionaries(names, st.one_of(files, below), max_size=4), st.sampled_from((0o755, 0o700))
    ),
    max_leaves=8,
)
layers = st.tuples(st.sampled_from(KINDS), st.lists(names, max_size=3).map("/".join), st.one_of(files, directories))
projects = st.dictionaries(names, layers, min_size=1, max_size=6)  # by a name at the top of their own, so that none overlap


def packed(project: Mapping[str, tuple[str, str, File | Directory]], compression: str) -> Packed:
    builder, model = KitBuilder("random", compression=compression), False
    for top, (kind, below, content) in project.items():
        kind = "part" if kind == "model" and model else kind  # noqa: PLW2901 - a kit has one model
        model |= kind == "model"
        getattr(builder, kind)(f"{top}/{below}" if below else top, content)
    return builder.build()


def listed(project: Mapping[str, tuple[str, str, File | Directory]]) -> dict[str, ExpectedEntry]:
    """What the project itself holds."""
    found: dict[str, ExpectedEntry] = {}

    def add(path: str, node: File | Directory) -> None:
        if isinstance(node, File):
            assert isinstance(node.content, bytes)
            found[path] = {
                "path": path,
                "mode": f"{node.mode:04o}",
                "type": "file",
                "size": len(node.content),
                "sha256": golden.sha256(node.content),
            }
            return
        found[path] = {"path": path, "mode": f"{node.mode:04o}", "type": "dir"}
        for name, each in node.entries.items():
            assert isinstance(each, File | Directory)
            add(f"{path}/{name}", each)

    for top, (_, below, content) in project.items():
        place = f"{top}/{below}" if below else top
        for cut, letter in enumerate(place):
            if letter == "/":
                found[place[:cut]] = {"path": place[:cut], "mode": "0755", "type": "dir"}
        add(place, content)
    return found


def shown(plan: Plan, made: Artifact) -> dict[str, ExpectedEntry]:
    """What our tree holds."""
    of = grown(plan, lambda digest: whole(made.blobs[digest]))
    found: dict[str, ExpectedEntry] = {}
    for path, node in of.tree.walk():
        entry: ExpectedEntry = {"path": path.decode(), "mode": f"{node.mode:04o}", "type": "dir"}
        if isinstance(node, ShownFile):
            content = of.content(node)
            assert len(content) == node.size_bytes
            entry |= {"type": "file", "size": len(content), "sha256": golden.sha256(content)}
        found[entry["path"]] = entry
    return found


def check(project: Mapping[str, tuple[str, str, File | Directory]], compression: str) -> None:
    kit = packed(project, compression)
    made = Artifact(kit.manifest, kit.blobs)
    plan = plan_made(made)
    expected, ours = listed(project), shown(plan, made)
    theirs = {entry["path"]: entry for entry in unpacked(plan, lambda digest: whole(kit.blobs[digest]))}
    assert ours == theirs
    assert ours.pop("Kitfile")["size"] > 0
    assert ours == expected


@pytest.mark.parametrize("compression", ["", "gzip"])
@EXAMPLES
@given(project=projects)
def test_a_random_project_comes_out_as_it_went_in(compression: str, project: dict[str, tuple[str, str, File | Directory]]) -> None:
    check(project, compression)


def test_so_does_one_of_two_thousand_files_and_long_paths() -> None:
    deep = File(b"at the end")
    node: File | Directory = Directory({"end.txt": deep})
    for number in range(12):
        node = Directory({f"{number}-{'long ' * 20}": node})
    many = Directory({f"{number} ü.json": File(bytes([number % 256]) * (number % 700)) for number in range(2000)})
    check({"many": ("dataset", "", many), "deep": ("code", "", node)}, "")
