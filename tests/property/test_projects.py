"""Whatever a project holds, what kit packs of it comes out as the same directory: by our tree, by proven reads of a mount, and by
an unpacker of other code.
"""

import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mkfs.formats.plan import Plan
from mkfs.proof.grid import CHUNK_BYTES
from mkfs.testing.artifacts import Artifact
from mkfs.testing.kits import Directory, File, KitBuilder
from mkfs.testing.kits import Kit as Packed
from mkfs.testing.registry import MemoryRegistry
from mkfs.tree.nodes import File as ShownFile
from tests.support import golden
from tests.support import opened as mounts
from tests.support.golden import ExpectedEntry
from tests.support.growing import grown
from tests.support.planning import plan_made, whole
from tests.support.unpacking import unpacked

EXAMPLES: Final = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
COMPRESSIONS: Final = ["", "gzip", "zstd"]
SMALL: Final = (0, 1, 511, 512, 513, 1024, 4095, 4096, 4097, 65536)  # around the blocks of a tar and the pages of a file
# Around chunks, and around what has a stored file of its own: from 1 MiB with its padding on.
BORDERS: Final = (CHUNK_BYTES - 512, CHUNK_BYTES - 511, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 1)
NAME_BYTES: Final = 255  # of one component
KINDS: Final = ("model", "part", "dataset", "code", "docs", "prompt")
RESERVED: Final = {"Kitfile", "kitfile", ".kitfile", ".kitignore"}


class Layer(NamedTuple):
    """What of a project goes into one layer: at `below` in a directory of its own, as a plain file where `raw`."""

    kind: str
    below: str
    content: File | Directory
    raw: bool = False


Project = Mapping[str, Layer]
"""By a name at the top, so that no layer overlaps another."""


def file(seed: int, size_bytes: int, mode: int = 0o644) -> File:
    return File(random.Random(seed).randbytes(size_bytes), mode)


short_names = st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=60)
long_names = st.builds(lambda letter, count: letter * count, st.sampled_from("x ."), st.integers(100, NAME_BYTES))
names = st.one_of(short_names, short_names, long_names).filter(lambda name: name not in {".", "..", *RESERVED})
sizes = st.one_of(*[st.sampled_from(SMALL)] * 5, st.sampled_from(BORDERS))
files = st.builds(file, st.integers(0, 2**16), sizes, st.sampled_from((0o644, 0o600, 0o755, 0o444)))
directories = st.recursive(
    st.builds(Directory, st.dictionaries(names, files, max_size=3), st.sampled_from((0o755, 0o700))),
    lambda below: st.builds(
        Directory, st.dictionaries(names, st.one_of(files, below), max_size=4), st.sampled_from((0o755, 0o700))
    ),
    max_leaves=8,
)
places = st.lists(names, max_size=3).map("/".join)
layers = st.one_of(
    st.builds(Layer, st.sampled_from(KINDS), places, st.one_of(files, directories), st.just(value=False)),
    st.builds(Layer, st.sampled_from(KINDS), places, files, st.just(value=True)),
)
projects = st.dictionaries(names, layers, min_size=1, max_size=6)


def packed(project: Project, compression: str) -> Packed:
    builder, model = KitBuilder("random", compression=compression), False
    for top, (kind, below, content, raw) in project.items():
        kind = "part" if kind == "model" and model else kind  # noqa: PLW2901 - a kit has one model
        model |= kind == "model"
        getattr(builder, kind)(f"{top}/{below}" if below else top, content, raw=raw)
    return builder.build()


def held(project: Project) -> dict[str, ExpectedEntry]:
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

    for top, (_, below, content, _) in project.items():
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


def check_tree(project: Project, compression: str) -> None:
    """Our tree, the other unpacker's and the project are one."""
    kit = packed(project, compression)
    made = Artifact(kit.manifest, kit.blobs)
    plan = plan_made(made)
    expected, ours = held(project), shown(plan, made)
    theirs = {entry["path"]: entry for entry in unpacked(plan, lambda digest: whole(kit.blobs[digest]))}
    assert ours == theirs
    assert ours.pop("Kitfile")["size"] > 0
    assert ours == expected


def check_reads(project: Project, compression: str) -> None:
    """What a reader of a mount gets, twice, is the project: from the registry, then from the cache alone."""
    kit, registry = packed(project, compression), MemoryRegistry()
    registry.push(mounts.REFERENCE.repository, mounts.REFERENCE.tag, kit.manifest, kit.blobs)
    expected = {
        entry["path"]: (entry["type"], int(entry["mode"], 8) & mounts.SHOWN, entry.get("sha256", ""))
        for entry in held(project).values()
    }

    async def read(root: Path) -> None:
        async with mounts.opened(root, registry) as (_, artifact):
            found = await mounts.shown(artifact)
            assert found.pop("Kitfile")
            assert found == expected

    with tempfile.TemporaryDirectory() as root:
        trio.run(read, Path(root))
        sent_bytes = sum(registry.bytes_sent(digest) for digest in kit.blobs)
        trio.run(read, Path(root))
        assert sum(registry.bytes_sent(digest) for digest in kit.blobs) == sent_bytes


@pytest.mark.parametrize("compression", COMPRESSIONS)
@EXAMPLES
@given(project=projects)
def test_a_random_project_comes_out_as_it_went_in(compression: str, project: Project) -> None:
    check_tree(project, compression)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@settings(EXAMPLES, max_examples=20)
@given(project=projects)
def test_whoever_reads_it_gets_what_went_in(compression: str, project: Project) -> None:
    check_reads(project, compression)


def odd_project() -> Project:
    """What chance may miss: long paths, empty things, many files, and every border."""
    deep: File | Directory = Directory({"end.txt": File(b"at the end")})
    for number in range(12):
        deep = Directory({f"{number}-{'long ' * 20}": deep})
    many = Directory({f"{number} ü.json": File(bytes([number % 256]) * (number % 700)) for number in range(2000)})
    borders = Directory({f"{size_bytes}.bin": file(size_bytes, size_bytes) for size_bytes in (*SMALL, *BORDERS)})
    return {
        "many": Layer("dataset", "", many),
        "deep": Layer("code", "", deep),
        "borders": Layer("model", "a b/ü", borders),
        "empty": Layer("docs", "", Directory({"nothing": File(b""), "none": Directory({})})),
        "x" * 101: Layer("dataset", "y" * 200, File(b"past 100 and past 255"), raw=True),
        **{f"{size_bytes}.raw": Layer("part", "", file(1, size_bytes), raw=True) for size_bytes in (0, *BORDERS)},
    }


@pytest.mark.parametrize("check", [check_tree, check_reads], ids=["tree", "reads"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_so_it_is_with_two_thousand_files_long_paths_and_borders(compression: str, check: Callable[[Project, str], None]) -> None:
    check(odd_project(), compression)
