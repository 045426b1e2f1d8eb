"""A whole mount whose cache lies on a disk that is too small, fails or goes: every byte is right, the log says what is wrong."""

import errno
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.faults.conftest import Disk, drop_cached
from tests.support.kit_parts import wrong_files
from tests.support.mounting import Mount, Shell, refusal_of, wait_for

pytestmark = [pytest.mark.fuse, pytest.mark.fault("K")]

# More than a daemon may take, whatever it reads: Python and libraries, 64 MiB of buffers, two memories of 32 MiB, what its
# allocator keeps; 210 to 260 MiB were seen, 290 where six processes wanted each core.
LARGE_BYTES = 384 * MIB
SLOWER = "cannot be kept, its reads go on slower: "


@pytest.fixture(scope="module")
def kit() -> Kit:
    weights = Directory({"a.safetensors": 4 * MIB + 5, "b.safetensors": MIB, "config.json": 300})
    builder = KitBuilder("llama", seed=31).model("weights", weights).part("adapter.bin", 3 * MIB + 77, raw=True)
    return builder.part("tokenizer", Directory({"merges.txt": 200_000})).docs("README.md", b"# llama\n").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


def log_of(mount: Mount) -> str:
    log = mount.log_file.read_text()
    assert "Traceback" not in log
    assert "unexpected" not in log
    return log


def peak_bytes(mount: Mount) -> int:
    status = Path(f"/proc/{mount.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def on(shell: Shell, cache: Path) -> Shell:
    """The same person, with the cache elsewhere."""
    return Shell(shell.home, {"MKFS_CACHE_DIR": str(cache), "MKFS_MIN_FREE": "0%"})


def fill(directory: Path) -> None:
    """Takes the last byte of the file system."""
    with (directory / "others").open("wb", buffering=0) as file:
        for size_bytes in (MIB, 4096, 1):
            while refusal_of(lambda size_bytes=size_bytes: file.write(bytes(size_bytes))) == "":
                pass


def test_a_disk_that_runs_full_slows_its_readers_down_within_the_memory_there_is(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, disk: Disk
) -> None:
    large = KitBuilder("large", seed=32).model("weights.bin", LARGE_BYTES, raw=True).part("adapter.bin", 3 * MIB, raw=True).build()
    registry.push("team/large", "1", large.manifest, large.blobs)
    somebody = on(shell, disk("size=24m") / "cache")
    with somebody.mounted(f"{server.host}/team/large:1") as mount:
        assert wrong_files(mount.place, large) == []
        assert peak_bytes(mount) < LARGE_BYTES
        assert re.search(f"model weights.bin {SLOWER}no room in the cache: 384.0 MiB needed", log_of(mount))
        assert "adapter.bin cannot be kept" not in log_of(mount)
        # Read twice, once for its digests; where the reader is slow, memory forgets some chunks before he comes for them.
        assert registry.bytes_sent() < 2.5 * LARGE_BYTES


def test_a_disk_that_others_fill_while_it_is_read(reference: str, kit: Kit, shell: Shell, disk: Disk) -> None:
    place = disk("size=24m")
    with on(shell, place / "cache").mounted(reference) as mount:
        mount.path("adapter.bin").read_bytes()
        fill(place)
        assert wrong_files(mount.place, kit) == []
        drop_cached(mount.place)
        assert wrong_files(mount.place, kit) == []
        assert f"model weights {SLOWER}no room in the cache" in log_of(mount)
        (place / "others").unlink()
        mount.umount()
    with on(shell, place / "cache").mounted(reference, place=mount.place) as mount:
        assert wrong_files(mount.place, kit) == []
    assert shell.run("cache", "verify", "--cache-dir", place / "cache").exit_code == 0


def test_a_disk_without_inodes(reference: str, kit: Kit, shell: Shell, disk: Disk) -> None:
    with on(shell, disk("size=64m,nr_inodes=32") / "cache").mounted(reference) as mount:
        assert wrong_files(mount.place, kit) == []
        drop_cached(mount.place)
        assert wrong_files(mount.place, kit) == []
        assert f"{SLOWER}no room in the cache: " in log_of(mount)
        assert "inodes needed" in log_of(mount)


def test_a_cache_that_is_removed_while_it_is_read(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        mount.path("adapter.bin").read_bytes()
        shutil.rmtree(shell.cache)
        drop_cached(mount.place)
        for _ in range(2):
            assert wrong_files(mount.place, kit) == []
            drop_cached(mount.place)
        assert f"{SLOWER}the cache cannot be written: No such file or directory" in log_of(mount)
        mount.umount()
    with shell.mounted(reference, place=mount.place) as mount:  # makes a new one
        assert wrong_files(mount.place, kit) == []
        assert (shell.cache / "version").exists()


def test_a_disk_that_becomes_read_only(reference: str, kit: Kit, shell: Shell, disk: Disk) -> None:
    place = disk("size=64m")
    with on(shell, place / "cache").mounted(reference) as mount:
        mount.path("adapter.bin").read_bytes()
        # refused while the daemon has a file open to write, as it may a moment longer: a lock that it showed progress in
        wait_for(lambda: subprocess.run(["mount", "-o", "remount,ro", place], check=False).returncode == 0)
        drop_cached(mount.place)
        for _ in range(2):
            assert wrong_files(mount.place, kit) == []
            drop_cached(mount.place)
        assert f"model weights {SLOWER}the cache cannot be written: Read-only file system" in log_of(mount)


@contextmanager
def failing(mount: Mount, call: str, error: int) -> Iterator[None]:
    """From now on, the daemon's system calls of that name fail; where they are about the cache, if they are called for more."""
    only = [word for path in mount.shell.cache.rglob("*") if path.is_dir() for word in ("-P", path)] if call == "openat" else []
    inject = f"inject={call}:error={errno.errorcode[error]}"
    strace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *only, "-p", str(mount.pid)]
    with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "attached" in process.stderr.readline()
        try:
            yield
        finally:
            process.terminate()  # lets go of the daemon, which goes on
            process.communicate()


NO_ROOM = rf"model weights {SLOWER}no room in the cache: 5.0 MiB needed \("
PROVED = r"proved model weights"
CALLS = [
    ("mkdirat", errno.ENOSPC, rf"{NO_ROOM}No space left on device\)"),
    ("fallocate", errno.ENOSPC, rf"{NO_ROOM}No space left on device\)"),
    ("pwrite64", errno.ENOSPC, rf"{NO_ROOM}No space left on device\)"),
    ("pwrite64", errno.EDQUOT, rf"{NO_ROOM}Disk quota exceeded\)"),
    ("fallocate", errno.EDQUOT, rf"{NO_ROOM}Disk quota exceeded\)"),
    ("mkdirat", errno.EROFS, rf"model weights {SLOWER}the cache cannot be written: Read-only file system"),
    ("renameat", errno.EIO, rf"model weights {SLOWER}the cache cannot be written: Input/output error"),
    ("openat", errno.EIO, r"cached bytes of parts tokenizer are damaged .* Input/output error"),
    ("unlinkat", errno.EIO, PROVED),  # what cannot be removed is left to the next sweep
    ("close", errno.EIO, PROVED),
]


@pytest.mark.strace
@pytest.mark.parametrize(
    ("call", "error", "said"),
    [pytest.param(call, error, said, id=f"{call} fails with {errno.errorcode[error]}") for call, error, said in CALLS],
)
def test_a_disk_that_refuses_one_call(reference: str, kit: Kit, shell: Shell, call: str, error: int, said: str) -> None:
    with shell.mounted(reference) as mount:
        mount.path("adapter.bin").read_bytes()
        with failing(mount, call, error):
            drop_cached(mount.place)
            assert wrong_files(mount.place, kit) == []
        drop_cached(mount.place)
        assert wrong_files(mount.place, kit) == []
        assert re.search(said, log_of(mount))
        mount.umount()
    with shell.mounted(reference, place=mount.place) as mount:
        assert wrong_files(mount.place, kit) == []
    assert shell.run("cache", "verify").exit_code == 0
    assert shell.run("cache", "prune", "--min-free", "0%").exit_code == 0
    assert list((shell.cache / "staging").iterdir()) == []
