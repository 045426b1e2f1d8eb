"""`kitfs status`: what a mount says of itself, and what is seen of one that says nothing."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.oci.digest import Digest
from mkfs.testing.faults import Fault, Flip, Match, Status, Withhold
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.asking import is_quiet, layer_named, report, report_when, status
from tests.support.kit_parts import layer_at
from tests.support.mounting import Mount, Shell, ended

pytestmark = pytest.mark.fuse

NOTHING_THERE, NOT_SERVING = 20, 24
WEIGHTS_BYTES = 40 * MIB
_SECONDS = 30


@pytest.fixture(scope="module")
def kit() -> Kit:
    builder = KitBuilder("llama", seed=5).part("weights.bin", WEIGHTS_BYTES, raw=True).model("model.gguf", 3 * MIB)
    return builder.docs("README.md", b"# seen\n").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


@contextmanager
def reading(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody who reads all of it."""
    with subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as reader:
        try:
            yield reader
        finally:
            reader.kill()


@contextmanager
def dead(mount: Mount) -> Iterator[None]:
    """Its process is killed, and the mount is there."""
    os.kill(mount.pid, signal.SIGKILL)
    assert ended(mount.pid)
    yield


def test_a_mount_says_what_it_shows(reference: str, kit: Kit, shell: Shell) -> None:
    before = datetime.now(UTC)
    with shell.mounted(reference, "--tag-ttl", "0s") as mount:
        document = status(shell, mount.place)
        assert (document["schema_version"], document["state"], document["pid"]) == (1, "mounted", mount.pid)
        assert document["source"] == f"{reference}@{kit.manifest_digest}"
        told = document["report"]
        assert (told["mountpoint"], told["verify"], told["prefetch"], told["offline"]) == (
            str(mount.place),
            "strict",
            "model",
            False,
        )
        (artifact,) = told["artifacts"]
        assert (artifact["reference"], artifact["digest"], artifact["index_digest"]) == (reference, str(kit.manifest_digest), None)
        assert [layer["digest"] for layer in artifact["layers"]] == [str(layer.digest) for layer in kit.layers]
        assert before <= datetime.fromisoformat(told["mounted_at"]) <= datetime.fromisoformat(told["at"]) <= datetime.now(UTC)
        assert 0 < told["cold_start"]["readable_seconds"] < _SECONDS
        assert (told["warm"], told["proven"], told["kernel"]["max_background"]) == (False, False, 512)
        assert told["cache"]["path"] == str(shell.cache)
        model, readme = layer_named(told, "model.gguf"), layer_named(told, "README.md")
        assert (model["provisional"], model["proof"], model["cached_bytes"]) == (True, "layer digest", 0)
        assert (readme["provisional"], readme["proof"], readme["complete"]) == (False, "own", True)


def test_a_person_sees_the_same_in_words(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        mount.path("model.gguf").read_bytes()
        ran = shell.run("status", mount.place)
        assert ran.exit_code == 0
        for words in (str(mount.place), str(kit.manifest_digest), "not warm, not proven", "model.gguf [0, ", "max_background 512"):
            assert words in ran.stdout, words
        listed = shell.run("status").stdout.splitlines()
        assert listed[0].split() == ["DIRECTORY", "STATE", "CACHED", "SERVED", "FETCHED", "WAIT", "REFERENCE"]
        (line,) = [line for line in listed if str(mount.place) in line]
        assert line.split()[1] == "mounted"
        assert line.endswith(reference)


def test_who_waits_is_told_with_what_for_and_since_when(
    registry: MemoryRegistry, server: RegistryServer, reference: str, kit: Kit, shell: Shell
) -> None:
    with shell.mounted(reference) as mount:
        withhold = Withhold()
        registry.faults.install(Fault(Match(digest=layer_at(kit, "weights.bin").digest), withhold))
        with reading(mount.path("weights.bin")) as reader:
            assert withhold.gate.wait_until_held()
            told = report_when(shell, mount.place, lambda told: told["reads"]["waiting"] > 0)
            wait = told["waiting"][0]
            assert (wait["file"], wait["start"], wait["waits_for"]) == ("weights.bin", 0, "proof")
            assert (wait["received_bytes"], wait["size_bytes"], wait["hosts"]) == (0, WEIGHTS_BYTES, [server.host])
            assert "weights.bin" in wait["layer"]
            later = report(shell, mount.place)["waiting"][0]
            assert (later["file"], later["start"]) == (wait["file"], wait["start"])
            assert later["seconds"] > wait["seconds"] > 0
            assert layer_named(told, "weights.bin")["waiting"] >= 1
            assert "weights.bin, to be proven: 0 B of 40.0 MiB" in shell.run("status", mount.place).stdout
            withhold.release()
            assert reader.wait(_SECONDS) == 0
        told = report(shell, mount.place)
        assert (told["waiting"], told["reads"]["waiting"]) == ([], 0)
        slowest = told["cold_start"]["slowest"][0]
        assert (slowest["file"], slowest["start"], slowest["waited_for"]) == ("weights.bin", 0, "proof")
        assert slowest["seconds"] >= later["seconds"]
        assert told["reads"]["longest_seconds"] == slowest["seconds"]


def test_bytes_are_counted_as_the_registry_counts_them(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    digest = layer_at(kit, "weights.bin").digest
    with shell.mounted(reference, "--prefetch", "none") as mount:
        assert len(mount.path("weights.bin").read_bytes()) == WEIGHTS_BYTES
        told = report(shell, mount.place)
        layer = layer_named(told, "weights.bin")
        assert layer["fetched_bytes"] == registry.bytes_sent(digest) == WEIGHTS_BYTES
        assert (layer["wanted_bytes"], layer["guessed_bytes"], layer["wasted_bytes"]) == (WEIGHTS_BYTES, 0, 0)
        assert told["transfer"]["served_bytes"] >= WEIGHTS_BYTES
        assert told["transfer"]["fetched_bytes"] == sum(registry.bytes_sent(each.digest) for each in kit.layers)
        assert (layer["complete"], layer["published"], layer["cached_bytes"]) == (True, True, WEIGHTS_BYTES)
        assert told["reads"]["answered_at_once"] + told["reads"]["waited"] > 0


def forget_bytes(shell: Shell, digest: Digest) -> None:
    """Leaves nothing of a layer but its chunk index."""
    cache = Cache.open(shell.cache, min_free_ratio=0)
    cache.drop(digest)
    cache.close()


def test_what_was_guessed_in_vain_is_told_to_the_byte(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    digest = layer_at(kit, "weights.bin").digest
    assert shell.run("warmup", reference).exit_code == 0
    forget_bytes(shell, digest)
    registry.log.clear()
    with shell.mounted(reference, "--prefetch", "sequential") as mount:
        with mount.path("weights.bin").open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no guesses of the kernel
            for number in range(6):
                assert len(os.pread(file.fileno(), MIB, number * MIB)) == MIB
            layer = layer_named(report_when(shell, mount.place, is_quiet), "weights.bin")
            assert layer["fetched_bytes"] == registry.bytes_sent(digest) < WEIGHTS_BYTES
            assert layer["wanted_bytes"] == 6 * MIB
            assert layer["wasted_bytes"] == layer["fetched_bytes"] - 6 * MIB > 0
            assert layer["guessed_bytes"] >= layer["wasted_bytes"]  # what was guessed in time, and wanted later, is both
            assert layer["cached_bytes"] == layer["fetched_bytes"]
            for number in range(6, WEIGHTS_BYTES // MIB):
                os.pread(file.fileno(), MIB, number * MIB)
        told = report_when(shell, mount.place, is_quiet)
        layer = layer_named(told, "weights.bin")
        assert layer["fetched_bytes"] == registry.bytes_sent(digest) == layer["wanted_bytes"] == WEIGHTS_BYTES
        assert layer["wasted_bytes"] == told["cold_start"]["wasted_bytes"] == 0
        assert told["cold_start"]["guessed_bytes"] == layer["guessed_bytes"] > 0


def test_what_nobody_asked_for_is_filled_and_not_guessed(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference, "--fill") as mount:
        assert shell.run("wait", mount.place, "--until", "warm", "--timeout", f"{_SECONDS}s").exit_code == 0
        layer = layer_named(report(shell, mount.place), "weights.bin")
        assert (layer["filled_bytes"], layer["guessed_bytes"], layer["wanted_bytes"]) == (WEIGHTS_BYTES, 0, 0)


def test_an_error_is_told_with_its_cause_and_host(
    registry: MemoryRegistry, server: RegistryServer, reference: str, kit: Kit, shell: Shell
) -> None:
    with shell.mounted(reference) as mount:
        fault = registry.faults.install(Fault(Match("GET", digest=layer_at(kit, "weights.bin").digest), Status(404)))
        with pytest.raises(OSError, match="Input/output"):
            mount.path("weights.bin").read_bytes()
        registry.faults.mend(fault)
        told = report(shell, mount.place)
        error = told["errors"][0]
        assert error["kind"] == "NotFound"
        assert server.host in f"{error['host']} {error['where']}"
        assert "weights.bin" in error["layer"]
        assert error["reads_failed"] == told["reads"]["failed"] >= 1
        assert error["count"] >= 1
        assert told["mounted_at"] <= error["first_at"] <= error["last_at"] <= told["at"]
        assert "last errors" in shell.run("status", mount.place).stdout


def test_wrong_bytes_are_told_with_their_host(
    registry: MemoryRegistry, server: RegistryServer, reference: str, kit: Kit, shell: Shell
) -> None:
    with shell.mounted(reference) as mount:
        registry.faults.install(Fault(Match("GET", digest=layer_at(kit, "weights.bin").digest), Flip(MIB)))
        with pytest.raises(OSError, match="Input/output"):
            mount.path("weights.bin").read_bytes()
        error = report(shell, mount.place)["errors"][0]
        assert (error["kind"], error["host"]) == ("Mismatch", server.host)


def test_a_tag_that_moved_is_told_with_where_to(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    other = KitBuilder("other", seed=6).docs("README.md", b"other\n").build()
    with shell.mounted(reference, "--tag-ttl", "1s") as mount:
        registry.push("team/llama", "7b", other.manifest, other.blobs)
        told = report_when(shell, mount.place, lambda told: bool(told["artifacts"][0]["tag"]["moved"]))
        tag = told["artifacts"][0]["tag"]
        assert (tag["tag"], tag["digest"]) == ("7b", str(other.manifest_digest))
        assert told["mounted_at"] <= tag["moved_at"] <= tag["asked_at"]
        assert told["artifacts"][0]["digest"] == str(kit.manifest_digest)
        assert "tag 7b moved to" in shell.run("status", mount.place).stdout


def test_a_stopped_process_is_said_to_be_one_and_hangs_nobody(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount, mount.stopped():
        ran = shell.run("status", mount.place, timeout=_SECONDS)
        assert ran.exit_code == NOT_SERVING
        assert "not answering" in ran.stdout
        assert f"pid {mount.pid}" in ran.stderr or str(mount.pid) in ran.stderr
        document = status(shell, mount.place, NOT_SERVING)
        assert (document["state"], document["pid"], document["report"]) == ("not answering", mount.pid, None)
        listed = shell.run("status", timeout=2 * _SECONDS)
        assert listed.exit_code == NOT_SERVING
        assert [line.split()[1:3] for line in listed.stdout.splitlines() if str(mount.place) in line] == [["not", "answering"]]


def test_a_dead_mount_is_shown_as_dead(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount, dead(mount):
        document = status(shell, mount.place, NOT_SERVING)
        assert (document["state"], document["pid"], document["report"]) == ("dead", None, None)
        listed = shell.run("status")
        assert [line.split()[1] for line in listed.stdout.splitlines() if str(mount.place) in line] == ["dead"]
        assert f"kitfs umount {mount.place}" in shell.run("status", mount.place).stderr
        again = shell.run("mount", reference, mount.place)
        assert again.exit_code == 0
        assert status(shell, mount.place)["state"] == "mounted"
        (pid,) = shell.processes()
        subprocess.run(["umount", mount.place], check=True)
        assert ended(pid)


@pytest.mark.parametrize("form", ["text", "json"])
def test_where_nothing_of_ours_is_mounted_it_says_so(shell: Shell, form: str) -> None:
    ran = shell.run("status", shell.home, "--format", form)
    assert (ran.exit_code, ran.stdout) == (NOTHING_THERE, "")
    assert ran.lines[0] == f"Error: nothing of ours is mounted at {shell.home}"


def test_a_mount_without_a_socket_serves_and_says_why(reference: str, shell: Shell) -> None:
    shell.runtime.mkdir(mode=0o777)
    shell.runtime.chmod(0o777)
    with shell.mounted(reference) as mount:
        assert mount.path("README.md").read_bytes() == b"# seen\n"
        assert "no control socket" in mount.log_file.read_text()
        assert status(shell, mount.place, NOT_SERVING)["state"] == "no status"


def test_the_socket_goes_with_the_mount(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        (path,) = shell.runtime.iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
        assert shell.runtime.stat().st_mode & 0o777 == 0o700
        mount.umount()
    assert list(shell.runtime.iterdir()) == []


def test_a_mount_that_is_bound_elsewhere_is_the_same_mount(reference: str, shell: Shell) -> None:
    elsewhere = shell.new_place("elsewhere")
    with shell.mounted(reference) as mount:
        subprocess.run(["mount", "--bind", mount.place, elsewhere], check=True)
        try:
            document = status(shell, elsewhere)
            assert (document["state"], document["pid"], document["mountpoint"]) == ("mounted", mount.pid, str(mount.place))
            assert shell.run("wait", elsewhere).exit_code == 0
            listed = shell.run("status").stdout.splitlines()
            assert len([line for line in listed if str(shell.home) in line]) == 1
        finally:
            subprocess.run(["umount", elsewhere], check=True)


def test_who_watches_gets_a_line_a_second_until_it_is_unmounted(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        words = shell.words("status", mount.place, "--watch", "--format", "json")
        with subprocess.Popen(words, env=shell.variables(), stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
            assert [line["report"]["pid"] for line in lines] == [mount.pid] * 2
            assert lines[0]["report"]["at"] < lines[1]["report"]["at"]
            mount.umount()
            for line in watching.stdout:
                assert json.loads(line)["mountpoint"] == str(mount.place)
            assert watching.wait(_SECONDS) == 0


def test_status_loads_neither_the_loop_nor_the_client() -> None:
    program = "import mkfs.cli.app, mkfs.cli.status, mkfs.cli.wait, sys; print(*sys.modules)"
    modules = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
    assert {"trio", "httpx2", "pyfuse3", "rich", "mkfs.content.engine", "mkfs.service.status"} & modules == set()
