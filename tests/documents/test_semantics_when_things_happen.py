"""docs/SEMANTICS.md, the sentences about mounts that somebody disturbs: flags, damage, tags that move, processes that die.

Each has a mount, and a registry, of its own. What holds the sentences and the tests together is in test_semantics.py.
"""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, Match, Stall, Status, Withhold
from mkfs.testing.kits import Directory, File, Kit, KitBuilder
from mkfs.testing.producers.images import image
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import content_of, layer_at, names_of, wrong_files
from tests.support.mounting import Shell, ended, refusal_of
from tests.support.namespaces import NOBODY

pytestmark = pytest.mark.fuse

SIZE_BYTES = 2 * MIB + 5
LARGE_BYTES, LATER = 40 * MIB, 39 * MIB  # two requests of a whole fetch; `LATER` is in the second
UNSUPPORTED, BUSY = 14, 22
READERS = 20
SCRIPT = b"#!/bin/sh\necho ran\n"
_STUCK_SECONDS = 30


@pytest.fixture(scope="module")
def kit() -> Kit:
    code = Directory({"run.sh": File(SCRIPT, 0o755), "private.txt": File(b"p", 0o600)})
    builder = KitBuilder("semantics", seed=6).model("weights.bin", SIZE_BYTES, raw=True).part("other.bin", SIZE_BYTES, raw=True)
    return builder.code("src", code).docs("README.md", b"# semantics\n").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/semantics", "1", kit.manifest, kit.blobs)
    return f"{server.host}/team/semantics:1"


def bytes_of(kit: Kit, path: str) -> bytes:
    body = content_of(kit, path)
    return body.read(ByteRange(0, body.size_bytes))


@contextmanager
def withheld(registry: MemoryRegistry, kit: Kit, path: str) -> Iterator[None]:
    """Nothing comes of the layer of `path`, for the length of the block."""
    withhold = Withhold()
    fault = registry.faults.install(Fault(Match(digest=layer_at(kit, path).digest), withhold))
    try:
        yield
    finally:
        registry.faults.mend(fault)
        withhold.release()


def damage(registry: MemoryRegistry, kit: Kit, path: str) -> None:
    registry.faults.install(Fault(Match(digest=layer_at(kit, path).digest), Flip(MIB)))


# --- flags


def test_2_5_owner_group_and_umask_are_what_was_asked_for(reference: str, shell: Shell) -> None:
    with shell.mounted(reference, "--uid", "4000", "--gid", "5000", "--umask", "027") as mount:
        seen = {path.name: path.stat() for path in (mount.path("README.md"), mount.path("src"))}
        assert {(status.st_uid, status.st_gid) for status in seen.values()} == {(4000, 5000)}
        assert {name: stat.S_IMODE(status.st_mode) for name, status in seen.items()} == {"README.md": 0o440, "src": 0o550}
    with shell.mounted(reference, place=shell.new_place("mine")) as mount:
        assert (mount.place.stat().st_uid, mount.place.stat().st_gid) == (os.geteuid(), os.getegid())


def test_6_2_with_xattr_there_are_attributes_of_ours(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference, "--xattr") as mount:
        path = mount.path("weights.bin")
        before = {name: os.getxattr(path, name).decode() for name in os.listxattr(path)}
        assert before == {
            "user.mkfs.digest": str(kit.manifest_digest),
            "user.mkfs.layer.digest": str(layer_at(kit, "weights.bin").digest),
            "user.mkfs.proof": "layer digest",
            "user.mkfs.proven_bytes": "0",
        }
        path.read_bytes()
        assert os.getxattr(path, "user.mkfs.proven_bytes") == str(SIZE_BYTES).encode()
        assert refusal_of(lambda: os.getxattr(path, "user.other")) == "ENODATA"


def test_10_4_modes_and_mounts_that_are_not_shared_keep_others_out(reference: str, shell: Shell) -> None:
    def as_nobody(directory: Path, *command: str) -> str:
        done = subprocess.run(
            command, cwd=directory, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    with shell.mounted(reference, "--no-allow-other") as mount:
        assert "Permission denied" in as_nobody(mount.place, "cat", "README.md")
    with shell.mounted(reference, "--umask", "007", place=shell.new_place("narrow")) as mount:
        assert "Permission denied" in as_nobody(mount.place, "cat", "README.md")
    with shell.mounted(reference, place=shell.new_place("shared")) as mount:
        assert as_nobody(mount.place, "cat", "README.md") == "# semantics\n"


def test_14_1_programs_run_unless_that_is_forbidden(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert subprocess.run([mount.path("src/run.sh")], capture_output=True, check=True).stdout == b"ran\n"
    with shell.mounted(reference, "--noexec", place=shell.new_place("noexec")) as mount:
        assert refusal_of(lambda: subprocess.run([mount.path("src/run.sh")], check=True)) == "EACCES"


# --- bytes that do not come, or come wrong


def test_3_8_a_read_that_waits_can_be_killed(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        with withheld(registry, kit, "weights.bin"):
            reader = subprocess.Popen(["cat", mount.path("weights.bin")], stdout=subprocess.DEVNULL)
            while not mount.requests_waiting():
                assert reader.poll() is None
            reader.kill()
            assert reader.wait(_STUCK_SECONDS) == -signal.SIGKILL
        assert mount.path("weights.bin").read_bytes() == bytes_of(kit, "weights.bin")


def test_4_4_a_page_that_cannot_be_proven_ends_who_touches_it(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    damage(registry, kit, "weights.bin")
    code = "import mmap, sys; file = open(sys.argv[1], 'rb'); mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[0]"
    with shell.mounted(reference) as mount:
        words = [sys.executable, "-c", code, mount.path("weights.bin")]
        assert subprocess.run(words, check=False, timeout=_STUCK_SECONDS).returncode == -signal.SIGBUS
        assert mount.path("other.bin").read_bytes() == bytes_of(kit, "other.bin")


def test_5_2_a_direct_read_that_waits_ends(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference, "--read-timeout", "1") as mount, withheld(registry, kit, "weights.bin"):
        words = ["dd", f"if={mount.path('weights.bin')}", "of=/dev/null", "iflag=direct", "bs=1M"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_STUCK_SECONDS)
        assert (done.returncode, "Input/output error" in done.stderr) == (1, True)


def test_10_5_what_does_not_match_is_an_error(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    damage(registry, kit, "weights.bin")
    with shell.mounted(reference) as mount, mount.path("weights.bin").open("rb") as file:
        assert refusal_of(lambda: os.pread(file.fileno(), 10, 0)) == "EIO"
        assert refusal_of(lambda: os.pread(file.fileno(), 10, MIB)) == "EIO"


def test_10_6_what_cannot_be_had_is_an_error(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert mount.path("other.bin").read_bytes() == bytes_of(kit, "other.bin")
        registry.faults.install(Fault(Match(digest=layer_at(kit, "weights.bin").digest), Status(404)))
        assert refusal_of(mount.path("weights.bin").read_bytes) == "EIO"
        assert mount.path("other.bin").read_bytes() == bytes_of(kit, "other.bin")


def test_10_9_a_mended_registry_serves_again(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    damage(registry, kit, "weights.bin")
    with shell.mounted(reference) as mount:
        assert refusal_of(mount.path("weights.bin").read_bytes) == "EIO"
    registry.faults.mend_all()
    with shell.mounted(reference, place=shell.new_place("again")) as mount:
        assert wrong_files(mount.place, kit) == []


def test_10_10_errors_of_one_layer_are_no_errors_of_another(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    damage(registry, kit, "weights.bin")
    with shell.mounted(reference) as mount:
        assert refusal_of(mount.path("weights.bin").read_bytes) == "EIO"
        assert mount.path("other.bin").read_bytes() == bytes_of(kit, "other.bin")


def test_15_1_mounts_of_one_user_fetch_once(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as one, shell.mounted(reference, place=shell.new_place("two")) as two:
        assert wrong_files(one.place, kit) == wrong_files(two.place, kit) == []
    sent = {layer.wanted.path: registry.bytes_sent(layer.digest) for layer in kit.layers}
    assert sent == {layer.wanted.path: layer.body.size_bytes for layer in kit.layers}


def test_15_2_what_was_not_proven_and_is_wrong_is_forgotten(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = KitBuilder("deferred", seed=9).raw("model.bin", LARGE_BYTES).build()
    registry.push("team/deferred", "1", kit.manifest, kit.blobs)
    digest, right, held = kit.layers[0].digest, bytes_of(kit, "model.bin")[LATER : LATER + 4096], Stall(after_bytes=10)
    registry.faults.install(Fault(Match(digest=digest, offset=0), held, times=1))
    registry.faults.install(Fault(Match(digest=digest, offset=LATER), Flip(LATER)))
    reference = f"{server.host}/team/deferred:1"
    with shell.mounted(reference, "--verify", "deferred") as mount, mount.path("model.bin").open("rb") as file:
        assert os.pread(file.fileno(), 4096, LATER) != right  # as it came, and nobody can know yet
        held.release()
        assert shell.run("verify", reference).exit_code != 0  # waits for the daemon's proof
        deadline = time.monotonic() + _STUCK_SECONDS
        while refusal_of(lambda: os.pread(file.fileno(), 4096, LATER)) != "EIO":
            assert time.monotonic() < deadline


def test_17_1_many_readers_fetch_once(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount, ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda _: mount.path("weights.bin").read_bytes(), range(READERS)))
    assert set(read) == {bytes_of(kit, "weights.bin")}
    assert registry.bytes_sent(layer_at(kit, "weights.bin").digest) == SIZE_BYTES


def test_17_2_a_layer_that_does_not_come_holds_up_nobody_else(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    with shell.mounted(reference) as mount, withheld(registry, kit, "weights.bin"):
        waiting = [subprocess.Popen(["cat", mount.path("weights.bin")], stdout=subprocess.DEVNULL) for _ in range(READERS)]
        try:
            done = subprocess.run(["cat", mount.path("other.bin")], capture_output=True, check=True, timeout=_STUCK_SECONDS)
            assert done.stdout == bytes_of(kit, "other.bin")
            assert {each.poll() for each in waiting} == {None}
        finally:
            for each in waiting:
                each.kill()
                each.wait()


# --- links and tags


def test_9_1_links_are_links_and_relative(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    made = image([{"models": None, "models/b": b"bytes", "models/one": "->b", "models/two": "->/models/b"}])
    registry.push("team/image", "1", made.manifest, made.blobs)
    with shell.mounted(f"{server.host}/team/image:1") as mount:
        assert [os.readlink(mount.path(name)) for name in ("one", "two")] == ["b", "b"]
        assert mount.path("two").read_bytes() == b"bytes"


def test_9_2_a_link_that_leads_out_is_refused(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    made = image([{"etc/shadow": b"x", "models": None, "models/b": b"bytes", "models/out": "->../../../etc/shadow"}])
    registry.push("team/image", "1", made.manifest, made.blobs)
    ran = shell.run("mount", f"{server.host}/team/image:1", shell.new_place())
    assert (ran.exit_code, "leads out of the directory" in ran.stderr) == (UNSUPPORTED, True)


def test_9_3_a_link_is_not_opened(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    made = image([{"models": None, "models/b": b"bytes", "models/one": "->b"}])
    registry.push("team/image", "1", made.manifest, made.blobs)
    with shell.mounted(f"{server.host}/team/image:1") as mount:
        assert refusal_of(lambda: os.open(mount.path("one"), os.O_RDONLY | os.O_NOFOLLOW)) == "ELOOP"


def test_9_4_a_hard_link_is_a_file_of_its_own(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    made = image([{"models": None, "models/b": b"bytes", "models/hard": "=models/b"}])
    registry.push("team/image", "1", made.manifest, made.blobs)
    with shell.mounted(f"{server.host}/team/image:1") as mount:
        assert mount.path("hard").read_bytes() == b"bytes"
        assert mount.path("hard").stat().st_ino != mount.path("b").stat().st_ino


def test_16_1_a_tag_that_moves_changes_nothing(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    other = KitBuilder("another", seed=1).docs("other.md", b"another\n").build()
    with shell.mounted(reference) as mount:
        registry.push("team/semantics", "1", other.manifest, other.blobs)
        assert sorted(str(path.relative_to(mount.place)) for path in mount.place.rglob("*")) == names_of(kit)
        assert wrong_files(mount.place, kit) == []


def test_16_2_in_a_repository_the_link_moves_alone(registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell) -> None:
    other = KitBuilder("another", seed=1).docs("README.md", b"another\n").build()
    with shell.mounted(reference.removesuffix(":1"), "--tag-ttl", "0s") as mount:
        link = mount.path("tags/1")
        assert os.readlink(link) == f"../digests/{str(kit.manifest_digest).replace(':', '-')}"
        inside = os.open(link, os.O_RDONLY | os.O_DIRECTORY)
        try:
            registry.push("team/semantics", "1", other.manifest, other.blobs)
            assert os.readlink(link) == f"../digests/{str(other.manifest_digest).replace(':', '-')}"
            assert (link / "README.md").read_bytes() == b"another\n"
            old = os.open("README.md", os.O_RDONLY, dir_fd=inside)
            assert os.read(old, 100) == b"# semantics\n"
            os.close(old)
        finally:
            os.close(inside)


# --- the end


def test_10_7_a_dead_process_is_an_error(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        file = os.open(mount.path("weights.bin"), os.O_RDONLY)
        os.kill(mount.pid, signal.SIGKILL)
        assert ended(mount.pid)
        assert refusal_of(mount.path("README.md").read_bytes) == "ENOTCONN"
        assert refusal_of(lambda: os.pread(file, 10, 0)) == "ENOTCONN"
        assert refusal_of(lambda: os.close(file)) == "ENOTCONN"  # it is closed all the same


def test_11_2_a_dead_mount_shows_itself_as_one(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        assert mount.path("src/run.sh").stat().st_size
        os.kill(mount.pid, signal.SIGKILL)
        assert ended(mount.pid)
        deadline = time.monotonic() + _STUCK_SECONDS
        while refusal_of(mount.path("src/run.sh").stat) != "ENOTCONN":  # it is what the kernel was told of the root, for a second
            assert time.monotonic() < deadline


def test_18_1_a_dead_mount_is_never_an_empty_directory(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        os.kill(mount.pid, signal.SIGKILL)
        assert ended(mount.pid)
        assert refusal_of(lambda: os.listdir(mount.place)) == "ENOTCONN"
        assert mount.is_mounted()


def test_18_2_the_next_mount_clears_a_dead_one(reference: str, kit: Kit, shell: Shell) -> None:
    dead = shell.mount(reference)
    os.kill(dead.pid, signal.SIGKILL)
    assert ended(dead.pid)
    with shell.mounted(reference, place=dead.place) as mount:
        assert wrong_files(mount.place, kit) == []
        table = Path("/proc/self/mountinfo").read_text()
        assert table.count(f" {mount.place} ") == 1


def test_18_3_the_place_is_an_empty_directory_afterwards(reference: str, shell: Shell) -> None:
    mount = shell.mount(reference)
    mount.umount()
    assert list(mount.place.iterdir()) == []


def test_18_4_an_open_file_hinders_an_unmount(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount, mount.path("weights.bin").open("rb") as file:
        assert shell.run("umount", mount.place).exit_code == BUSY
        assert mount.is_mounted()
        assert shell.run("umount", "--lazy", mount.place).exit_code == 0
        assert not mount.is_mounted()
        assert file.read() == bytes_of(kit, "weights.bin")
