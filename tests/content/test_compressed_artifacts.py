"""Whole artifacts with compressed layers, over HTTP in memory: the directory their tool unpacks, and what it costs to have it."""

import json
from pathlib import Path

import pytest

from mkfs.content.artifact import open_artifact
from mkfs.errors import BadArchive, BadDocument, CacheUnusable, Mismatch, NotFound
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.testing.faults import Fault, Flip, Match
from mkfs.testing.kits import Directory, File, Kit, KitBuilder, expected_tree
from mkfs.testing.registry import MemoryRegistry
from mkfs.units import MIB
from tests.support import golden
from tests.support.layers import engine_at
from tests.support.opened import REFERENCE, SHOWN, opened, shown


async def refused(root: Path, registry: MemoryRegistry, expected: type[Exception], **options: int) -> Exception:
    """The error of opening. It comes in the groups of the nurseries around it."""
    with pytest.RaisesGroup(expected, flatten_subgroups=True, allow_unwrapped=True) as caught:
        async with opened(root, registry, **options):
            raise AssertionError("it was opened")
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


def registry_of(kit: Kit) -> MemoryRegistry:
    registry = MemoryRegistry()
    registry.push(REFERENCE.repository, REFERENCE.tag, kit.manifest, kit.blobs)
    return registry


def kit_of(compression: str) -> Kit:
    """Something of everything: large and small, files and archives, an empty one and one that is no archive."""
    shards = Directory({"a.safetensors": 3 * MIB, "b.safetensors": 2 * MIB + 1, "config.json": b"{}" * 99})
    return (
        KitBuilder("llama", seed=7, compression=compression)
        .model("weights", shards)
        .part("lora.bin", 2 * MIB + 5, raw=True)
        .dataset("empty.csv", b"", raw=True)
        .dataset("zeros.bin", File(bytes(5 * MIB), 0o640), raw=True)
        .docs("README.md", b"hello")
        .code("src", Directory({"m.py": b"1", "none": Directory({})}))
        .build()
    )


def expected_of(kit: Kit) -> dict[str, tuple[str, int, str]]:
    return {
        entry.path.decode(): ("file" if entry.sha256 else "dir", entry.mode & SHOWN, entry.sha256) for entry in expected_tree(kit)
    }


@pytest.mark.parametrize("name", golden.names("kit-", "-gzip"))
async def test_what_kit_packed_with_gzip_is_what_kit_unpacked(tmp_path: Path, name: str) -> None:
    registry = MemoryRegistry()
    registry.add_layout(golden.LAYOUT, "golden/kits")
    reference = Reference.parse(f"registry.test/golden/kits@{golden.manifest_digest(name)}")
    expected = {
        entry["path"]: (entry["type"], int(entry["mode"], 8) & SHOWN, entry.get("sha256", "")) for entry in golden.expected(name)
    }
    layers = json.loads(golden.manifest_bytes(name))["layers"] or []
    stored_bytes = sum({layer["digest"]: layer["size"] for layer in layers}.values())
    async with opened(tmp_path, registry, reference) as (_, artifact):
        assert await shown(artifact) == expected
        assert all(layer.trust.value == "own" for layer in artifact.layers)
    assert sum(registry.bytes_sent(Digest.parse(layer)) for layer in {layer["digest"] for layer in layers}) == stored_bytes


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_layers_of_every_form_are_what_kit_unpacks_and_are_streamed_once(tmp_path: Path, compression: str) -> None:
    kit = kit_of(compression)
    registry = registry_of(kit)
    for _ in range(2):
        async with opened(tmp_path, registry) as (_, artifact):
            assert await shown(artifact) == expected_of(kit)
        assert all(registry.bytes_sent(layer.digest) == layer.body.size_bytes for layer in kit.layers)
        if compression == "zstd":
            assert any(layer.body.size_bytes == 0 for layer in kit.layers)


async def test_a_remount_after_eviction_asks_for_no_layer_until_one_is_read(tmp_path: Path) -> None:
    kit = kit_of("gzip")
    registry = registry_of(kit)
    async with opened(tmp_path, registry) as (engine, artifact):
        large = [layer for layer in artifact.layers if layer.blob.size_bytes > MIB]
        artifact.close()
        for layer in large:
            engine.cache.drop(layer.blob.digest)
    registry.log.clear()
    async with opened(tmp_path, registry) as (_, artifact):
        asked = [served for served in registry.log if served.method == "GET" and "/blobs/" in served.path]
        assert asked == []
        assert len(large) == 2
        assert await shown(artifact) == expected_of(kit)
    assert all(registry.bytes_sent(layer.blob.digest) == layer.blob.size_bytes for layer in large)


async def test_without_a_registry_an_index_is_enough_for_the_names(tmp_path: Path) -> None:
    registry = registry_of(kit_of("gzip"))
    async with opened(tmp_path, registry) as (engine, artifact):
        before = [path for path, _ in artifact.tree.walk()]
        artifact.close()
        for layer in artifact.layers:
            engine.cache.drop(layer.blob.digest)
    async with engine_at(tmp_path / "cache") as engine:
        artifact = await open_artifact(engine, None, REFERENCE, names_only=True)
        assert [path for path, _ in artifact.tree.walk()] == before
        artifact.close()
        with pytest.raises(NotFound, match="offline, and the cache lacks"):
            await open_artifact(engine, None, REFERENCE)


@pytest.mark.logs("does not match its digest", "same wrong bytes")
async def test_a_damaged_layer_cannot_be_shown_as_nothing_else_says_what_is_in_it(tmp_path: Path) -> None:
    kit = kit_of("gzip")
    registry = registry_of(kit)
    docs = next(layer for layer in kit.layers if layer.wanted.element == "docs")
    registry.faults.install(Fault(Match(digest=docs.digest), Flip(30)))
    assert (await refused(tmp_path, registry, Mismatch)).exit_code == 13  # type: ignore[attr-defined]  # a MkfsError


async def test_a_cache_without_room_for_what_comes_out_refuses_the_mount(tmp_path: Path) -> None:
    registry = registry_of(kit_of("gzip"))
    error = await refused(tmp_path, registry, CacheUnusable, size_limit_bytes=4 * MIB)
    assert isinstance(error, CacheUnusable)
    assert error.exit_code == 23
    assert "a layer decompresses to" in error.what


async def test_a_file_that_is_not_as_large_as_it_is_said_to_be_is_refused(tmp_path: Path) -> None:
    for said, expected in ((5 * MIB - 1, BadArchive), (5 * MIB + 1, BadDocument)):
        kit = kit_of("zstd")
        manifest = kit.manifest.replace(b'\\"size\\":%d,' % (5 * MIB), b'\\"size\\":%d,' % said)
        assert manifest != kit.manifest
        registry = MemoryRegistry()
        registry.push(REFERENCE.repository, REFERENCE.tag, manifest, kit.blobs)
        await refused(tmp_path / str(said), registry, expected)
