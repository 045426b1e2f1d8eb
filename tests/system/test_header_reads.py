"""Opening a shard to see what is in it: with a chunk index that is one chunk, whichever way the reader opens it."""

import struct
import subprocess
import sys

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.bodies import SeededBody
from mkfs.testing.kits import Directory, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.testing.tensors import Tensor, safetensors_file, seeded_tensor
from mkfs.units import MIB
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse

_LARGE = 24 * MIB
# What each reader does before it decides what to load. In a process of its own: the registry needs this one's interpreter lock.
_SAFETENSORS = "import sys; from safetensors import safe_open; print(sorted(safe_open(sys.argv[1], 'np').keys()))"
_GGUF = """
import struct, sys
with open(sys.argv[1], "rb") as file:
    magic, version, tensors, pairs = struct.unpack("<4sIQQ", file.read(24))
print(magic.decode(), version, tensors, pairs)
"""


def gguf_file() -> bytes:
    """A file that begins as ggml-org/ggml docs/gguf.md, "File Structure", has it."""
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, 0) + SeededBody(3, _LARGE).read(ByteRange(0, _LARGE))


def shard() -> bytes:
    large = Tensor("U8", (_LARGE,), SeededBody(2, _LARGE).read(ByteRange(0, _LARGE)))
    return safetensors_file({"small": seeded_tensor(1, 4, 4), "large": large})


@pytest.mark.parametrize(
    ("name", "content", "program", "said"),
    [
        ("model.safetensors", shard(), _SAFETENSORS, "['large', 'small']"),
        ("model.gguf", gguf_file(), _GGUF, "GGUF 3 0 0"),
    ],
    ids=["safetensors", "gguf"],
)
def test_the_header_of_a_shard_costs_one_chunk(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, name: str, content: bytes, program: str, said: str
) -> None:
    kit = KitBuilder("llama").model("weights", Directory({"first.bin": 3 * MIB, name: content})).build()
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    reference = f"{server.host}/team/llama:7b"
    pushed = shell.run("index", "push", reference, "--cache-dir", shell.home / "publisher")
    assert pushed.exit_code == 0, pushed
    registry.log.clear()
    with shell.mounted(reference, "--trust-index", "registry") as mount:
        path = mount.path(f"weights/{name}")
        ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == said
        assert registry.bytes_sent(kit.layers[0].digest) == MIB
        assert len([served for served in registry.requests(kit.layers[0].digest) if served.method == "GET"]) == 1
