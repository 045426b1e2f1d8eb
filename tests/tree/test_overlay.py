"""Images: what the layers over one another come to, and that nothing outside of `/models` is reached from it."""

import io
import os
import random
import shutil
import tarfile
from pathlib import Path

import pytest

from mkfs.archive.entry import EntryKind, Table
from mkfs.errors import BadArchive, Unsupported
from mkfs.formats.plan import Plan, PlannedLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.testing.producers.images import MTIME, Changes, changeset
from mkfs.tree.build import build
from mkfs.tree.nodes import Directory, File, Symlink
from mkfs.tree.tree import Tree
from tests.archive.tarballs import END, header, member, scan

ALL = TarLayer(kinds=frozenset(EntryKind), keeps_times=True)


def plan_of(archives: list[bytes], top: bytes) -> tuple[Plan, list[Table | None]]:
    layers = tuple(PlannedLayer(Descriptor("", Digest.of(data), len(data)), ALL, "model") for data in archives)
    return Plan("image", layers, overlay=True, top=top), [scan(data) for data in archives]


def grown(*layers: Changes | bytes, top: bytes = b"models") -> tuple[Tree, list[bytes]]:
    archives = [layer if isinstance(layer, bytes) else changeset(layer) for layer in layers]
    return build(*plan_of(archives, top)), archives


def shown(*layers: Changes | bytes, top: bytes = b"models") -> dict[str, object]:
    """Content of files, targets of links (with an arrow), None for directories."""
    tree, archives = grown(*layers, top=top)
    found: dict[str, object] = {}
    for path, node in tree.walk():
        if isinstance(node, File):
            data = b"".join(archives[node.layer][each.layer_offset :][: each.length] for each in node.extents)
            found[os.fsdecode(path)] = data
        else:
            found[os.fsdecode(path)] = f"->{os.fsdecode(node.target)}" if isinstance(node, Symlink) else None
    return found


def test_the_models_of_all_layers_are_shown_and_nothing_else() -> None:
    base = {"etc": None, "etc/passwd": b"root", "bin": "->usr/bin"}
    assert shown(base, {"models": None, "models/a": b"1"}, {"models/d/b": b"2", "opt/x": b""}) == {
        "a": b"1",
        "d": None,
        "d/b": b"2",
    }


def test_a_later_layer_wins() -> None:
    assert shown({"models/a": b"old", "models/b": b"kept"}, {"models/a": b"new"}) == {"a": b"new", "b": b"kept"}
    assert shown({"models/a/x": b"1"}, {"models/a": b"file"}) == {"a": b"file"}
    assert shown({"models/a": b"file"}, {"models/a/x": b"1"}) == {"a": None, "a/x": b"1"}
    assert shown({"models/a": b"1", "models/x": b""}, {"models/a": "->x"}) == {"a": "->x", "x": b""}


def test_within_a_layer_the_last_entry_counts() -> None:
    twice = member(b"models/a", b"first") + member(b"models/a", b"second") + END
    assert shown(twice) == {"a": b"second"}


def test_a_directory_over_a_directory_keeps_its_children_and_takes_the_new_mode() -> None:
    tree, _ = grown(changeset({"models/d/a": b"1"}), changeset({"models/d": None}, directory_mode=0o700))
    directory = tree.find(b"d")
    assert isinstance(directory, Directory)
    assert (directory.mode, directory.mtime_ns, list(directory.children)) == (0o700, MTIME * 10**9, [b"a"])


def test_whiteouts_take_away_what_lies_below() -> None:
    below = {"models/a": b"1", "models/d/x": b"2", "models/d/y": b"3", "models/e/z": b"4"}
    assert shown(below, {"models/.wh.a": b"", "models/d/.wh.x": b""}) == {"d": None, "d/y": b"3", "e": None, "e/z": b"4"}
    assert shown(below, {"models/.wh.d": b""}) == {"a": b"1", "e": None, "e/z": b"4"}
    opaque = {"models/d/.wh..wh..opq": b"", "models/d/new": b"5"}
    assert shown(below, opaque) == {"a": b"1", "d": None, "d/new": b"5", "e": None, "e/z": b"4"}
    assert shown(below, {"models/.wh.nothing": b"", "nowhere/.wh.x": b"", "models/a": b"kept"})["a"] == b"kept"


def test_a_whiteout_leaves_its_own_layer_alone_wherever_it_stands() -> None:
    assert shown({"models/a": b"old"}, {"models/a": b"new", "models/.wh.a": b""}) == {"a": b"new"}
    assert shown({"models/d/x": b"old"}, {"models/d/y": b"new", "models/d/.wh..wh..opq": b""}) == {"d": None, "d/y": b"new"}


def test_hard_links_reach_into_layers_below() -> None:
    tree, archives = grown({"blobs/x": b"weights"}, {"models/a": "=blobs/x", "models/b": "=models/a"}, {".wh.blobs": b""})
    for path in (b"a", b"b"):
        node = tree.find(path)
        assert isinstance(node, File)
        assert archives[node.layer][node.extents[0].layer_offset :][:7] == b"weights"
    with pytest.raises(BadArchive, match="'models/a' is a hard link to 'gone', which is no file before it"):
        grown({"models/a": "=gone"})


def test_a_path_goes_through_links_of_the_layers_below() -> None:
    base: Changes = {"data": None, "models": "->data", "lib": "->/usr/lib", "usr/lib/x": b""}
    assert shown(base, {"models/a": b"1"}) == {"a": b"1"}
    assert shown(base, {"models/a": b"1"}, {"models/.wh.a": b"", "models/b": b"2"}) == {"b": b"2"}
    assert shown({"models": "->/srv/models"}, {"models/a": b"1"}) == {"a": b"1"}  # made where it is missing
    assert shown({"models": "->../../srv"}, {"models/a": b"1"}) == {"a": b"1"}  # nothing is above an image's root
    assert shown({"models": "->models"}, {"models/a": b"1"}) == {"a": b"1"}  # a circle gives way


LINKS = {
    "beside": ("v1", "->v1"),
    "absolute": ("/models/d/v1", "->d/v1"),
    "absolute to the top": ("/models", "->."),
    "over the top": ("../models/v1", "->v1"),
    "far over the top": ("../../../models/d", "->d"),
    "dangling": ("missing/x", "->missing/x"),
    "through an absolute link": ("abs/v1", "->abs/v1"),
}


@pytest.mark.parametrize(("target", "link"), LINKS.values(), ids=LINKS)
def test_a_link_leads_to_the_same_without_the_images_root(target: str, link: str) -> None:
    changes: Changes = {"models/v1": b"1", "models/d/v1": b"2", "models/abs": "->/models/d", "models/link": f"->{target}"}
    found = shown(changes)
    assert found["link"] == link
    assert found["abs"] == "->d"


@pytest.mark.parametrize("target", ["/etc/passwd", "../etc/passwd", "/missing", "../missing", "d/../../etc", "out/passwd"])
def test_a_link_that_leaves_the_models_is_refused(target: str) -> None:
    layer = changeset({"etc/passwd": b"root", "models/d/x": b"", "models/link": f"->{target}", "models/out": "->d"})
    if target == "out/passwd":
        layer = changeset({"etc/passwd": b"root", "models/d/x": b"", "models/link": f"->{target}", "models/out": "->/etc"})
    with pytest.raises(BadArchive, match=r"is a symbolic link that leads out of the directory") as caught:
        grown(layer)
    assert str(Digest.of(layer)) in caught.value.where


@pytest.mark.parametrize(("flag", "kind"), [(b"3", "character device"), (b"4", "block device"), (b"6", "fifo")])
def test_a_device_among_the_models_is_refused_and_elsewhere_ignored(flag: bytes, kind: str) -> None:
    elsewhere = header(b"dev/null", flag=flag) + member(b"models/a", b"1") + END
    assert shown(elsewhere) == {"a": b"1"}
    with pytest.raises(BadArchive, match=f"'models/null' is a {kind}, which has no place here"):
        grown(header(b"models/null", flag=flag) + END)


@pytest.mark.parametrize("changes", [{}, {"etc/passwd": b""}, {"models": None}, {"models": b"a file"}, {"models": "->nowhere"}])
def test_an_image_without_models_is_refused_with_what_it_has(changes: Changes) -> None:
    with pytest.raises(Unsupported, match="the image has no /models with files in it") as caught:
        grown(changes)
    assert "etc/passwd" not in changes or "'etc'" in caught.value.what


@pytest.mark.parametrize("name", [b"../x", b"/models/x", b"models/../../x"])
def test_an_entry_that_leads_out_is_refused(name: bytes) -> None:
    with pytest.raises(BadArchive, match=r"leads upwards|is absolute"):
        grown(member(name) + END)


def test_the_whole_of_a_snapshot_may_be_shown() -> None:
    assert shown({"a": b"1"}, {"b/c": b"2"}, top=b"") == {"a": b"1", "b": None, "b/c": b"2"}
    assert shown({}, top=b"") == {}


def test_layers_of_an_image_are_archives() -> None:
    plan, _ = plan_of([END], b"")
    with pytest.raises(ValueError, match="layer 0 of an image has no table"):
        build(plan, [None])


# --- against a plain unpacker on a real directory


def unpack(archives: list[bytes], place: Path) -> None:
    """As any runtime does it, in the plainest way: whiteouts of a layer, then its entries."""
    for data in archives:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            members = archive.getmembers()
            for info in members:
                at, name = os.path.split(place / info.name)
                if name == ".wh..wh..opq" and os.path.isdir(at):
                    for each in os.scandir(at):
                        remove(Path(each.path))
                elif name.startswith(".wh.") and os.path.isdir(at):
                    remove(Path(at, name.removeprefix(".wh.")))
            for info in members:
                path = place / info.name
                if path.name.startswith(".wh."):
                    continue
                for parent in reversed(path.relative_to(place).parents[:-1]):
                    make(place / parent)
                if info.isdir():
                    make(path)
                    continue
                remove(path)
                if info.issym():
                    path.symlink_to(info.linkname)
                else:
                    path.write_bytes(archive.extractfile(info).read())


def make(path: Path) -> None:
    if not path.is_dir():
        remove(path)
        path.mkdir()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def random_changes(rng: random.Random) -> Changes:
    changes: dict[str, bytes | str | None] = {}
    for _ in range(rng.randrange(0, 9)):
        path = "/".join(rng.choice("abc") for _ in range(rng.randrange(1, 4)))
        at, _, name = path.rpartition("/")
        kind = rng.random()
        if any(path.startswith(f"{other}/") and changes[other] is not None for other in changes):
            continue  # through a file of the same layer: no packer writes that
        if kind < 0.25:
            changes[f"{at}/.wh.{name}" if at else f".wh.{name}"] = b""
        elif kind < 0.32:
            changes[f"{path}/.wh..wh..opq"] = b""
        elif kind < 0.45:
            changes[path] = None
        else:
            changes[path] = rng.randbytes(rng.randrange(0, 700))
    return changes


def test_random_layers_come_to_what_a_plain_unpacker_makes_of_them(tmp_path: Path) -> None:
    for seed in range(150):
        rng = random.Random(seed)
        layers = [random_changes(rng) for _ in range(rng.randrange(1, 5))]
        place = tmp_path / f"{seed}"
        place.mkdir()
        unpack([changeset(changes) for changes in layers], place)
        expected = {str(path.relative_to(place)): None if path.is_dir() else path.read_bytes() for path in place.rglob("*")}
        assert shown(*layers, top=b"") == expected, (seed, layers)
