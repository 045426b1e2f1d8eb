"""A kit whose model is at another repository: who is asked for what, and what a node without a network still has."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.content.describing import Terms, describe
from mkfs.errors import NotFound, Unsupported
from mkfs.formats.choice import Choice
from mkfs.formats.filters import parse_filter
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import KITOPS_CONFIG
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.testing.artifacts import Artifact as Made
from mkfs.testing.artifacts import Part, artifact
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.producers.images import index
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.tree.nodes import File
from mkfs.units import MIB
from tests.support.layers import engine_at
from tests.support.planning import whole

CHILD = Reference.parse("registry.test/team/child:1")
PARENT = KitBuilder("base", seed=9).model("weights.bin", 2 * MIB).docs("PARENT.md", b"not shown").build()


def child(path: str) -> Made:
    """A kit of one adapter, whose model is a reference."""
    kit = KitBuilder("child").part("adapter.bin", b"adapter").build()
    config = json.loads(kit.config)
    config["model"]["path"] = path
    (layer,) = kit.layers
    part = Part(json.loads(kit.manifest)["layers"][0]["mediaType"], whole(layer.body))
    return artifact(Part(KITOPS_CONFIG, json.dumps(config).encode()), [part])


def registries(path: str, parent: Kit | Made = PARENT) -> dict[str, MemoryRegistry]:
    """The child at one registry; its parent there and at another."""
    here, there = MemoryRegistry(), MemoryRegistry()
    made = child(path)
    here.push("team/child", "1", made.manifest, made.blobs)
    for registry in (here, there):
        registry.push("base/llama", "7b", parent.manifest, parent.blobs)
    return {"registry.test": here, "other.test": there, "127.0.0.1:5310": there, "169.254.169.254": there}


@asynccontextmanager
async def opened(
    root: Path, hosts: dict[str, MemoryRegistry], choice: Choice | None = None, *, offline: bool = False
) -> AsyncGenerator[Artifact, None]:
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(hosts))
    async with client, engine_at(root / "cache") as engine:
        repository = None if offline else client.repository(CHILD)
        elsewhere = None if offline else client.repository
        artifact = await open_artifact(engine, repository, CHILD, Terms(choice=choice or Choice(), elsewhere=elsewhere))
        try:
            yield artifact
        finally:
            artifact.close()


async def read(artifact: Artifact, path: bytes) -> bytes:
    node = artifact.tree.find(path)
    assert isinstance(node, File)
    assert node.layer is not None
    (extent,) = node.extents
    return bytes(await artifact.layers[node.layer].read(ByteRange(extent.layer_offset, extent.layer_offset + extent.length)))


def sum_of(kit: Kit, path: bytes) -> Digest:
    return next(
        Digest.of(whole(member.body)) for layer in kit.layers for member in layer.members if member.path == path and member.body
    )


async def test_the_model_comes_from_the_parents_repository_and_the_rest_from_the_childs(tmp_path: Path) -> None:
    hosts = registries("registry.test/base/llama:7b")
    async with opened(tmp_path, hosts) as artifact:
        assert [path for path, _ in artifact.tree.walk()] == [b"Kitfile", b"adapter.bin", b"weights.bin"]
        assert Digest.of(await read(artifact, b"weights.bin")) == sum_of(PARENT, b"weights.bin")
        assert await read(artifact, b"adapter.bin") == b"adapter"
    asked = {(served.path.split("/")[2], served.path.split("/")[4]) for served in hosts["registry.test"].log}
    assert asked == {("team", "manifests"), ("team", "blobs"), ("base", "manifests"), ("base", "blobs")}
    assert hosts["other.test"].requests() == ()
    layer = PARENT.layers[0].digest
    assert all("/base/llama/" in served.path for served in hosts["registry.test"].requests(layer))
    assert artifact.description.notices == (
        f"the model is that of registry.test/base/llama:7b@{PARENT.manifest_digest}: its tag is not covered by the digest",
    )


async def test_a_parent_by_digest_is_covered(tmp_path: Path) -> None:
    async with opened(tmp_path, registries(f"registry.test/base/llama@{PARENT.manifest_digest}")) as artifact:
        assert artifact.description.plan.uncovered_parents == ()
        assert artifact.description.notices == (f"the model is that of registry.test/base/llama@{PARENT.manifest_digest}",)


async def refusal(root: Path, hosts: dict[str, MemoryRegistry], choice: Choice | None = None, **options: bool) -> Exception:
    with pytest.raises((Unsupported, NotFound, BaseExceptionGroup)) as caught:
        async with opened(root, hosts, choice, **options):
            raise AssertionError("it was opened")
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("host", ["other.test", "127.0.0.1:5310"])
async def test_another_registry_is_asked_only_where_it_is_allowed(tmp_path: Path, host: str) -> None:
    hosts = registries(f"{host}/base/llama:7b")
    error = await refusal(tmp_path, hosts)
    assert f"--allow-reference-host {host}" in str(getattr(error, "hint", ""))
    assert hosts[host].requests() == ()
    async with opened(tmp_path, hosts, Choice(reference_hosts=frozenset({host}))) as artifact:
        assert Digest.of(await read(artifact, b"weights.bin")) == sum_of(PARENT, b"weights.bin")


async def test_a_metadata_service_is_never_asked(tmp_path: Path) -> None:
    hosts = registries("169.254.169.254/base/llama:7b")
    error = await refusal(tmp_path, hosts, Choice(reference_hosts=frozenset({"169.254.169.254"})))
    assert isinstance(error, Unsupported)
    assert hosts["169.254.169.254"].requests() == ()


async def test_a_parent_that_no_filter_wants_is_not_asked_for(tmp_path: Path) -> None:
    hosts = registries("other.test/base/llama:7b")
    async with opened(tmp_path, hosts, Choice((parse_filter("kitfile"),))) as artifact:
        assert [path for path, _ in artifact.tree.walk()] == [b"Kitfile"]
    assert hosts["other.test"].requests() == ()


async def test_a_parent_that_is_an_index_is_refused(tmp_path: Path) -> None:
    made = index([(child("a"), {})])
    error = await refusal(tmp_path, registries("registry.test/base/llama:7b", made))
    assert isinstance(error, Unsupported)
    assert "which is an index" in str(error)


async def test_a_parent_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = await refusal(tmp_path, registries("registry.test/base/none:1"))
    assert isinstance(error, NotFound)
    assert "base/none:1" in str(error)


async def test_without_a_network_both_kits_come_from_the_cache(tmp_path: Path) -> None:
    hosts = registries("registry.test/base/llama:7b")
    async with opened(tmp_path, hosts) as artifact:
        for layer in artifact.layers:
            await layer.fill()
    hosts["registry.test"].log.clear()
    async with opened(tmp_path, hosts, offline=True) as artifact:
        assert Digest.of(await read(artifact, b"weights.bin")) == sum_of(PARENT, b"weights.bin")
    assert hosts["registry.test"].requests() == ()


async def test_without_a_network_a_parent_that_was_never_read_is_missing(tmp_path: Path) -> None:
    hosts = registries("registry.test/base/llama:7b")
    async with opened(tmp_path, hosts):
        pass  # the child's own layer is small and was proven, the parent's is not
    error = await refusal(tmp_path, hosts, offline=True)
    assert isinstance(error, NotFound)
    assert "base/llama" in str(error)


async def test_where_no_other_repository_is_asked_the_parent_must_be_in_the_cache(tmp_path: Path) -> None:
    hosts = registries("registry.test/base/llama:7b")
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(hosts))
    async with client, engine_at(tmp_path / "cache") as engine:
        with pytest.raises(NotFound, match="the cache lacks its manifest"):
            await describe(engine, client.repository(CHILD), CHILD)
