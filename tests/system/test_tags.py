"""`mkfs resolve` and `mkfs tags`: what tags mean, without a mount and without a cache."""

import json

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing import faults
from mkfs.testing.artifacts import Artifact
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.producers.images import index
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.support import golden
from tests.support.mounting import Shell

FULL, OTHER = "kit-1.11-full-tar", "kit-1.11-dot-tar"


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("tagged", seed=12).docs("README.md", b"# tagged\n").build()


def test_resolve_prints_the_digest(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell) -> None:
    digest = registry.push("team/kit", "7b", kit.manifest, kit.blobs)
    shell.config.write_text(f'default_registry = "{server.host}"\n[alias]\nhere = "{server.host}"\n')
    for reference in (f"{server.host}/team/kit:7b", f"{server.host}/team/kit@{digest}", "here/team/kit:7b", "team/kit:7b"):
        ran = shell.run("resolve", reference)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, f"{digest}\n", "")
    assert shell.run("resolve", f"{server.host}/team/kit:8b").exit_code == 10
    assert not shell.cache.exists()


def test_a_tag_that_says_otherwise_than_the_digest_is_told(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    digest = registry.push("team/kit", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/kit:7b@{digest}"
    assert shell.run("resolve", reference).stderr == ""
    moved = registry.push("team/kit", "7b", b'{"schemaVersion":2,"manifests":[]}')
    ran = shell.run("resolve", reference)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, f"{digest}\n", f"the tag 7b means {moved} now\n")
    del registry.repositories["team/kit"].tags["7b"]
    assert shell.run("resolve", reference).stderr == "there is no tag 7b any more\n"


def test_tags_are_listed_with_their_digests(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell) -> None:
    for tag in ("7b", "latest"):
        registry.push("team/kit", tag, kit.manifest, kit.blobs)
    digest = Digest.of(kit.manifest)
    for repository in (f"{server.host}/team/kit", f"{server.host}/team/kit:7b"):
        ran = shell.run("tags", repository)
        assert (ran.exit_code, len(ran.stdout.splitlines())) == (0, 1)
        assert ran.stdout.split()[0] == str(digest)
        assert ran.stdout.split()[-2:] == ["7b", "latest"]
    document = json.loads(shell.run("tags", f"{server.host}/team/kit", "--format", "json").stdout)
    (row,) = document["artifacts"]
    assert (row["digest"], row["tags"], row["size_bytes"] > 0) == (str(digest), ["7b", "latest"], True)
    assert shell.run("tags", f"{server.host}/team/none").exit_code == 10
    assert shell.run("tags", "team/none").exit_code == 2


def test_a_layout_answers_as_a_registry_does(shell: Shell) -> None:
    digest, source = golden.manifest_digest(FULL), f"oci:{golden.LAYOUT}"
    for reference in (f"{source}:{FULL}", f"{source}@{digest}", f"{source}:{FULL}@{digest}"):
        ran = shell.run("resolve", reference)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, f"{digest}\n", "")
    assert (
        shell.run("resolve", f"{source}:{OTHER}@{digest}").stderr == f"the tag {OTHER} means {golden.manifest_digest(OTHER)} now\n"
    )
    assert shell.run("resolve", f"{source}:none").exit_code == 10
    rows = {row.split()[-1]: row.split() for row in shell.run("tags", source).stdout.splitlines()}
    assert rows[FULL][0] == str(digest)
    document = json.loads(shell.run("tags", f"{source}:{FULL}", "--format", "json").stdout)
    assert document["repository"] == source
    assert {tag: row["digest"] for row in document["artifacts"] for tag in row["tags"]}[OTHER] == str(golden.manifest_digest(OTHER))
    assert shell.run("tags", f"oci:{shell.home}").exit_code == 10


def asked_twice(registry: MemoryRegistry) -> None:
    """Returns when a mount asks for the second time from now: what came of the first is in the log then."""
    for _ in range(2):
        asked = faults.Withhold()
        fault = registry.faults.install(Fault(Match(method="HEAD", path="/manifests/7b"), asked))
        assert asked.gate.wait_until_held()
        registry.faults.mend(fault)
        asked.release()


@pytest.mark.fuse
def test_a_mount_notices_that_its_tag_moved_and_stays_as_it_is(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/kit", "7b", kit.manifest, kit.blobs)
    with shell.mounted(f"{server.host}/team/kit:7b", "--tag-ttl", "1s") as mount:
        moved = registry.push("team/kit", "7b", b'{"schemaVersion":2,"manifests":[]}')
        asked_twice(registry)
        assert f"7b means {moved} now; what is shown stays {Digest.of(kit.manifest)}" in mount.log_file.read_text()
        assert (mount.place / "README.md").read_bytes() == b"# tagged\n"


@pytest.mark.fuse
def test_the_tag_of_an_index_has_not_moved_because_one_artifact_of_it_is_shown(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/kit", None, kit.manifest, kit.blobs)
    registry.push("team/kit", "7b", index([(Artifact(kit.manifest, kit.blobs), {})]).manifest)
    with shell.mounted(f"{server.host}/team/kit:7b", "--tag-ttl", "1s") as mount:
        asked_twice(registry)
        assert "WARNING" not in mount.log_file.read_text()
