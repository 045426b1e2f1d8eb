"""A registry whose storage is damaged behind its back: readers get EIO and never a wrong byte; mended, the same cache serves."""

import errno
import json
import os
from pathlib import Path

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.ranges import ByteRange
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.tars import BLOCK_BYTES, header
from mkfs.units import KIB, MIB
from tests.support.docker_registry import DockerRegistry
from tests.support.kit_parts import content_of, layer_at, names_of, wrong_files
from tests.support.mounting import Shell, refusal_of
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

INTEGRITY, UNSUPPORTED = 13, 14
READ_BYTES = 128 * KIB


@pytest.fixture(scope="module")
def kit() -> Kit:
    """Two large layers, of which the first holds three files, and a small one."""
    weights = Directory({"a.bin": 6 * MIB, "b.bin": 3 * MIB + 5, "c.json": b"{}"})
    builder = KitBuilder("damaged", seed=4).model("weights", weights).part("other.bin", 4 * MIB, raw=True)
    return builder.part("tokenizer.json", 200 * KIB).docs("README.md", b"# whole\n").build()


@pytest.fixture(scope="module")
def reference(pusher: Pusher, kit: Kit) -> str:
    return pusher.push("damaged/kit", "1", kit.manifest, kit.blobs)


def right_bytes_or_eio(path: Path, expected: bytes) -> tuple[int, int]:
    """Reads `path` block by block, past an error too. How many bytes came, every one of them right, and how many reads got EIO."""
    came = refused = 0
    with path.open("rb") as file:
        for start in range(0, len(expected), READ_BYTES):
            try:
                data = os.pread(file.fileno(), READ_BYTES, start)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                refused += 1
                continue
            assert data == expected[start : start + len(data)], f"a wrong byte between {start} and {start + len(data)}"
            came += len(data)
    return came, refused


def content(kit: Kit, path: str) -> bytes:
    body = content_of(kit, path)
    return body.read(ByteRange(0, body.size_bytes))


@pytest.mark.parametrize("offset", [4 * MIB, 9 * MIB + 3000], ids=["in the file that is read", "in another file of the layer"])
def test_a_flipped_byte_of_a_large_layer_is_an_error_and_never_a_wrong_byte(
    docker: DockerRegistry, pusher: Pusher, reference: str, kit: Kit, shell: Shell, offset: int
) -> None:
    weights = layer_at(kit, "weights")
    with docker.damaged(weights.digest, offset):
        status, served = pusher.get(f"/v2/damaged/kit/blobs/{weights.digest}")
        assert (status, len(served)) == (200, weights.body.size_bytes)
        assert served != weights.body.read(ByteRange(0, weights.body.size_bytes)), "the registry noticed: nothing is tried here"
        with shell.mounted(reference) as mount:
            came, refused = right_bytes_or_eio(mount.path("weights/a.bin"), content(kit, "weights/a.bin"))
            assert (came, refused) == (0, 6 * MIB // READ_BYTES)
            assert refusal_of(mount.path("weights/c.json").read_bytes) == "EIO"
            assert mount.path("other.bin").read_bytes() == content(kit, "other.bin")
            assert mount.path("tokenizer.json").read_bytes() == content(kit, "tokenizer.json")
            log = mount.log_file.read_text()
            assert str(weights.digest) in log
            assert docker.host in log
            mount.umount()
        with shell.mounted(reference, place=mount.place) as mount:
            assert refusal_of(mount.path("weights/b.bin").read_bytes) == "EIO"
            mount.umount()
    with shell.mounted(reference, place=mount.place) as mount:
        assert wrong_files(mount.place, kit) == []


def test_a_flipped_byte_of_a_small_layer_is_an_error_for_its_files_only(
    docker: DockerRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    with docker.damaged(layer_at(kit, "tokenizer.json").digest, 100 * KIB), shell.mounted(reference) as mount:
        assert sorted(str(path.relative_to(mount.place)) for path in mount.place.rglob("*")) == names_of(kit)
        assert right_bytes_or_eio(mount.path("tokenizer.json"), content(kit, "tokenizer.json"))[0] == 0
        assert mount.path("README.md").read_bytes() == b"# whole\n"
        assert mount.path("weights/a.bin").read_bytes() == content(kit, "weights/a.bin")
        mount.umount()
    with shell.mounted(reference, place=mount.place) as mount:
        assert wrong_files(mount.place, kit) == []


def test_a_flipped_byte_in_a_header_shows_nothing_that_is_not_there(
    docker: DockerRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    place = shell.new_place()
    with docker.damaged(layer_at(kit, "weights").digest, BLOCK_BYTES):  # the first letter of a name; its checksum tells
        ran = shell.run("mount", reference, place)
    assert ran.exit_code in {INTEGRITY, UNSUPPORTED}, ran
    assert len(ran.lines) <= 3
    assert shell.is_tidy()
    with shell.mounted(reference, place=place) as mount:
        assert wrong_files(mount.place, kit) == []


def test_a_forged_name_may_be_shown_but_no_byte_is_read_under_it(
    docker: DockerRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    stored = docker.stored(layer_at(kit, "weights").digest)
    true = stored.read_bytes()
    forged = true[:BLOCK_BYTES] + header(b"weights/x.bin", EntryKind.FILE, 0o644, 6 * MIB) + true[2 * BLOCK_BYTES :]
    assert len(forged) == len(true)
    stored.write_bytes(forged)
    try:
        with shell.mounted(reference) as mount:
            names = {path.name for path in mount.path("weights").iterdir()}
            assert names == {"x.bin", "b.bin", "c.json"}
            assert {refusal_of(mount.path(f"weights/{name}").read_bytes) for name in names} == {"EIO"}
            listed = shell.run("ls", "--long", reference)
            assert all("?" in line for line in listed.stdout.splitlines() if "weights/" in line and not line.endswith("/"))
            mount.umount()
    finally:
        stored.write_bytes(true)
    with shell.mounted(reference, place=mount.place) as mount:
        assert wrong_files(mount.place, kit) == []


def damaged_documents(kit: Kit) -> dict[str, tuple[str, int]]:
    manifest = json.loads(kit.manifest)
    place = kit.manifest.index(manifest["layers"][0]["digest"].encode()) + len("sha256:") + 5
    return {
        "manifest": (str(kit.manifest_digest), place),
        "config": (manifest["config"]["digest"], kit.config.index(b"damaged") + 3),
    }


@pytest.mark.parametrize("verb", ["mount", "ls", "inspect"])
@pytest.mark.parametrize("document", ["manifest", "config"])
@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_flipped_byte_of_a_document_ends_every_command_with_13(
    docker: DockerRegistry, reference: str, kit: Kit, shell: Shell, verb: str, document: str, by: str
) -> None:
    digest, offset = damaged_documents(kit)[document]
    named = reference if by == "tag" else f"{reference.rpartition(':')[0]}@{kit.manifest_digest}"
    place = [shell.new_place()] if verb == "mount" else []
    with docker.damaged(digest, offset):
        ran = shell.run(verb, named, *place)
    assert (ran.exit_code, ran.stdout) == (INTEGRITY, ""), ran
    assert ran.stderr.startswith("Error: ")
    assert len(ran.lines) <= 3
    assert shell.is_tidy()
    assert shell.run(verb, named, *place).exit_code == 0
    if place:
        shell.run("umount", *place)
