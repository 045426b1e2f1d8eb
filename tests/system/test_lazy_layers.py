"""Pay for what is read: bytes are counted at the registry. Layers are tar and raw, packed by the builder that ships."""

import mmap
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.kits import Directory, File, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import KIB, MIB
from tests.support.kit_parts import content_of, layer_at, names_of, wrong_files
from tests.support.mounting import Shell
from tests.support.page_cache import kept

pytestmark = pytest.mark.fuse

HEADERS_BYTES = 64 * KIB  # what an unread layer may cost: its names
WEIGHTS_BYTES = 64 * MIB
LARGE = ("weights.safetensors", "tokenizer", "adapter.bin")  # layers over 1 MiB; the smaller ones are proven by the mount
_STUCK_SECONDS = 30  # after which a read that should have come from memory is taken to hang


@pytest.fixture
def kit() -> Kit:
    builder = KitBuilder("llama", seed=11).model("weights.safetensors", WEIGHTS_BYTES)
    builder.part("tokenizer", Directory({"merges.bin": 3 * MIB + 1, "vocab.json": b"{}", "run.sh": File(b"#!", 0o755)}))
    return builder.part("adapter.bin", 5 * MIB + 7, raw=True).docs("README.md", b"# llama\n").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


def sent(registry: MemoryRegistry, kit: Kit) -> dict[str, int]:
    """Bytes the registry sent of each large layer, since its log was cleared."""
    return {path: registry.bytes_sent(layer_at(kit, path).digest) for path in LARGE}


def test_a_layer_nobody_reads_costs_its_headers_only(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert sorted(str(path.relative_to(mount.place)) for path in mount.place.rglob("*")) == names_of(kit)
        assert mount.path("weights.safetensors").stat().st_size == WEIGHTS_BYTES
        assert mount.path("tokenizer/run.sh").stat().st_mode & 0o777 == 0o555
    costs = sent(registry, kit)
    assert max(costs.values()) <= HEADERS_BYTES, costs
    assert costs["adapter.bin"] == 0  # raw: its name is in the manifest


def test_reading_a_file_fetches_its_layer_once_and_no_other(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    with shell.mounted(reference) as mount:
        registry.log.clear()
        packed = content_of(kit, "weights.safetensors").read(ByteRange(0, WEIGHTS_BYTES))
        assert mount.path("weights.safetensors").read_bytes() == packed
        weights = layer_at(kit, "weights.safetensors").body.size_bytes
        assert sent(registry, kit) == {"weights.safetensors": weights, "tokenizer": 0, "adapter.bin": 0}
        assert wrong_files(mount.place, kit) == []
        assert sent(registry, kit) == {path: layer_at(kit, path).body.size_bytes for path in LARGE}


def test_any_few_bytes_of_a_raw_layer_are_right(reference: str, kit: Kit, shell: Shell) -> None:
    adapter = content_of(kit, "adapter.bin")
    with shell.mounted(reference) as mount, mount.path("adapter.bin").open("rb") as file:
        assert os.pread(file.fileno(), 100, 5 * MIB) == adapter.read(ByteRange(5 * MIB, 5 * MIB + 7))
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[3 * MIB - 2 : 3 * MIB + 2] == adapter.read(ByteRange(3 * MIB - 2, 3 * MIB + 2))


def test_the_second_mount_fetches_no_byte_of_a_layer(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert wrong_files(mount.place, kit) == []
        mount.umount()
    registry.log.clear()
    with shell.mounted(reference, place=mount.place) as mount:
        assert wrong_files(mount.place, kit) == []
    assert {layer.wanted.path: registry.bytes_sent(layer.digest) for layer in kit.layers if registry.bytes_sent(layer.digest)} == {}


def test_a_second_read_comes_from_the_kernel_and_asks_the_daemon_nothing(reference: str, kit: Kit, shell: Shell) -> None:
    packed = content_of(kit, "weights.safetensors").read(ByteRange(0, WEIGHTS_BYTES))
    with shell.mounted(reference) as mount, mount.path("weights.safetensors").open("rb") as file, ThreadPoolExecutor(1) as readers:
        assert os.pread(file.fileno(), WEIGHTS_BYTES, 0) == packed
        with kept(mount.path("weights.safetensors")), mount.stopped():  # it could not answer if it were asked
            second = readers.submit(os.pread, file.fileno(), WEIGHTS_BYTES, 0).result(_STUCK_SECONDS)
        assert second == packed


def test_two_mounts_that_share_a_cache_read_right_bytes_at_once(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    with shell.mounted(reference) as one, shell.mounted(reference, place=shell.new_place("other")) as other:
        with ThreadPoolExecutor(2) as readers:
            assert list(readers.map(lambda mount: wrong_files(mount.place, kit), (one, other))) == [[], []]
        registry.log.clear()
        with shell.mounted(reference, place=shell.new_place("third")) as third:
            assert wrong_files(third.place, kit) == []
    assert sent(registry, kit) == dict.fromkeys(LARGE, 0)
