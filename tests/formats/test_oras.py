"""Files and directories pushed by ORAS: where each lands, and what is left out."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from mkfs.errors import BadArchive, BadDocument, Unsupported
from mkfs.formats.plan import RawLayer, TarLayer
from mkfs.oci.digest import Digest
from mkfs.testing.artifacts import Artifact, Part, artifact, tar
from mkfs.testing.kit_layers import gzipped
from mkfs.testing.producers.modelpacks import EMPTY
from mkfs.tree.nodes import Directory, File, Symlink
from tests.support import golden
from tests.support.growing import Grown, grown
from tests.support.planning import plan_golden, plan_made, plan_of, whole
from tests.support.unpacking import unpacked

TITLE = "org.opencontainers.image.title"
FILE_TYPE, DIRECTORY_TYPE = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"


def file(title: str, data: bytes = b"data", media_type: str = FILE_TYPE) -> Part:
    return Part(media_type, data, {TITLE: title})


def directory(title: str, archive: bytes, **annotations: str) -> Part:
    return Part(DIRECTORY_TYPE, gzipped(archive), {TITLE: title, "io.deis.oras.content.unpack": "true"} | annotations)


def push(*layers: Part, artifact_type: str = "application/vnd.unknown.artifact.v1") -> Artifact:
    return artifact(EMPTY, layers, artifact_type=artifact_type)


def tree_of(made: Artifact) -> Grown:
    return grown(plan_made(made), lambda digest: whole(made.blobs[digest]))


def test_what_oras_pulled_is_what_is_planned() -> None:
    answer = plan_golden("oras-1.3-files")
    assert unpacked(answer, golden.blob) == sorted(golden.expected("oras-1.3-files"), key=lambda expected: expected["path"])
    assert answer.format_name == "files pushed by ORAS"
    assert [each.diff_id is not None for each in answer.layers] == [False, False, True, False]


def test_only_the_annotation_tells_a_directory_from_a_file() -> None:
    layers = (
        file("model.gguf"),
        file("notes.tar.gz", b"no archive at all", DIRECTORY_TYPE),
        Part("text/plain", gzipped(tar({"d": None})), {TITLE: "d", "io.deis.oras.content.unpack": "true"}),
        Part(FILE_TYPE, b"x", {TITLE: "false", "io.deis.oras.content.unpack": "false"}),
    )
    readings = [each.reading for each in plan_made(push(*layers)).layers]
    assert readings[:2] == [RawLayer(b"model.gguf"), RawLayer(b"notes.tar.gz")]
    assert isinstance(readings[2], TarLayer)
    assert (readings[2].within, readings[2].compression) == (b"d", "gzip")
    assert readings[3] == RawLayer(b"false")


def test_a_title_may_be_a_path_and_the_same_bytes_stand_under_two() -> None:
    tree = tree_of(push(file("a/b/c.bin", b"same"), file("d.bin", b"same"))).tree
    assert [path for path, _ in tree.walk()] == [b"a", b"a/b", b"a/b/c.bin", b"d.bin"]


def test_what_has_no_title_is_left_out_and_named() -> None:
    answer = plan_made(push(file("a"), Part("text/plain", b"anonymous")))
    assert [each.name for each in answer.layers] == ["a"]
    assert answer.warnings == ("layer 2 of 2 (text/plain) is not shown: it has no title",)
    with pytest.raises(Unsupported, match="empty title"):
        plan_made(push(file("")))


def test_one_title_twice_is_refused_as_oras_does() -> None:
    with pytest.raises(Unsupported, match="'a' is claimed twice"):
        tree_of(push(file("a", b"1"), file("a", b"2")))


@pytest.mark.parametrize("title", ["/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_a_title_that_leads_out_is_refused(title: str) -> None:
    made = push(file(title))
    with pytest.raises(BadDocument) as caught:
        tree_of(made)
    assert str(plan_made(made).layers[0].descriptor.digest) in caught.value.where


def test_entries_of_a_directory_lie_within_it() -> None:
    with pytest.raises(BadArchive, match="'other/x' is not within 'd'"):
        tree_of(push(directory("d", tar({"d": None, "d/a": b"1", "other/x": b"2"}))))


def test_times_modes_and_links_of_a_directory_are_kept() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, link in (("d", tarfile.DIRTYPE, ""), ("d/a", tarfile.REGTYPE, ""), ("d/l", tarfile.SYMTYPE, "a")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.mtime = kind, link, 0o750, 1700000000
            archive.addfile(info)
    tree = tree_of(push(directory("d", buffer.getvalue()))).tree
    top, inside, link = (tree.find(path) for path in (b"d", b"d/a", b"d/l"))
    assert isinstance(top, Directory)
    assert isinstance(inside, File)
    assert isinstance(link, Symlink)
    assert (top.mode, inside.mode, link.target) == (0o755, 0o750, b"a")  # oras makes the directory before it unpacks it
    assert inside.mtime_ns == link.mtime_ns == 1700000000 * 10**9


def test_a_chart_of_helm_is_none_of_them() -> None:
    made = artifact(Part("application/vnd.cncf.helm.config.v1+json", b"{}"), [file("chart.tgz")])
    with pytest.raises(Unsupported, match="a Helm chart"):
        plan_made(made)


def project(place: Path) -> None:
    """A directory with everything that oras packs."""
    (place / "d/sub dir/ü").mkdir(parents=True)
    (place / "d/sub dir/ü/a.txt").write_bytes(b"a")
    (place / "d/empty").mkdir(mode=0o700)
    (place / "d/run.sh").write_bytes(b"#!/bin/sh")
    (place / "d/run.sh").chmod(0o755)
    (place / "d/link").symlink_to("sub dir/ü/a.txt")
    (place / "d/up").symlink_to("../d/run.sh")
    (place / "d/dangling").symlink_to("nothing")
    (place / "plain.bin").write_bytes(b"p" * 5000)
    (place / "none").write_bytes(b"")


def listed(place: Path) -> dict[str, tuple[str, str]]:
    """Kind and content (or target) of everything below."""
    found = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        else:
            found[name] = ("directory", "") if path.is_dir() else ("file", golden.sha256(path.read_bytes()))
    return found


@pytest.mark.oras
def test_what_the_real_oras_packs_and_pulls_is_what_we_show(tmp_path: Path, oras: Path) -> None:
    source, layout, pulled = (tmp_path / name for name in ("source", "layout", "pulled"))
    project(source)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for words, cwd in (
        (["push", "--oci-layout", f"{layout}:t", "d", "plain.bin", "none:text/plain"], source),
        (["pull", "--oci-layout", f"{layout}:t", "-o", str(pulled)], tmp_path),
    ):
        subprocess.run([oras, *words], cwd=cwd, env=environment, capture_output=True, check=True)
    blobs = {Digest("sha256", path.name): path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}
    manifest = next(data for data in blobs.values() if data.startswith(b'{"schemaVersion"') and b'"layers"' in data)
    of = grown(plan_of(manifest, blobs), lambda digest: blobs[digest])
    shown = {
        path.decode(): ("directory", "")
        if isinstance(node, Directory)
        else ("link", node.target.decode())
        if isinstance(node, Symlink)
        else ("file", golden.sha256(of.content(node)))
        for path, node in of.tree.walk()
    }
    assert shown == listed(pulled)
