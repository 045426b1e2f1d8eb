"""Artifacts that are not what a tool packs: an exit code and which layer and entry it is about, or a warning and the rest."""

import json

import pytest

from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.kit_layers import gzipped
from mkfs.testing.producers.images import image
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.archive.tarballs import END, header, member, pax
from tests.support.mounting import Ran, Shell

CONFIG = Part("application/vnd.cncf.model.config.v1+json", b'{"descriptor":{"name":"x"}}')
FILEPATH = "org.cncf.model.filepath"


def packed(archive: bytes) -> Part:
    """A layer as modctl packs it."""
    return Part("application/vnd.cncf.model.weight.v1.tar", archive)


def squeezed(compression: str, data: bytes) -> Part:
    """A layer that is said to be compressed."""
    return Part(f"application/vnd.cncf.model.weight.v1.tar+{compression}", data)


def raw(path: str, data: bytes = b"x") -> Part:
    return Part("application/vnd.cncf.model.weight.v1.raw", data, {FILEPATH: path})


def tell(registry: MemoryRegistry, server: RegistryServer, shell: Shell, made: Artifact, *words: str) -> Ran:
    registry.push("bad/artifact", "1", made.manifest, made.blobs)
    return shell.run(*words[:1], f"{server.host}/bad/artifact:1", *words[1:])


BAD = {
    "path of a file": ([raw("a/../../x")], "'a/../../x' leads upwards"),
    "two files of one path": ([raw("a", b"1"), raw("a", b"2")], "'a' is claimed twice"),
    "path in an archive": ([packed(pax({b"path": b"/etc/passwd"}) + member() + END)], "'/etc/passwd' is absolute"),
    "device": ([packed(header(b"d", flag=b"3") + END)], "'d' is a character device"),
    "size beyond the archive": ([packed(header(b"a", size=1 << 30) + END)], "'a'"),
    "no gzip": ([squeezed("gzip", b"PK" * 999)], "not gzip"),
    "cut gzip": ([squeezed("gzip", gzipped(member(b"a", b"x") + END)[:-9])], "gzip data is cut short"),
    "no zstd": ([squeezed("zstd", b"PK" * 999)], "not zstd"),
    "no archive in gzip": ([squeezed("gzip", gzipped(b"PK\x03\x04" + bytes(2000)))], "first entry"),
    "device in gzip": ([squeezed("gzip", gzipped(header(b"d", flag=b"3") + END))], "'d' is a character device"),
    "no archive": ([packed(b"PK\x03\x04" + bytes(2000))], "first entry"),
}


@pytest.mark.parametrize(("layers", "words"), BAD.values(), ids=BAD)
def test_a_bad_layer_is_refused_by_layer_and_entry(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, layers: list[Part], words: str
) -> None:
    ran = tell(registry, server, shell, artifact(CONFIG, [raw("fine"), *layers]), "ls")
    assert (ran.exit_code, ran.stdout, 1 <= len(ran.lines) <= 3) == (14, "", True), ran
    assert words in ran.stderr
    assert str(layers[-1].digest) in ran.stderr


def test_a_link_that_leads_out_is_refused_by_layer_and_entry(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    made = image([{"models/a": b"", "models/l": "->../etc/passwd"}], compressed=False)
    ran = tell(registry, server, shell, made, "ls")
    assert (ran.exit_code, ran.stdout, 1 <= len(ran.lines) <= 3) == (14, "", True), ran
    assert "'l' is a symbolic link that leads out" in ran.stderr
    assert json.loads(made.manifest)["layers"][0]["digest"] in ran.stderr


@pytest.mark.parametrize("manifest", [b"<html>", b"[" * 10_000], ids=["page", "brackets"])
def test_a_manifest_that_is_none_is_refused(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, manifest: bytes
) -> None:
    ran = tell(registry, server, shell, Artifact(manifest, {}), "inspect")
    assert (ran.exit_code, ran.stdout, 1 <= len(ran.lines) <= 3) == (14, "", True), ran


def test_layers_of_unknown_types_are_named_and_the_rest_is_shown(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    strange = [Part(f"application/vnd.cncf.model.telepathy.v{number}", b"?") for number in range(9)]
    made = artifact(CONFIG, [raw("fine"), *strange])
    ran = tell(registry, server, shell, made, "ls")
    assert (ran.exit_code, ran.stdout.split(), len(ran.lines)) == (0, ["fine"], 6), ran
    assert "telepathy.v0) is not shown" in ran.lines[0]
    assert ran.lines[-1] == "4 more things are not shown"
    document = json.loads(tell(registry, server, shell, made, "inspect", "--format", "json").stdout)
    assert [layer["path"] for layer in document["layers"]] == ["fine"]
    assert len(document["warnings"]) == len(strange)


@pytest.mark.fuse
def test_what_is_refused_is_not_mounted(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    ran = tell(registry, server, shell, artifact(CONFIG, [raw("../x")]), "mount", str(shell.new_place()))
    assert (ran.exit_code, ran.stdout) == (14, ""), ran
    assert shell.is_tidy()
