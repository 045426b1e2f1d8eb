"""A cache with something of every kind in it, for whoever hurts it: made once, copied for each test.

    model        a tar, published: `index`, `rest`, `1`, `2`
    partial      a tar whose bytes were evicted and came back in part: `ledger`, `rest`, `1`, with holes
    mended.bin   a raw layer that was published, went bad and is mended: `1`, `1.mended`, `ledger`
    README.md    a small layer, published

and their indexes, documents, grants, resolutions and locks.
"""

import shutil
import subprocess
from pathlib import Path

from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.testing.kits import Directory, Kit, KitBuilder, Layer
from mkfs.units import MIB
from tests.cache.material import drop_pages, flip
from tests.content.test_offline import World, read_all

TAG = Reference.parse("registry.test/team/llama:7b")


def build_kit() -> Kit:
    builder = KitBuilder("llama", seed=3).model("model", Directory({"a.bin": MIB + 5, "b.bin": MIB, "c.txt": 300}))
    builder.part("partial", Directory({"p.bin": 2 * MIB + 1, "q.txt": 700})).part("mended.bin", MIB + 77, raw=True)
    return builder.docs("README.md", b"# llama\n").build()


def layer(kit: Kit, path: str) -> Layer:
    return next(each for each in kit.layers if each.wanted.path == path)


def place(root: Path, kind: str, each: Layer) -> Path:
    return root / kind / "sha256" / each.digest.hex


async def furnish(world: World, kit: Kit) -> dict[bytes, bytes]:
    """Brings `world`, which is new, into that state; what its files hold."""
    world.registry.push(TAG.repository, TAG.tag, kit.manifest, kit.blobs)
    root = world.root / "cache"
    content = await world.warm(TAG)
    partial, mended = layer(kit, "partial"), layer(kit, "mended.bin")
    shutil.rmtree(place(root, "layers", partial))
    flip(place(root, "layers", mended) / "1", MIB // 2)
    drop_pages(place(root, "layers", mended))
    async with world.opened(TAG) as (_, artifact):
        for each in artifact.layers:
            if each.blob.digest == partial.digest:
                await each.read(ByteRange(0, 10))
                await each.read(ByteRange(MIB + MIB // 2, MIB + MIB // 2 + 10))
                await each.read(ByteRange(each.blob.size_bytes - 10, each.blob.size_bytes))
            if each.blob.digest == mended.digest:
                await each.read(ByteRange(0, 10))
    world.registry.log.clear()
    return content


def copied(template: Path, target: Path) -> None:
    """A copy of a cache, holes and times included."""
    subprocess.run(["cp", "-a", "--sparse=always", template, target], check=True)


__all__ = ["TAG", "World", "build_kit", "copied", "furnish", "layer", "place", "read_all"]
