"""`warmup`, and mounting with the registry gone; and that the cache serves nobody who could not have had the bytes himself."""

import json
import os
import pty
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.testing.access import Bearer
from mkfs.testing.bodies import BlobBody
from mkfs.testing.faults import Fault, Flip, Match, Stall, Status
from mkfs.testing.kits import Directory, Kit, KitBuilder, Layer
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.testing.tokens import TokenIssuer
from mkfs.units import MIB
from tests.support.kit_parts import wrong_files
from tests.support.mounting import Shell

NOT_FOUND, NOT_AUTHORISED, UNREACHABLE, INTEGRITY, CACHE_UNUSABLE, INTERRUPTED = 10, 11, 12, 13, 23, 130
_HELD_SECONDS = 30


@pytest.fixture(scope="module")
def kit() -> Kit:
    weights = Directory({"a.safetensors": 3 * MIB, "b.safetensors": 2 * MIB + 1})
    builder = KitBuilder("llama", seed=4).model("weights", weights).part("raw.bin", 2 * MIB + 77, raw=True)
    return builder.docs("README.md", b"# llama\n").build()


def large(kit: Kit) -> Layer:
    return kit.layers[0]


def raw(kit: Kit) -> Layer:
    return kit.layers[1]


def warmed(shell: Shell, registry: MemoryRegistry, kit: Kit, *options: str) -> Reference:
    """Pushes, warms and takes the registry away. The reference by tag."""
    with serve(registry) as server:
        registry.push("team/llama", "7b", kit.manifest, kit.blobs)
        ran = shell.run("warmup", f"{server.host}/team/llama:7b", *options)
        assert ran.exit_code == 0, ran
        return Reference.parse(f"{server.host}/team/llama:7b")


# --- warmup


def test_a_warm_artifact_is_mounted_without_a_byte_of_a_layer(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/llama:7b"
    ran = shell.run("warmup", reference, "--format", "json")
    assert ran.exit_code == 0, ran
    document = json.loads(ran.stdout)
    assert document["reference"] == f"{reference}@{kit.manifest_digest}"
    assert document["size_bytes"] == document["fetched_bytes"] == sum(layer.body.size_bytes for layer in kit.layers)
    assert [(row["digest"], row["outcome"]) for row in document["layers"]] == [(str(each.digest), "fetched") for each in kit.layers]
    for layer in kit.layers:
        assert registry.bytes_sent(layer.digest) <= 1.05 * layer.body.size_bytes
    registry.log.clear()
    again = json.loads(shell.run("warmup", reference, "--format", "json").stdout)
    assert {row["outcome"] for row in again["layers"]} == {"cached"}
    assert again["fetched_bytes"] == 0
    assert [served.path for served in registry.log] == ["/v2/team/llama/manifests/7b"]


@pytest.mark.fuse
def test_a_warmup_that_was_interrupted_goes_on_where_it_was(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/llama:7b"
    stall = Stall(after_bytes=1000)
    fault = registry.faults.install(Fault(Match(digest=raw(kit).digest), stall))  # the largest layer begins, so it is done by then
    with shell.start("warmup", reference, "--concurrency", "1") as process:
        assert stall.gate.wait_until_held(1, timeout_seconds=_HELD_SECONDS)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=_HELD_SECONDS)
    assert (process.returncode, stderr) == (INTERRUPTED, "")
    registry.faults.mend(fault)
    stall.release()
    registry.log.clear()
    assert shell.run("warmup", reference).exit_code == 0
    assert {served.digest for served in registry.log if "/blobs/" in served.path} == {raw(kit).digest}
    registry.log.clear()
    with shell.mounted(reference) as mount:
        assert wrong_files(mount.place, kit) == []
    assert [served.path for served in registry.log] == ["/v2/team/llama/manifests/7b"]
    assert not list((shell.cache / "staging").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_goes_on_in_the_middle_of_a_layer(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, number: signal.Signals
) -> None:
    kit = KitBuilder("large", seed=5).raw("weights.bin", 26 * MIB).build()
    registry.push("team/large", "1", kit.manifest, kit.blobs)
    stall = Stall(after_bytes=17 * MIB)  # two runs of 8 MiB are complete
    registry.faults.install(Fault(Match("GET", digest=kit.layers[0].digest), stall, times=1))
    with shell.start("warmup", f"{server.host}/team/large:1") as process:
        assert stall.gate.wait_until_held(1, timeout_seconds=_HELD_SECONDS)
        while not sum(ledger.read_bytes().count(b"\1") >= 16 for ledger in (shell.cache / "staging").glob("*/ledger")):
            time.sleep(0.02)  # nobody tells when they are written
        process.send_signal(number)
        process.communicate(timeout=_HELD_SECONDS)
    stall.release()
    registry.log.clear()
    document = json.loads(shell.run("warmup", f"{server.host}/team/large:1", "--format", "json").stdout)
    assert [row["outcome"] for row in document["layers"]] == ["fetched"]
    assert registry.bytes_sent(kit.layers[0].digest) == 10 * MIB
    assert not list((shell.cache / "staging").iterdir())


def test_a_damaged_layer_fails_the_warmup_and_keeps_no_other_from_it(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    registry.faults.install(Fault(Match(digest=raw(kit).digest), Flip(MIB)))
    ran = shell.run("warmup", f"{server.host}/team/llama:7b", "--format", "json")
    assert ran.exit_code == INTEGRITY
    outcomes = {row["digest"]: row["outcome"] for row in json.loads(ran.stdout)["layers"]}
    assert outcomes == {str(each.digest): "failed" if each is raw(kit) else "fetched" for each in kit.layers}


def test_a_cache_without_room_ends_the_warmup_before_the_bytes_come(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    ran = shell.run("warmup", f"{server.host}/team/llama:7b", "--cache-size", "4MiB", "--concurrency", "1")
    assert ran.exit_code == CACHE_UNUSABLE, ran
    assert registry.bytes_sent(large(kit).digest) < MIB


@pytest.mark.fuse
def test_what_was_evicted_comes_back_chunk_by_chunk_where_there_is_room(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/llama:7b"
    assert shell.run("warmup", reference).exit_code == 0
    shutil.rmtree(shell.cache / "layers" / "sha256" / large(kit).digest.hex)
    assert shell.run("mount", reference, shell.new_place("refused"), "--offline").exit_code == NOT_FOUND
    ran = shell.run("warmup", reference, "--cache-size", "4MiB")
    assert ran.exit_code == CACHE_UNUSABLE, ran
    ran = shell.run("warmup", reference, "--format", "json")
    assert {row["digest"]: row["outcome"] for row in json.loads(ran.stdout)["layers"]}[str(large(kit).digest)] == "fetched"
    registry.log.clear()
    with shell.mounted(reference, "--offline") as mount:
        assert wrong_files(mount.place, kit) == []
    assert len(registry.log) == 0


def test_a_registry_that_is_not_there_is_told_as_everywhere(shell: Shell) -> None:
    ran = shell.run("warmup", "127.0.0.1:9/team/llama:7b")
    assert (ran.exit_code, ran.stdout, len(ran.lines) <= 3) == (UNREACHABLE, "", True), ran


def test_a_person_at_a_terminal_sees_a_bar_and_a_pipe_does_not(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/llama:7b"
    quiet = shell.run("warmup", reference)
    assert (quiet.stderr, len(quiet.stdout.splitlines())) == ("", 1)
    assert "in 3 layers in the cache" in quiet.stdout
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = os.posix_spawnp(
            str(shell.words()[0]),
            [str(word) for word in shell.words("warmup", reference)],
            {**shell.variables(), "TERM": "xterm", "COLUMNS": "120"},
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 2), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
        )
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO: nobody holds the other end any more
            while piece := terminal.read(65536):
                shown += piece
        assert os.waitpid(process, 0)[1] == 0
    assert b"3/3 layers" in shown


# --- the registry is gone


@pytest.mark.fuse
def test_a_digest_is_mounted_with_the_registry_gone(registry: MemoryRegistry, kit: Kit, shell: Shell) -> None:
    tagged = warmed(shell, registry, kit)
    with shell.mounted(str(replace(tagged, tag=None, digest=kit.manifest_digest))) as mount:
        assert wrong_files(mount.place, kit) == []
        assert any("from the cache" in line for line in mount.ran.lines)


@pytest.mark.fuse
def test_a_tag_is_mounted_offline_and_says_how_old_it_is(registry: MemoryRegistry, kit: Kit, shell: Shell) -> None:
    tagged = warmed(shell, registry, kit)
    ran = shell.run("mount", str(tagged), shell.new_place("refused"))
    assert ran.exit_code == UNREACHABLE
    assert "--offline" in ran.stderr
    with shell.mounted(str(tagged), "--offline") as mount:
        assert wrong_files(mount.place, kit) == []
        (notice,) = [line for line in mount.ran.lines if line.startswith("offline")]
        assert notice.startswith(f"offline: {tagged} as of ")
        assert notice.endswith("s ago")


def test_ls_and_inspect_work_offline(registry: MemoryRegistry, kit: Kit, shell: Shell) -> None:
    tagged = str(warmed(shell, registry, kit))
    listed = shell.run("ls", tagged, "--offline")
    assert (listed.exit_code, "weights/a.safetensors" in listed.stdout.splitlines()) == (0, True), listed
    inspected = shell.run("inspect", tagged, "--offline", "--format", "json")
    document = json.loads(inspected.stdout)
    assert document["digest"] == str(kit.manifest_digest)
    assert {row["proof"] for row in document["layers"]} == {"published"}
    for ran in (listed, inspected):
        assert [line.partition(" as of ")[0] for line in ran.lines] == [f"offline: {tagged}"]
    assert document["resolved_at"].endswith("+00:00")


def test_ls_works_offline_when_the_bytes_were_evicted(registry: MemoryRegistry, kit: Kit, shell: Shell) -> None:
    tagged = str(warmed(shell, registry, kit))
    before = shell.run("ls", tagged, "--offline", "--format", "json").stdout
    shutil.rmtree(shell.cache / "layers" / "sha256")
    ran = shell.run("ls", tagged, "--offline", "--format", "json")
    assert (ran.exit_code, ran.stdout) == (0, before), ran
    assert shell.run("mount", tagged, shell.new_place("refused"), "--offline").exit_code == NOT_FOUND


def test_offline_nothing_is_sent_to_anybody(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell) -> None:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/llama:7b"
    for verb in ("ls", "inspect"):
        ran = shell.run(verb, reference, "--offline")
        assert (ran.exit_code, len(ran.lines) <= 3) == (NOT_FOUND, True), ran
    assert shell.run("warmup", reference).exit_code == 0
    registry.log.clear()
    for verb in ("ls", "inspect"):
        assert shell.run(verb, reference, "--offline").exit_code == 0
    assert len(registry.log) == 0


# --- bytes that are here, but not for everybody


def but(kit: Kit, digest: Digest) -> dict[Digest, BlobBody]:
    return {each: body for each, body in kit.blobs.items() if each != digest}


def unread(place: Path, name: str) -> bool:
    try:
        (place / name).read_bytes()
    except OSError:
        return True
    return False


@pytest.mark.fuse
@pytest.mark.parametrize("how", ["404", "403"])
def test_a_repository_that_cannot_have_a_layer_is_not_served_it_from_the_cache(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell, how: str
) -> None:
    """Ada's bytes are in the cache. Eve pushes their manifest to a repository of hers, and mounts that."""
    readers = {"ada/private": frozenset({"ada"}), "eve/borrowed": frozenset({"eve"})}
    registry.access = Bearer(TokenIssuer({"ada": "1", "eve": "2"}, readers=readers))
    registry.push("ada/private", "1", kit.manifest, kit.blobs)
    registry.push("eve/borrowed", "1", kit.manifest, but(kit, raw(kit).digest))
    if how == "403":
        registry.faults.install(Fault(Match(path="/v2/eve/borrowed/blobs/", digest=raw(kit).digest), Status(403)))
    shell.log_in(server.host, "ada", "1")
    assert shell.run("warmup", f"{server.host}/ada/private:1", "--plain-http").exit_code == 0
    shell.log_in(server.host, "eve", "2")
    assert shell.run("ls", f"{server.host}/ada/private:1", "--plain-http").exit_code == NOT_AUTHORISED
    borrowed = f"{server.host}/eve/borrowed:1"
    with shell.mounted(borrowed, "--plain-http") as mount:
        assert unread(mount.place, "raw.bin")
        assert (mount.place / "README.md").read_bytes() == b"# llama\n"  # this one is hers as well
    ran = shell.run("warmup", borrowed, "--plain-http")
    assert ran.exit_code == (NOT_FOUND if how == "404" else NOT_AUTHORISED), ran
    assert shell.run("mount", borrowed, shell.new_place("refused"), "--offline").exit_code == NOT_FOUND


@pytest.mark.fuse
def test_a_repository_that_has_the_layers_is_served_from_the_cache_after_asking(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    for repository in ("team/llama", "team/mirror"):
        registry.push(repository, "7b", kit.manifest, kit.blobs)
    assert shell.run("warmup", f"{server.host}/team/llama:7b").exit_code == 0
    registry.log.clear()
    with shell.mounted(f"{server.host}/team/mirror:7b") as mount:
        assert wrong_files(mount.place, kit) == []
    methods = sorted(served.method for served in registry.log if served.digest in {layer.digest for layer in kit.layers})
    assert methods == ["HEAD"] * len(kit.layers)
