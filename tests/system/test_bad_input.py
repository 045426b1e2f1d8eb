"""What goes wrong, as a person meets it: an exit code, three lines at most, nothing mounted and no process left."""

import gzip
import json
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.testing.artifacts import tar
from tests.support import golden, namespaces
from tests.support.docker_registry import DockerRegistry, running
from tests.support.mounting import Ran, Shell
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

USAGE, NOT_FOUND, NOT_AUTHORISED, UNREACHABLE, INTEGRITY, UNSUPPORTED = 2, 10, 11, 12, 13, 14
MOUNTPOINT, NO_FUSE, BUSY, CACHE = 20, 21, 22, 23
SECRET = "hunter2-is-my-pl4nted-secret"
KIT = "golden/kits:kit-1.11-simple-tar"


def refused(shell: Shell, exit_code: int, *arguments: str | Path, around: Sequence[str] = ()) -> Ran:
    """Runs a command that must fail with `exit_code`, and decently."""
    ran = shell.run(*arguments, around=around)
    assert ran.exit_code == exit_code, ran
    assert ran.stdout == ""
    assert ran.stderr.startswith("Error: "), ran
    assert 1 <= len(ran.lines) <= 3, ran
    assert "Traceback" not in ran.stderr
    assert SECRET not in ran.stderr
    assert shell.is_tidy(), (shell.mounts(), shell.processes())
    return ran


@pytest.fixture(params=["mount", "ls", "inspect"])
def command(request: pytest.FixtureRequest, shell: Shell) -> list[str | Path]:
    """A command that resolves a reference, to be completed with one: `[verb, *more]`, the reference goes between."""
    return [request.param, *([shell.new_place()] if request.param == "mount" else [])]


def about(command: list[str | Path], reference: str) -> list[str | Path]:
    return [command[0], reference, *command[1:]]


# --- the reference


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "llama:7b",  # no host
        "team/llama:7b",  # the same: `team` is no host and no alias
        "localhost:5000/Team/llama:7b",
        "localhost:5000/llama:7b:8b",
        "localhost:5000/llama:-7b",
        "localhost:5000/llama@sha256:abc",
        "localhost:5000/llama@md5:d41d8cd98f00b204e9800998ecf8427e",
        "localhost:99999/llama:7b",
        "http://localhost:5000/llama:7b",
        "localhost:5000/llama:sieben℔",
        "localhost:5000/llama:7b\n",
        "localhost:5000/../etc/passwd:7b",
    ],
)
def test_text_that_is_no_reference(shell: Shell, reference: str) -> None:
    refused(shell, USAGE, "mount", reference, shell.new_place())


@pytest.mark.parametrize("verb", ["ls", "inspect", "resolve", "warmup", "verify"])  # mount shows the repository
def test_a_reference_without_tag_or_digest_is_told_about_latest_and_never_gets_it(
    golden_host: str, shell: Shell, verb: str
) -> None:
    ran = refused(shell, USAGE, verb, f"{golden_host}/golden/kits")
    assert ":latest" in ran.stderr


# --- the registry


def test_a_tag_that_the_registry_does_not_have(golden_host: str, shell: Shell, command: list[str | Path]) -> None:
    ran = refused(shell, NOT_FOUND, *about(command, f"{golden_host}/golden/kits:no-such-tag"))
    assert f"{golden_host}/golden/kits:no-such-tag" in ran.stderr


@pytest.mark.parametrize("name", ["golden/nothing:1", f"golden/kits@sha256:{64 * '0'}"], ids=["repository", "digest"])
def test_what_else_the_registry_does_not_have(golden_host: str, shell: Shell, name: str) -> None:
    ran = refused(shell, NOT_FOUND, "mount", f"{golden_host}/{name}", shell.new_place())
    assert f"{golden_host}/{name}" in ran.stderr


def test_a_missing_layer_is_named(docker: DockerRegistry, pusher: Pusher, shell: Shell) -> None:
    manifest = json.loads(golden.manifest_bytes("kit-1.11-simple-tar"))
    layers = [Digest.parse(each["digest"]) for each in (manifest["config"], *manifest["layers"])]
    reference = pusher.push(
        "bad/holes", "1", json.dumps(manifest).encode(), {digest: golden.blob(str(digest)) for digest in layers}
    )
    stored = docker.stored(layers[1])
    link = docker.storage / f"docker/registry/v2/repositories/bad/holes/_layers/sha256/{layers[1].hex}/link"
    assert stored.exists()
    link.unlink()
    ran = refused(shell, NOT_FOUND, "mount", reference, shell.new_place())
    assert str(layers[1]) in ran.stderr


@pytest.fixture(scope="module")
def closed(docker_registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A reference into a registry that lets only Ada in."""
    users = {"ada": SECRET}
    with running(docker_registry, tmp_path_factory.mktemp("closed"), users=users) as registry:
        pusher = Pusher(registry.host, ("ada", SECRET))
        blobs = {Digest.parse(digest): data for digest, data in golden.blobs("kit-1.11-simple-tar").items()}
        yield pusher.push("closed/kit", "1", golden.manifest_bytes("kit-1.11-simple-tar"), blobs)
        pusher.close()


def test_a_wrong_password_names_the_file_that_was_searched(closed: str, shell: Shell, command: list[str | Path]) -> None:
    shell.log_in(closed.partition("/")[0], "ada", f"not-{SECRET}")
    ran = refused(shell, NOT_AUTHORISED, *about(command, closed), "--plain-http")
    assert str(shell.docker_config) in ran.stderr


def test_a_password_does_not_go_over_plain_http_unasked(closed: str, shell: Shell) -> None:
    shell.log_in(closed.partition("/")[0], "ada", SECRET)
    ran = refused(shell, NOT_AUTHORISED, "ls", closed)
    assert "--plain-http" in ran.stderr


def test_no_password_at_all_names_the_file_that_is_not_there(closed: str, shell: Shell) -> None:
    ran = refused(shell, NOT_AUTHORISED, "mount", closed, shell.new_place())
    assert str(shell.docker_config) in ran.stderr


def test_a_registry_that_is_down_is_reported_within_half_a_minute(shell: Shell, command: list[str | Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        ran = refused(shell, UNREACHABLE, *about(command, f"{host}/llama:7b"))
        assert time.monotonic() - started < 30
    assert host in ran.stderr


def test_a_digest_that_names_other_bytes(docker: DockerRegistry, pusher: Pusher, shell: Shell, command: list[str | Path]) -> None:
    manifest = golden.manifest_bytes("kit-1.11-simple-tar")
    blobs = {Digest.parse(digest): data for digest, data in golden.blobs("kit-1.11-simple-tar").items()}
    pusher.push("bad/digest", "1", manifest, blobs)
    digest = golden.manifest_digest("kit-1.11-simple-tar")
    with docker.damaged(digest, manifest.index(b"ml.kitops.modelkit")):
        ran = refused(shell, INTEGRITY, *about(command, f"{docker.host}/bad/digest@{digest}"))
    assert digest in ran.stderr
    assert docker.host in ran.stderr


# --- the artifact


def artifact(config_type: str, layer_type: str) -> tuple[bytes, dict[Digest, bytes]]:
    """An artifact of one layer."""
    config, layer = b'{"name":"something"}', gzip.compress(tar({"something": b"something"}))
    described = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": config_type, "digest": str(Digest.of(config)), "size": len(config)},
        "layers": [{"mediaType": layer_type, "digest": str(Digest.of(layer)), "size": len(layer)}],
    }
    return json.dumps(described).encode(), {Digest.of(each): each for each in (config, layer)}


@pytest.mark.parametrize(
    ("kind", "config_type", "layer_type"),
    [
        ("Helm", "application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
        ("image", "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip"),
        ("unheard", "application/vnd.unheard.of.config.v1+json", "application/vnd.unheard.of.layer.v1"),
    ],
)
def test_an_artifact_that_holds_no_model(pusher: Pusher, shell: Shell, kind: str, config_type: str, layer_type: str) -> None:
    reference = pusher.push(f"bad/{kind.lower()}", "1", *artifact(config_type, layer_type))
    ran = refused(shell, UNSUPPORTED, "mount", reference, shell.new_place())
    assert kind in ran.stderr


# --- the place


def test_a_place_that_is_missing(golden_host: str, shell: Shell) -> None:
    ran = refused(shell, MOUNTPOINT, "mount", f"{golden_host}/{KIT}", shell.home / "nowhere")
    assert str(shell.home / "nowhere") in ran.stderr
    assert not (shell.home / "nowhere").exists()


def test_a_place_that_is_a_file(golden_host: str, shell: Shell) -> None:
    refused(shell, MOUNTPOINT, "mount", f"{golden_host}/{KIT}", shell.config)


def test_a_place_that_holds_something(golden_host: str, shell: Shell) -> None:
    place = shell.new_place()
    (place / "precious").write_text("mine")
    ran = refused(shell, MOUNTPOINT, "mount", f"{golden_host}/{KIT}", place)
    assert "precious" in ran.stderr
    assert (place / "precious").read_text() == "mine"


def test_a_place_where_something_is_mounted(golden_host: str, shell: Shell) -> None:
    place = shell.new_place()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    try:
        ran = shell.run("mount", f"{golden_host}/{KIT}", place)
        assert shell.mounts() == [place]
        unmount = shell.run("umount", place)
        assert shell.mounts() == [place]
    finally:
        subprocess.run(["umount", place], check=True)
    assert (ran.exit_code, len(ran.lines) <= 3, ran.stderr.startswith("Error: ")) == (BUSY, True, True), ran
    assert unmount.exit_code == MOUNTPOINT, unmount  # not ours to unmount


def test_unmounting_where_nothing_is_mounted(shell: Shell) -> None:
    refused(shell, MOUNTPOINT, "umount", shell.new_place())
    refused(shell, MOUNTPOINT, "umount", shell.home / "nowhere")


# --- FUSE


def test_a_machine_without_the_fuse_device(golden_host: str, shell: Shell) -> None:
    ran = refused(shell, NO_FUSE, "mount", f"{golden_host}/{KIT}", shell.new_place(), around=namespaces.without_fuse())
    assert "/dev/fuse" in ran.stderr


def test_a_user_who_may_not_open_the_fuse_device(golden_host: str, shell: Shell) -> None:
    at_home = namespaces.shell_script('unset MKFS_CONFIG MKFS_CACHE_DIR; export HOME=/mnt; mkdir /mnt/place; exec "$@"')
    around = (*namespaces.with_fuse_for(0o600), *namespaces.as_nobody(), *at_home)
    ran = refused(shell, NO_FUSE, "mount", f"{golden_host}/{KIT}", Path("/mnt/place"), around=around)
    assert "/dev/fuse" in ran.stderr


def test_root_in_a_container_that_may_not_mount(golden_host: str, shell: Shell) -> None:
    ran = refused(shell, NO_FUSE, "mount", f"{golden_host}/{KIT}", shell.new_place(), around=namespaces.without_right_to_mount())
    assert "SYS_ADMIN" in ran.stderr


# --- the cache


def test_a_cache_that_is_a_file(golden_host: str, shell: Shell) -> None:
    shell.cache.write_text("not a directory")
    ran = refused(shell, CACHE, "mount", f"{golden_host}/{KIT}", shell.new_place())
    assert str(shell.cache) in ran.stderr


def test_a_cache_that_anybody_could_write_to(golden_host: str, shell: Shell, command: list[str | Path]) -> None:
    shell.cache.mkdir()
    shell.cache.chmod(0o777)
    ran = refused(shell, CACHE, *about(command, f"{golden_host}/{KIT}"))
    assert str(shell.cache) in ran.stderr
    assert stat.S_IMODE(shell.cache.stat().st_mode) == 0o777


def test_a_cache_of_somebody_else(golden_host: str, shell: Shell) -> None:
    shell.cache.mkdir(mode=0o700)
    subprocess.run(["chown", str(namespaces.NOBODY), shell.cache], check=True)
    ran = refused(shell, CACHE, "mount", f"{golden_host}/{KIT}", shell.new_place())
    assert str(shell.cache) in ran.stderr
