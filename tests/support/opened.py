"""Whole artifacts opened as a mount opens them, over HTTP in memory, and what a reader gets of them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.content.engine import Engine
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.tree import nodes
from tests.support import golden
from tests.support.layers import engine_at

REFERENCE = Reference.parse("registry.test/team/llama:7b")
SHOWN = 0o555  # a mount is read-only


@asynccontextmanager
async def opened(
    root: Path, registry: MemoryRegistry, reference: Reference = REFERENCE, *, size_limit_bytes: int | None = None
) -> AsyncGenerator[tuple[Engine, Artifact], None]:
    """The artifact, with its cache below `root`."""
    client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport({"registry.test": registry}))
    async with client, engine_at(root / "cache", size_limit_bytes=size_limit_bytes) as engine:
        artifact = await open_artifact(engine, client.repository(reference), reference)
        try:
            yield engine, artifact
        finally:
            artifact.close()


async def shown(artifact: Artifact) -> dict[str, tuple[str, int, str]]:
    """Every path: what it is, its mode as a mount has it, and the sum of what a reader gets."""
    found = {}
    for path, node in artifact.tree.walk():
        kind, sha256 = "dir", ""
        if isinstance(node, nodes.File):
            kind, content = "file", node.data
            if node.layer is not None:
                layer = artifact.layers[node.layer]
                ranges = [ByteRange(each.layer_offset, each.layer_offset + each.length) for each in node.extents]
                content = b"".join([bytes(await layer.read(wanted)) for wanted in ranges])
            sha256 = golden.sha256(content)
        found[path.decode("utf-8", "surrogateescape")] = (kind, node.mode & SHOWN, sha256)
    return found
