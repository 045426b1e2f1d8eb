"""A mount that need not prove before it answers: asked for, said, and what happens when a byte was wrong."""

import os
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, Match, Stall
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Shell, wait_for

pytestmark = pytest.mark.fuse

AT = 39 * MIB  # in the second request of a whole fetch


@pytest.fixture(scope="module")
def kit() -> Kit:
    return KitBuilder("llama", seed=9).raw("model.bin", 40 * MIB).build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


def some_of(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(AT)
        return file.read(4096)


def test_a_wrong_byte_is_forgotten_by_the_kernel_once_the_proof_finds_it(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    blob = kit.layers[0]
    right = blob.body.read(ByteRange(AT, AT + 4096))
    held = Stall(after_bytes=10)
    registry.faults.install(Fault(Match(digest=blob.digest, offset=0), held, times=1))
    wrong = registry.faults.install(Fault(Match(digest=blob.digest, offset=AT), Flip(AT)))
    with shell.mounted(reference, "--verify", "deferred", "--xattr") as mount:
        assert "--verify deferred" in mount.ran.stderr
        path = mount.place / "model.bin"
        assert some_of(path) != right
        assert os.getxattr(path, "user.mkfs.proof") == b"deferred"
        registry.faults.mend(wrong)  # the proof has had the wrong byte by now, and asks again; or it gets the right one at once
        held.release()
        assert shell.run("verify", reference).exit_code == 0  # waits for the daemon's proof
        wait_for(lambda: some_of(path) == right)  # the daemon may be telling the kernel at this moment
        assert "the kernel is told to forget it" in mount.log_file.read_text()
