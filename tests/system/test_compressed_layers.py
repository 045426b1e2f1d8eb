"""Compressed layers at a prompt: mounted, shown, given up, refused for want of room."""

import json
import os
import subprocess
from contextlib import suppress

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import names_of, wrong_files
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse


def kit_of(compression: str) -> Kit:
    builder = KitBuilder("llama", seed=11, compression=compression).model("weights", Directory({"a.bin": 5 * MIB, "b.json": b"{}"}))
    return builder.part("adapter.bin", 3 * MIB + 7, raw=True).docs("README.md", b"# llama\n").build()


def pushed(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_mount_streams_each_layer_once_and_the_next_one_none(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, compression: str
) -> None:
    kit = kit_of(compression)
    reference = pushed(registry, server, kit)
    place = shell.new_place()
    for _ in range(2):
        with shell.mounted(reference, place=place) as mount:
            assert sorted(str(path.relative_to(mount.place)) for path in mount.place.rglob("*")) == names_of(kit)
            assert wrong_files(mount.place, kit) == []
        assert all(registry.bytes_sent(layer.digest) == layer.body.size_bytes for layer in kit.layers)


def test_evicted_bytes_are_streamed_again_by_who_reads_them_and_without_room_that_is_an_error(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    kit = kit_of("gzip")
    reference = pushed(registry, server, kit)
    assert shell.run("warmup", reference).exit_code == 0
    for layer in (shell.cache / "layers" / "sha256").iterdir():
        subprocess.run(["rm", "-r", layer], check=True)
    registry.log.clear()
    place = shell.new_place()
    with shell.mounted(reference, place=place) as mount:
        assert mount.path("weights/a.bin").stat().st_size == 5 * MIB
        assert not any(registry.bytes_sent(layer.digest) for layer in kit.layers[:2])
        assert wrong_files(mount.place, kit) == []
    for layer in (shell.cache / "layers" / "sha256").iterdir():
        subprocess.run(["rm", "-r", layer], check=True)
    with shell.mounted(reference, "--cache-size", "4MiB", place=place) as mount:
        with pytest.raises(OSError, match="Input/output error"):
            mount.path("weights/a.bin").read_bytes()
        assert mount.path("README.md").read_bytes() == b"# llama\n"
        assert "no room in the cache: a layer decompresses to 5.0 MiB at least" in mount.log_file.read_text()


def test_no_room_at_mount_is_said_with_the_size_needed(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    reference = pushed(registry, server, kit_of("zstd"))
    ran = shell.run("mount", reference, shell.new_place(), "--cache-size", "4MiB")
    assert ran.exit_code == 23
    assert "a layer decompresses to" in ran.lines[0]
    assert len(ran.lines) <= 3


def test_a_mount_gives_up_when_it_was_told_to(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = kit_of("gzip")
    reference = pushed(registry, server, kit)
    withhold = Withhold()
    registry.faults.install(Fault(Match(digest=kit.layers[0].digest), withhold))
    place = shell.new_place()
    try:
        for seconds in (1, 4, 16):  # a slow machine may need the first of them to come as far as the layer
            ran = shell.run("mount", reference, place, "--timeout", f"{seconds}s")
            assert ran.exit_code == 12
            assert f"not ready after {seconds}.0 s" in ran.lines[0]
            if registry.requests(kit.layers[0].digest):
                break
    finally:
        withhold.release()
    assert f"mkfs warmup {reference}" in ran.lines[-1]


def test_ls_and_inspect_and_index_know_them(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = kit_of("gzip")
    reference = pushed(registry, server, kit)
    rows = json.loads(shell.run("ls", reference, "--format", "json").stdout)["entries"]
    assert {row["path"]: row["size_bytes"] for row in rows if row["type"] == "file" and row["path"] != "Kitfile"} == {
        "weights/a.bin": 5 * MIB,
        "weights/b.json": 2,
        "adapter.bin": 3 * MIB + 7,
        "README.md": 8,
    }
    assert not any(row["provisional"] for row in rows)
    inspected = json.loads(shell.run("inspect", reference, "--format", "json").stdout)
    assert [row["size_bytes"] for row in inspected["layers"]] == [layer.body.size_bytes for layer in kit.layers]
    built = shell.run("index", "build", reference, "-o", shell.home / "index")
    assert built.exit_code == 0, built.stderr


def drained(terminal: int) -> bytes:
    """What is left to read of it, now that nobody writes any more."""
    data = b""
    with suppress(OSError):
        while piece := os.read(terminal, 4096):
            data += piece
    return data


@pytest.mark.parametrize("verb", ["ls", "mount"])
def test_a_person_at_a_terminal_sees_a_bar(registry: MemoryRegistry, server: RegistryServer, shell: Shell, verb: str) -> None:
    kit = kit_of("gzip")
    reference = pushed(registry, server, kit)
    registry.faults.install(Fault(Match(digest=kit.layers[0].digest), withhold := Withhold()))
    words = shell.words(verb, reference, *([shell.new_place()] if verb == "mount" else []))
    master, slave = os.openpty()
    process = subprocess.Popen(words, env=shell.variables(), stdout=subprocess.PIPE, stderr=slave)
    os.close(slave)
    try:
        seen = b""
        while b"/3 layers" not in seen:
            seen += os.read(master, 4096)
    finally:
        withhold.release()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    if verb == "ls":
        assert b"weights/a.bin" in out
    else:
        assert b"mounted at" in drained(master)
        assert shell.run("umount", shell.home / "mnt").exit_code == 0
    os.close(master)


def test_inspect_does_not_take_a_file_for_the_archive_in_it(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = kit_of("gzip")
    layer = kit.layers[0]
    file = KitBuilder("file").model("archive.tgz", layer.body.read(ByteRange(0, layer.body.size_bytes)), raw=True).build()
    assert layer.digest in {each.digest for each in file.layers}
    registry.push("team/file", "1", file.manifest, file.blobs)
    assert shell.run("warmup", f"{server.host}/team/file:1").exit_code == 0
    ran = shell.run("inspect", pushed(registry, server, kit), "--format", "json")
    document = json.loads(ran.stdout)
    assert document["warnings"] == []
    (row,) = [row for row in document["layers"] if row["digest"] == str(layer.digest)]
    assert row["proof"] != "published"
