"""Random projects before the real kit and modctl, where they are given (`KIT`, `MODCTL`: programs built elsewhere): we show of what
they pack, and of what our builders pack, the directory that they unpack.
"""

import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mkfs.formats.choice import Choice
from mkfs.formats.filters import parse_filter
from mkfs.testing.artifacts import Artifact
from mkfs.testing.kits import Directory, File
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.tree.nodes import Directory as ShownDirectory
from mkfs.tree.nodes import File as ShownFile
from tests.property.test_projects import KINDS, Layer, Project, directories, files, held, packed, projects
from tests.support import golden
from tests.support.growing import grown
from tests.support.planning import plan_of, whole

PROJECTS: Final = settings(
    max_examples=int(os.environ.get("MKFS_PROJECTS", "50")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
FILTERS: Final = (["model"], ["datasets,docs"], ["code", "kitfile"], ["datasets:dataset 1", "model:model 0"])
SHOWN: Final = 0o555
REPOSITORY: Final = "team/random"
LISTS: Final = {"dataset": "datasets", "code": "code", "docs": "docs"}  # of a Kitfile, by what our builder calls one of them

Listing = dict[str, tuple[str, int, str, int | None]]
"""By path: what it is, its mode as a mount has it, the sum of its content, its time in seconds where that was asked for."""

# A Kitfile is YAML, which has no control characters; what has `:` or `@` in it kit takes for a reference.
words = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters=":@/\\*?[]"), min_size=1, max_size=40)
tops = words.filter(lambda name: name.strip() == name and not name.startswith((".", "#", "!")))
parts = st.builds(Layer, st.sampled_from(["model", *LISTS]), tops, st.one_of(files, directories), st.just(value=False))
packable = st.dictionaries(tops, parts, min_size=1, max_size=5)
plain = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30)


@contextmanager
def place() -> Iterator[tuple[Path, MemoryRegistry, RegistryServer]]:
    """An empty directory, and a registry."""
    registry = MemoryRegistry()
    with tempfile.TemporaryDirectory() as root, serve(registry) as server:
        yield Path(root), registry, server


def run(name: str, root: Path, *words: str | Path, cwd: Path | None = None) -> None:
    """Runs the program that the variable `name` says, which keeps all it has to keep below `root`."""
    environment = {"HOME": str(root), "KITOPS_HOME": str(root / "kit"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([os.environ[name], *words], env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"


@cache
def kit_knows(word: str) -> bool:
    """Whether the kit at hand has heard of something."""
    helps = [[os.environ["KIT"], verb, "--help"] for verb in ("pack", "unpack")]
    return any(word in subprocess.run(each, capture_output=True, text=True, check=True).stdout for each in helps)


def written(directory: Path, node: File | Directory) -> None:
    """Puts `node` at `directory`."""
    if isinstance(node, Directory):
        directory.mkdir(parents=True, exist_ok=True)
        for name, each in node.entries.items():
            assert isinstance(each, File | Directory)
            written(directory / name, each)
    else:
        assert isinstance(node.content, bytes)
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.write_bytes(node.content)
    directory.chmod(node.mode)


def listed(root: Path, *, times: bool = False) -> Listing:
    """What lies below `root`."""
    found: Listing = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kind = "dir" if stat.S_ISDIR(status.st_mode) else "file"
        sha256 = golden.sha256(path.read_bytes()) if kind == "file" else ""
        seconds = int(status.st_mtime) if times and kind == "file" else None
        found[str(path.relative_to(root))] = (kind, status.st_mode & SHOWN, sha256, seconds)
    return found


def shown(
    registry: MemoryRegistry, filters: Sequence[str] = (), *, tag: str = "1", times: bool = False, parent: str = ""
) -> Listing:
    """What our tree holds of what was pushed as `tag`, whose `parent`, if it has one, was pushed as 1."""
    contents = registry.repositories[REPOSITORY]
    manifests = {name: contents.manifests[digest].data for name, digest in contents.tags.items()}
    blobs = {digest: whole(body) for digest, body in contents.blobs.items()}
    parents = {parent: Artifact(manifests["1"], contents.blobs)}
    plan = plan_of(manifests[tag], blobs, parents, Choice(filters=tuple(map(parse_filter, filters))))
    of = grown(plan, lambda digest: blobs[digest])
    found: Listing = {}
    for path, node in of.tree.walk():
        assert isinstance(node, ShownFile | ShownDirectory)
        kind, sha256, seconds = "dir", "", None
        if isinstance(node, ShownFile):
            kind, sha256 = "file", golden.sha256(of.content(node))
            seconds = node.mtime_ns // 10**9 if times and node.mtime_ns is not None else None
        found[path.decode()] = (kind, node.mode & SHOWN, sha256, seconds)
    return found


def kitfile(project: Project, *, rest: bool = False, parent: str = "") -> str:
    """What a person would write to have each layer packed: a second model is a part of the first, or of the `parent`. With `rest`
    what stands nowhere else is code.
    """
    model: dict[str, list[dict[str, str]]] = {"model": [{"path": parent}] if parent else [], "parts": []}
    lists: dict[str, list[dict[str, str]]] = {name: [] for name in LISTS.values()}
    for number, (top, layer) in enumerate(project.items()):
        place = model["parts" if model["model"] else "model"] if layer.kind == "model" else lists[LISTS[layer.kind]]
        named = {"name": f"{layer.kind} {number}"} if layer.kind in {"model", "dataset"} else {}
        place.append({**named, "path": f"{top}/{layer.below}"})
    if rest:
        lists["code"].append({"path": "."})
    document: dict[str, object] = {"manifestVersion": "1.0.0", "package": {"name": "random"}, **lists}
    for first in model["model"]:
        document["model"] = {**first, "parts": model["parts"]}
    return json.dumps(document, ensure_ascii=False)


def pushed_by_kit(root: Path, reference: str, project: Project, text: str, compression: str = "none") -> None:
    """Has kit pack and push a directory with `project` and the Kitfile `text`."""
    directory = root / reference.rpartition(":")[2]
    for top, layer in project.items():
        written(directory / top / layer.below, layer.content)
    (directory / "stray.txt").write_text("in no layer of its own")
    (directory / "Kitfile").write_text(text)
    run("KIT", root, "pack", directory, "-t", reference, "--compression", compression)
    run("KIT", root, "push", reference, "--plain-http")


@pytest.mark.given("KIT")
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
@PROJECTS
@given(project=packable, chosen=st.sampled_from(FILTERS), rest=st.booleans())
def test_what_kit_packs_is_what_kit_unpacks(compression: str, project: Project, chosen: list[str], *, rest: bool) -> None:
    if not kit_knows(compression):
        pytest.skip(f"this kit does not know {compression}")
    with place() as (root, registry, server):
        reference = f"{server.host}/{REPOSITORY}:1"
        pushed_by_kit(root, reference, project, kitfile(project, rest=rest), compression)
        run("KIT", root, "unpack", reference, "-d", root / "all")
        assert shown(registry) == listed(root / "all")
        if kit_knows("--filter"):
            options = [word for each in chosen for word in ("--filter", each)]
            run("KIT", root, "unpack", reference, "-d", root / "some", *options)
            assert shown(registry, chosen) == listed(root / "some")


@pytest.mark.given("KIT")
@PROJECTS
@given(first=packable, second=packable)
def test_a_child_of_another_kit_is_what_kit_unpacks(first: Project, second: Project) -> None:
    assume(not first.keys() & second.keys())
    first = {"model of the first": Layer("model", "w", File(b"weights")), **first}
    with place() as (root, registry, server):
        parent, child = (f"{server.host}/{REPOSITORY}:{number}" for number in (1, 2))
        pushed_by_kit(root, parent, first, kitfile(first))
        pushed_by_kit(root, child, second, kitfile(second, parent=parent))
        run("KIT", root, "unpack", child, "-d", root / "all")
        assert shown(registry, tag="2", parent=parent) == listed(root / "all")


@pytest.mark.given("KIT")
@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
@PROJECTS
@given(project=projects)
def test_what_our_builder_packs_kit_unpacks_as_we_do(compression: str, project: Project) -> None:
    if not kit_knows(compression):
        pytest.skip(f"this kit does not know {compression}")
    assume(not any(".." in path for path in held(project)))  # kit takes it for a way up, wherever it stands in a name
    known = {kind: kind if kind != "prompt" or kit_knows("prompts") else "docs" for kind in KINDS}
    project = {top: layer._replace(kind=known[layer.kind], raw=layer.raw and kit_knows("raw")) for top, layer in project.items()}
    kit = packed(project, compression)
    with place() as (root, registry, server):
        registry.push(REPOSITORY, "1", kit.manifest, kit.blobs)
        run("KIT", root, "unpack", f"{server.host}/{REPOSITORY}:1", "-d", root / "all", "--plain-http")
        assert shown(registry) == listed(root / "all")


@pytest.mark.given("MODCTL")
@pytest.mark.parametrize("raw", [False, True], ids=["tar", "raw"])
@PROJECTS
@given(project=st.dictionaries(st.lists(plain, min_size=1, max_size=4).map("/".join), files, min_size=1, max_size=8))
def test_what_modctl_packs_is_what_modctl_unpacks(raw: bool, project: dict[str, File]) -> None:
    assume(not any(other.startswith(f"{path}/") for path in project for other in project))
    with place() as (root, registry, server):
        lines = ["NAME random"]
        for number, (path, content) in enumerate(project.items()):
            written(root / "project" / path, content)
            os.utime(root / "project" / path, (number, 1_000_000_000 + number))
            lines.append(f"{('MODEL', 'CONFIG', 'CODE', 'DOC')[number % 4]} {path}")
        (root / "Modelfile").write_text("\n".join(lines))
        reference = f"{server.host}/{REPOSITORY}:1"
        store = ("--storage-dir", root / "store", "--log-dir", root / "log")
        form = f"--raw={str(raw).lower()}"
        run("MODCTL", root, "build", "-t", reference, "-f", root / "Modelfile", form, *store, root / "project")
        run("MODCTL", root, "push", reference, "--plain-http", *store)
        out = ("--extract-dir", root / "all", "--extract-from-remote")
        run("MODCTL", root, "pull", reference, "--plain-http", *out, *store)
        assert shown(registry, times=True) == listed(root / "all", times=True)
