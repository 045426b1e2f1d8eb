"""Extended attributes: what they say of files, directories and what came with the config."""

import errno

import pytest

from mkfs.errors import FileSystemError
from mkfs.vfs.attributes import Ownership
from mkfs.vfs.forest import Forest
from mkfs.vfs.model_fs import ModelFS
from tests.support.fake_layers import LAYER, MemoryLayer, SlowLayer
from tests.support.trees import MANIFEST, Part, grow


@pytest.fixture
def file_system() -> ModelFS:
    forest = Forest()
    parts = {
        b"here.bin": Part(100, MemoryLayer(bytes(100))),
        b"later.bin": Part(100, SlowLayer()),
        b"empty": Part(0, MemoryLayer(b"")),
    }
    forest.plant(*grow(parts, inline={b"Kitfile": b"v: 1\n"}))
    return ModelFS(forest, Ownership(0, 0))


async def attributes_of(file_system: ModelFS, name: bytes) -> dict[str, str]:
    inode = file_system.lookup_now(1, name).inode
    return {each.decode(): (await file_system.getxattr(inode, each)).decode() for each in file_system.listxattr(inode)}


@pytest.mark.parametrize(
    ("name", "proof", "proven_bytes"), [(b"here.bin", "own", "100"), (b"later.bin", "layer digest", "0"), (b"empty", "own", "0")]
)
async def test_a_file_tells_its_layer_and_what_a_read_rests_on(
    file_system: ModelFS, name: bytes, proof: str, proven_bytes: str
) -> None:
    assert await attributes_of(file_system, name) == {
        "user.mkfs.digest": str(MANIFEST),
        "user.mkfs.layer.digest": str(LAYER),
        "user.mkfs.proof": proof,
        "user.mkfs.proven_bytes": proven_bytes,
    }


async def test_a_file_from_the_config_is_proven_and_lies_in_no_layer(file_system: ModelFS) -> None:
    assert await attributes_of(file_system, b"Kitfile") == {
        "user.mkfs.digest": str(MANIFEST),
        "user.mkfs.proof": "own",
        "user.mkfs.proven_bytes": "5",
    }


async def test_a_directory_tells_the_manifest(file_system: ModelFS) -> None:
    assert await attributes_of(file_system, b".") == {"user.mkfs.digest": str(MANIFEST)}


@pytest.mark.parametrize("name", [b"security.selinux", b"user.mkfs.layer.digest"])
async def test_what_an_inode_does_not_have_is_no_data(file_system: ModelFS, name: bytes) -> None:
    with pytest.raises(FileSystemError) as caught:
        await file_system.getxattr(file_system.lookup_now(1, b"Kitfile").inode, name)
    assert caught.value.errno == errno.ENODATA
