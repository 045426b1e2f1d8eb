"""`mkfs resolve` and `mkfs tags`: what tags mean, without a mount and without a cache."""

import json

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.support.mounting import Shell


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("tagged", seed=12).docs("README.md", b"# tagged\n").build()


def test_resolve_prints_the_digest(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell) -> None:
    digest = registry.push("team/kit", "7b", kit.manifest, kit.blobs)
    shell.config.write_text(f'[alias]\nhere = "{server.host}"\n')
    for reference in (f"{server.host}/team/kit:7b", f"{server.host}/team/kit@{digest}", "here/team/kit:7b"):
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
