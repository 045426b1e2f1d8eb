"""From a reference to a directory: what it costs before anybody reads, and what is said when it does not work."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.content.describing import Terms
from mkfs.content.engine import Engine
from mkfs.errors import BadArchive, Mismatch, NotFound, Unsupported
from mkfs.formats.choice import Choice
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.testing.artifacts import Artifact as Made
from mkfs.testing.faults import Delay, Fault, Flip, IgnoreRange, Match
from mkfs.testing.kits import Directory, Kit, KitBuilder, expected_tree
from mkfs.testing.producers.images import index
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.tree.nodes import File
from mkfs.units import GIB, MIB
from tests.support.layers import engine_at

REFERENCE = Reference.parse("registry.test/team/llama:7b")


def small_kit() -> Kit:
    shards = Directory({"a.safetensors": 3 * MIB, "b.safetensors": 2 * MIB + 1})
    return (
        KitBuilder("llama", seed=7)
        .model("weights", shards)
        .docs("README.md", b"hello")
        .code("src", Directory({"m.py": b"1"}))
        .build()
    )


def registry_of(kit: Kit) -> MemoryRegistry:
    registry = MemoryRegistry()
    registry.push(REFERENCE.repository, REFERENCE.tag, kit.manifest, kit.blobs)
    return registry


@asynccontextmanager
async def opened(
    root: Path, registry: MemoryRegistry, reference: Reference = REFERENCE
) -> AsyncGenerator[tuple[Engine, Artifact], None]:
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport({"registry.test": registry}))
    async with client, engine_at(root / "cache") as engine:
        artifact = await open_artifact(engine, client.repository(reference), reference)
        try:
            yield engine, artifact
        finally:
            artifact.close()


async def content(artifact: Artifact, node: File) -> bytes:
    if node.layer is None:
        return node.data
    layer = artifact.layers[node.layer]
    parts = [await layer.read(ByteRange(each.layer_offset, each.layer_offset + each.length)) for each in node.extents]
    return b"".join(parts)


async def refused(root: Path, registry: MemoryRegistry, expected: type[Exception], reference: Reference = REFERENCE) -> Exception:
    """The error of opening. It comes in the groups of the nurseries around it."""
    with pytest.RaisesGroup(expected, flatten_subgroups=True, allow_unwrapped=True) as caught:
        async with opened(root, registry, reference):
            raise AssertionError("it was opened")
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


async def test_the_tree_is_what_kit_unpack_would_write(tmp_path: Path) -> None:
    kit = small_kit()
    async with opened(tmp_path, registry_of(kit)) as (_, artifact):
        walked = dict(artifact.tree.walk())
        expected = {entry.path: entry for entry in expected_tree(kit)}
        assert walked.keys() == expected.keys()
        for path, node in walked.items():
            assert node.mode & 0o555 == expected[path].mode & 0o555
            if isinstance(node, File):
                assert Digest.of(await content(artifact, node)).hex == expected[path].sha256


async def test_a_large_layer_nobody_reads_costs_its_headers_only(tmp_path: Path) -> None:
    kit = KitBuilder("huge", seed=1).model("model.bin", GIB).part("raw.bin", 64 * MIB, raw=True).docs("README.md", b"hello").build()
    registry = registry_of(kit)
    async with opened(tmp_path, registry) as (_, artifact):
        assert artifact.tree.find(b"model.bin") is not None
    large, raw, _ = kit.layers
    assert registry.bytes_sent(large.digest) <= 64 * 1024
    assert len(registry.requests(large.digest)) == 1  # its head says that nothing follows the file
    assert registry.requests(raw.digest) == ()


async def test_small_layers_are_proven_before_anything_is_shown(tmp_path: Path) -> None:
    kit = small_kit()
    async with opened(tmp_path, registry_of(kit)) as (_, artifact):
        published = [layer.published for layer in artifact.layers]
        assert published == [each.blob.size_bytes <= MIB for each in artifact.layers]
        assert published.count(True) == 2
        assert [layer.provisional for layer in artifact.layers] == [not each for each in published]


async def test_not_more_than_sixteen_mebibytes_of_small_layers_are_fetched_early(tmp_path: Path) -> None:
    builder = KitBuilder("many", seed=3)
    for number in range(20):
        builder.dataset(f"{number:02}.bin", 900 * 1024)
    registry = registry_of(builder.build())
    async with opened(tmp_path, registry) as (_, artifact):
        early = sum(layer.published for layer in artifact.layers)
        assert 16 <= early <= 18
        assert len(artifact.tree) == 1 + 20 + 1


async def test_the_second_opening_fetches_no_layer_byte(tmp_path: Path) -> None:
    kit = small_kit()
    registry = registry_of(kit)
    async with opened(tmp_path, registry) as (_, artifact):
        for layer in artifact.layers:
            await layer.prove()
        first = [path for path, _ in artifact.tree.walk()]
    registry.log.clear()
    async with opened(tmp_path, registry) as (_, artifact):
        assert [path for path, _ in artifact.tree.walk()] == first
        assert not any(layer.provisional for layer in artifact.layers)
        assert all(not registry.requests(layer.blob.digest) for layer in artifact.layers)
        for _, node in artifact.tree.walk():
            if isinstance(node, File):
                await content(artifact, node)
    assert [served.path.rsplit("/", 2)[1] for served in registry.log] == ["manifests"]


async def test_layers_with_the_same_bytes_are_fetched_once(tmp_path: Path) -> None:
    same = b"same bytes" * 300_000
    kit = KitBuilder("twins").raw("a.bin", same).raw("b.bin", same).raw("c/a.bin", same).build()
    registry = registry_of(kit)
    async with opened(tmp_path, registry) as (_, artifact):
        for path in (b"a.bin", b"b.bin", b"c/a.bin"):
            node = artifact.tree.find(path)
            assert isinstance(node, File)
            assert await content(artifact, node) == same
    assert registry.bytes_sent(kit.layers[0].digest) == len(same)


async def test_a_server_that_ignores_ranges_is_mounted_all_the_same(tmp_path: Path) -> None:
    kit = small_kit()
    registry = registry_of(kit)
    registry.faults.install(Fault(Match(path="/blobs/"), IgnoreRange()))
    async with opened(tmp_path, registry) as (_, artifact):
        node = artifact.tree.find(b"weights/b.safetensors")
        assert isinstance(node, File)
        assert len(await content(artifact, node)) == 2 * MIB + 1


@pytest.mark.logs("does not match its digest", "same wrong bytes")
async def test_a_damaged_small_layer_is_shown_and_fails_its_readers(tmp_path: Path) -> None:
    kit = small_kit()
    registry = registry_of(kit)
    docs = next(layer for layer in kit.layers if layer.wanted.element == "docs")
    registry.faults.install(Fault(Match(digest=docs.digest), Flip(512)))
    async with opened(tmp_path, registry) as (_, artifact):
        damaged, whole = artifact.tree.find(b"README.md"), artifact.tree.find(b"src/m.py")
        assert isinstance(damaged, File)
        assert isinstance(whole, File)
        with pytest.raises(Mismatch):
            await content(artifact, damaged)
        assert await content(artifact, whole) == b"1"


async def test_a_damaged_manifest_or_config_is_refused(tmp_path: Path) -> None:
    kit = small_kit()
    registry = registry_of(kit)
    config = Digest.of(kit.config)
    fault = registry.faults.install(Fault(Match(digest=config), Flip(30)))
    assert isinstance(await refused(tmp_path, registry, Mismatch), Mismatch)
    registry.faults.mend(fault)
    registry.faults.install(Fault(Match(path="/manifests/"), Flip(30)))
    by_digest = Reference.parse(f"registry.test/team/llama@{kit.manifest_digest}")
    assert isinstance(await refused(tmp_path, registry, Mismatch, by_digest), Mismatch)


async def test_an_unknown_tag_is_not_found(tmp_path: Path) -> None:
    await refused(tmp_path, registry_of(small_kit()), NotFound, Reference.parse("registry.test/team/llama:8b"))


INDEX = Reference.parse("registry.test/team/llama:index")


def push_index(registry: MemoryRegistry, *kits: tuple[Kit, dict[str, object]]) -> bytes:
    made = index([(Made(kit.manifest, kit.blobs), fields) for kit, fields in kits])
    for kit, _ in kits:
        registry.push(REFERENCE.repository, None, kit.manifest, kit.blobs)
    registry.push(REFERENCE.repository, INDEX.tag, made.manifest, {})
    return made.manifest


async def test_the_only_artifact_of_an_index_is_shown_and_both_digests_are_told(tmp_path: Path) -> None:
    kit, registry = small_kit(), MemoryRegistry()
    data = push_index(registry, (kit, {}))
    async with opened(tmp_path, registry, INDEX) as (_, artifact):
        assert artifact.tree.find(b"README.md") is not None
        assert (artifact.description.digest, artifact.description.index) == (kit.manifest_digest, Digest.of(data))


async def test_one_of_several_is_chosen_by_its_label_and_shown_offline_as_well(tmp_path: Path) -> None:
    small = KitBuilder("small").docs("small.md", b"small").build()
    registry = MemoryRegistry()
    push_index(
        registry, (small_kit(), {"modelMetadata": {"quantization": "q8"}}), (small, {"modelMetadata": {"quantization": "q4"}})
    )
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport({"registry.test": registry}))
    choice = Choice(labels=(("quantization", "q4"),))
    async with client, engine_at(tmp_path / "cache") as engine:
        for repository in (client.repository(INDEX), None):
            artifact = await open_artifact(engine, repository, INDEX, Terms(choice=choice))
            assert [path for path, _ in artifact.tree.walk()] == [b"Kitfile", b"small.md"]
            artifact.close()
    assert registry.requests(small_kit().layers[0].digest) == ()


async def test_an_index_of_which_none_is_meant_tells_what_it_has(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    push_index(registry, (small_kit(), {"modelMetadata": {"q": 8}}), (KitBuilder("b").build(), {"modelMetadata": {"q": 4}}))
    error = await refused(tmp_path, registry, Unsupported, INDEX)
    assert str(error).startswith("registry.test/team/llama:index: this is an index of 2 artifacts")
    assert "(q=8); " in str(error)


async def test_a_manifest_of_another_size_than_its_index_says_is_refused(tmp_path: Path) -> None:
    kit, registry = small_kit(), MemoryRegistry()
    registry.push(REFERENCE.repository, None, kit.manifest, kit.blobs)
    entry = {"mediaType": OCI_MANIFEST, "digest": str(kit.manifest_digest), "size": len(kit.manifest) + 1}
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
    registry.push(REFERENCE.repository, INDEX.tag, json.dumps(document).encode(), {})
    await refused(tmp_path, registry, Mismatch, INDEX)


async def test_an_index_that_leads_round_in_circles_ends(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    data = small_kit().manifest
    for depth in range(4):
        entry = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(data)), "size": len(data)}
        registry.push(REFERENCE.repository, INDEX.tag if depth == 3 else None, data, {})
        data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    error = await refused(tmp_path, registry, Unsupported, INDEX)
    assert "index of indexes" in str(error)


async def test_a_layer_that_is_no_archive_is_named(tmp_path: Path) -> None:
    kit = KitBuilder("llama").model("model.bin", b"x" * 100).build()
    layer = kit.layers[0]
    garbage = b"\x01" * layer.body.size_bytes
    manifest = kit.manifest.replace(layer.digest.hex.encode(), Digest.of(garbage).hex.encode())
    config = kit.config.replace(layer.digest.hex.encode(), Digest.of(garbage).hex.encode())
    manifest = manifest.replace(Digest.of(kit.config).hex.encode(), Digest.of(config).hex.encode())
    registry = MemoryRegistry()
    registry.push(REFERENCE.repository, REFERENCE.tag, manifest, {Digest.of(garbage): garbage, Digest.of(config): config})
    error = await refused(tmp_path, registry, BadArchive)
    assert "model" in str(error)


async def test_a_layer_above_a_gibibyte_is_announced(tmp_path: Path) -> None:
    kit = KitBuilder("huge", seed=1).raw("model.bin", GIB + 1).build()
    async with opened(tmp_path, registry_of(kit)) as (_, artifact):
        waits, ways_out = artifact.notices
        assert "1.0 GiB" in waits
        assert "8.6 s at 1 Gbit/s" in waits
        assert f"mkfs index push {REFERENCE}" in ways_out


async def test_all_layers_are_asked_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    """Three waves of requests, however many layers: the clock says so, as every answer takes one second.

    Large layers only: a small one is hashed in a thread, and this clock runs on while a thread works.
    """
    builder = KitBuilder("layers", seed=5).model("model.bin", 3 * MIB)
    for number in range(30):  # fewer than the client's connections
        builder.part(f"part-{number}.bin", 2 * MIB)
    registry = registry_of(builder.build())
    registry.faults.install(Fault(Match(), Delay(1)))
    started = trio.current_time()
    async with opened(tmp_path, registry):
        waves = trio.current_time() - started
    assert 3 <= waves < 4
