"""docs/SEMANTICS.md, sentence by sentence, on a mount that nobody disturbs. test_semantics_when_things_happen.py has the others."""

import fcntl
import mmap
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.kits import Directory, File, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import KIB, MIB
from tests.support.documents import ROOT
from tests.support.kit_parts import content_of, layer_at, names_of
from tests.support.mounting import Mount, Shell, refusal_of
from tests.support.page_cache import kept

pytestmark = pytest.mark.fuse

SIZE_BYTES = 3 * MIB + 777
MANY = 3000
README = b"# semantics\n"
SCRIPT = b"#!/bin/sh\necho ran\n"
JANUARY_2_1980 = 315_619_200


@pytest.fixture(scope="module")
def kit() -> Kit:
    files = {f"{number:05}": b"" for number in range(MANY)}
    code = Directory({"run.sh": File(SCRIPT, 0o755), "private.txt": File(b"p", 0o600), "set.sh": File(SCRIPT, 0o4755)})
    builder = KitBuilder("semantics", seed=5).model("weights.bin", SIZE_BYTES, raw=True).code("src", code)
    builder.part("unread.bin", 2 * MIB, raw=True).part("A", b"upper", raw=True).part("a", b"lower", raw=True)
    return builder.dataset("many", Directory(files)).docs("README.md", README).build()


@pytest.fixture(scope="module")
def registry(kit: Kit) -> MemoryRegistry:
    registry = MemoryRegistry()
    registry.push("team/semantics", "1", kit.manifest, kit.blobs)
    return registry


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory, registry: MemoryRegistry) -> Iterator[Mount]:
    with serve(registry) as server:
        shell = Shell(tmp_path_factory.mktemp("semantics") / "home")
        with shell.mounted(f"{server.host}/team/semantics:1", "--tag-ttl", "0s") as mount:
            yield mount
        assert shell.is_tidy()


@pytest.fixture(scope="module")
def weights(kit: Kit) -> bytes:
    return content_of(kit, "weights.bin").read(ByteRange(0, SIZE_BYTES))


@pytest.fixture
def file(mount: Mount) -> Iterator[int]:
    """weights.bin, open."""
    descriptor = os.open(mount.path("weights.bin"), os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def fetched(file: int) -> int:
    """weights.bin, open, whose bytes the daemon has and the kernel has not: who touches a page waits for it with the lock of Python
    held, which the registry of this process would need to send them.
    """
    assert os.pread(file, SIZE_BYTES, 0)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    return file


def test_each_sentence_has_one_test_and_each_test_its_sentence() -> None:
    said = re.findall(r"\*\*(\d+\.\d+)\*\*", (ROOT / "docs" / "SEMANTICS.md").read_text())
    code = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_semantics*.py")))
    tested = [f"{group}.{number}" for group, number in re.findall(r"^def test_(\d+)_(\d+)_", code, re.MULTILINE)]
    assert len(said) == len(set(said))
    assert sorted(tested) == sorted(said)


# --- names and attributes


def test_1_1_names_are_those_of_kit_unpack(mount: Mount, kit: Kit) -> None:
    assert sorted(str(path.relative_to(mount.place)) for path in mount.place.rglob("*")) == names_of(kit)


def test_1_2_case_matters(mount: Mount) -> None:
    assert (mount.path("A").read_bytes(), mount.path("a").read_bytes()) == (b"upper", b"lower")
    assert refusal_of(mount.path("readme.md").stat) == "ENOENT"


def test_1_3_a_name_has_255_bytes_at_most(mount: Mount) -> None:
    assert os.pathconf(mount.place, "PC_NAME_MAX") == 255
    assert [refusal_of(mount.path("x" * length).stat) for length in (255, 256)] == ["ENOENT", "ENOENT"]


def test_1_4_looking_asks_the_registry_for_nothing(mount: Mount, registry: MemoryRegistry) -> None:
    before = len(registry.log)
    subprocess.run(["ls", "-lR", mount.place], stdout=subprocess.DEVNULL, check=True)
    assert refusal_of(mount.path("src/nothing").stat) == "ENOENT"
    assert len(registry.log) == before


def test_2_1_sizes_are_those_of_the_content(mount: Mount) -> None:
    status = mount.path("unread.bin").stat()
    assert (status.st_size, status.st_blocks) == (2 * MIB, 2 * MIB // 512)
    assert mount.path("README.md").stat().st_size == len(README)


def test_2_2_times_are_constant(mount: Mount) -> None:
    for path in (mount.place, mount.path("weights.bin"), mount.path("src/run.sh")):
        status = path.stat()
        assert {status.st_mtime, status.st_ctime, status.st_atime} == {JANUARY_2_1980}


def test_2_3_modes_have_no_write_bits_and_all_may_read(mount: Mount) -> None:
    assert stat.S_IMODE(mount.path("src/private.txt").stat().st_mode) == 0o444  # root's mounts are shared by default
    assert not [path for path in mount.place.rglob("*") if path.stat().st_mode & 0o222]


def test_2_4_what_was_executable_is_executable(mount: Mount) -> None:
    executable = [path for path in mount.place.rglob("*") if path.is_file() and path.stat().st_mode & 0o111]
    assert sorted(path.name for path in executable) == ["run.sh", "set.sh"]


def test_2_6_inode_numbers_are_the_same_in_every_mount(mount: Mount) -> None:
    inodes = {path: mount.path(path).stat().st_ino for path in ("", "weights.bin", "src", "src/run.sh", "many/00007")}
    assert inodes[""] == 1
    reference = mount.entry.source
    other = mount.shell.new_place("other")
    with mount.shell.mounted(reference, place=other):
        assert {path: (other / path).stat().st_ino for path in inodes} == inodes


def test_2_7_link_counts_are_1(mount: Mount) -> None:
    assert {path.stat().st_nlink for path in (mount.place, *mount.place.rglob("*"))} == {1}


def test_2_8_the_block_size_is_128_kib(mount: Mount) -> None:
    assert mount.path("weights.bin").stat().st_blksize == 128 * KIB


# --- reading


def test_3_1_reads_are_full_but_at_the_end(file: int) -> None:
    wanted = [(0, SIZE_BYTES), (1, 2 * MIB + 1), (SIZE_BYTES - 10, 4096), (17, 1)]
    assert [len(os.pread(file, length, start)) for start, length in wanted] == [SIZE_BYTES, 2 * MIB + 1, 10, 1]


def test_3_2_behind_the_end_is_nothing(file: int) -> None:
    assert [os.pread(file, 4096, start) for start in (SIZE_BYTES, SIZE_BYTES + 1, 2**40)] == [b"", b"", b""]


def test_3_3_bytes_are_right_in_any_order_and_size(file: int, weights: bytes) -> None:
    choose = Random(3)
    for _ in range(300):
        start, length = choose.randrange(SIZE_BYTES), choose.choice((1, 511, 4096, 70_001, 2 * MIB))
        assert os.pread(file, length, start) == weights[start : start + length]


def test_3_4_opening_fetches_nothing(mount: Mount, registry: MemoryRegistry, kit: Kit) -> None:
    layer = layer_at(kit, "unread.bin").digest
    with mount.path("unread.bin").open("rb") as unread:
        assert registry.bytes_sent(layer) == 0
        unread.read(1)
    assert registry.bytes_sent(layer) == 2 * MIB


def test_3_5_what_was_read_is_read_again_without_the_process(mount: Mount, weights: bytes) -> None:
    assert mount.path("weights.bin").read_bytes() == weights
    with kept(mount.path("weights.bin")):
        descriptor = os.open(mount.path("weights.bin"), os.O_RDONLY)
        try:
            with mount.stopped():
                assert in_time(f"assert len(os.pread(given, {SIZE_BYTES}, 0)) == {SIZE_BYTES}", descriptor)
        finally:
            os.close(descriptor)


def in_time(code: str, given: int) -> bool:
    """Whether `code`, in a process that has the descriptor `given`, ends well, and before anybody calls it stuck. Not as its
    standard input, of which Python asks more than is wanted here.
    """
    words = [sys.executable, "-c", f"import os\ngiven = {given}\n{code}"]
    try:
        return subprocess.run(words, pass_fds=[given], timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def test_3_6_bytes_move_inside_the_kernel(file: int, weights: bytes) -> None:
    reading, writing = os.pipe()
    try:
        assert os.sendfile(writing, file, 1000, 4096) == os.splice(file, writing, 4096, offset_src=5096) == 4096
        assert os.read(reading, 8192) == weights[1000:9192]
    finally:
        for descriptor in (reading, writing):
            os.close(descriptor)


def test_3_7_a_file_has_no_holes(file: int) -> None:
    assert os.lseek(file, 0, os.SEEK_HOLE) == SIZE_BYTES
    assert os.lseek(file, 5000, os.SEEK_DATA) == 5000


def test_4_1_a_file_can_be_mapped(fetched: int, weights: bytes) -> None:
    for sharing in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
        with mmap.mmap(fetched, 0, flags=sharing, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == weights


def test_4_2_a_private_mapping_can_be_written_to(fetched: int, weights: bytes) -> None:
    with mmap.mmap(fetched, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as mapped:
        mapped[:4] = b"mine"
        assert mapped[:8] == b"mine" + weights[4:8]
    assert os.pread(fetched, 8, 0) == weights[:8]


def test_4_3_a_shared_mapping_for_writing_is_refused(file: int) -> None:
    writing = mmap.PROT_READ | mmap.PROT_WRITE
    assert refusal_of(lambda: mmap.mmap(file, 0, flags=mmap.MAP_SHARED, prot=writing)) == "EACCES"


def test_5_1_direct_reads_have_the_same_bytes(mount: Mount, weights: bytes) -> None:
    direct = os.open(mount.path("weights.bin"), os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 4 * MIB) as buffer:
            assert os.preadv(direct, [buffer], 0) == SIZE_BYTES
            assert sha256(buffer[:SIZE_BYTES]).digest() == sha256(weights).digest()
    finally:
        os.close(direct)


def test_6_1_there_are_no_extended_attributes(mount: Mount) -> None:
    assert refusal_of(lambda: os.getxattr(mount.path("README.md"), "user.mkfs.digest")) == "ENOTSUP"
    assert refusal_of(lambda: os.listxattr(mount.path("README.md"))) == "ENOTSUP"


# --- writing


def test_7_1_nothing_can_be_changed(mount: Mount) -> None:
    there, new = mount.path("README.md"), mount.path("new")
    attempts = {
        "open": lambda: os.open(there, os.O_RDWR),
        "truncate": lambda: os.truncate(there, 0),
        "open and truncate": lambda: os.open(there, os.O_RDONLY | os.O_TRUNC),
        "create": lambda: os.open(new, os.O_WRONLY | os.O_CREAT),
        "mkdir": new.mkdir,
        "mknod": lambda: os.mkfifo(new),
        "symlink": lambda: new.symlink_to("README.md"),
        "link": lambda: new.hardlink_to(there),
        "rename": lambda: there.rename(new),
        "unlink": there.unlink,
        "rmdir": mount.path("src").rmdir,
        "chmod": lambda: there.chmod(0o600),
        "chown": lambda: os.chown(there, 1, 1),
        "utime": lambda: os.utime(there),
        "setxattr": lambda: os.setxattr(there, "user.new", b""),
        "removexattr": lambda: os.removexattr(there, "user.new"),
    }
    assert {name: refusal_of(attempt) for name, attempt in attempts.items()} == dict.fromkeys(attempts, "EROFS")
    assert there.read_bytes() == README


def test_7_2_nothing_may_be_written(mount: Mount) -> None:
    assert os.access(mount.path("README.md"), os.R_OK)
    assert not [path for path in (mount.place, mount.path("README.md")) if os.access(path, os.W_OK)]


# --- directories, links, errors


def test_8_1_listings_agree_with_stat(mount: Mount) -> None:
    lines = subprocess.run(["ls", "-ai", mount.path("src")], capture_output=True, text=True, check=True).stdout.split()
    listed = dict(zip(lines[1::2], map(int, lines[::2]), strict=True))
    names = (".", "..", "private.txt", "run.sh", "set.sh")
    assert listed == {name: os.stat(f"{mount.place}/src/{name}").st_ino for name in names}


def test_8_2_listings_are_complete_and_in_one_order(mount: Mount) -> None:
    first, second = os.listdir(mount.path("many")), os.listdir(mount.path("many"))
    assert first == second
    assert sorted(first) == [f"{number:05}" for number in range(MANY)]


def test_8_3_a_directory_can_be_stood_in_and_opened_from(mount: Mount) -> None:
    directory = os.open(mount.path("src"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        inside = os.open("run.sh", os.O_RDONLY, dir_fd=directory)
        assert os.read(inside, 100) == SCRIPT
        os.close(inside)
    finally:
        os.close(directory)
    assert subprocess.run(["cat", "run.sh"], cwd=mount.path("src"), capture_output=True, check=True).stdout == SCRIPT


def test_10_1_no_such_name(mount: Mount) -> None:
    assert refusal_of(mount.path("src/nothing").read_bytes) == "ENOENT"


def test_10_2_a_file_on_the_way(mount: Mount) -> None:
    assert refusal_of(mount.path("README.md/name").read_bytes) == "ENOTDIR"


def test_10_3_a_directory_is_no_file(mount: Mount) -> None:
    assert refusal_of(mount.path("src").read_bytes) == "EISDIR"


def test_10_8_what_is_no_link_has_no_target(mount: Mount) -> None:
    assert refusal_of(mount.path("README.md").readlink) == "EINVAL"


# --- what the kernel keeps, locks, statfs, programs


def test_11_1_names_and_attributes_are_kept_without_an_end(mount: Mount) -> None:
    directory = os.open(mount.path("src"), os.O_RDONLY | os.O_DIRECTORY)
    code = "assert os.stat('run.sh', dir_fd=given).st_size\nassert not os.access('nothing', os.F_OK, dir_fd=given)"
    try:
        assert in_time(code, directory)
        with mount.stopped():
            assert in_time(code, directory)
    finally:
        os.close(directory)


def test_12_1_flock_works(mount: Mount) -> None:
    with mount.path("README.md").open("rb") as one, mount.path("README.md").open("rb") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        assert refusal_of(lambda: fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)) == "EAGAIN"


def test_12_2_fcntl_gives_read_locks(mount: Mount) -> None:
    with mount.path("README.md").open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert refusal_of(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)) == "EBADF"


def test_13_1_it_is_full(mount: Mount) -> None:
    totals = os.statvfs(mount.place)
    held = sum(path.stat().st_size for path in mount.place.rglob("*") if path.is_file())
    assert 0 <= totals.f_blocks * totals.f_frsize - held < totals.f_frsize
    assert (totals.f_bfree, totals.f_bavail, totals.f_ffree, totals.f_namemax) == (0, 0, 0, 255)


def test_13_2_its_type_and_source(mount: Mount, kit: Kit) -> None:
    source, kind = subprocess.run(
        ["findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", mount.place], capture_output=True, text=True, check=True
    ).stdout.split()
    assert (kind, source.endswith(f"/team/semantics:1@{kit.manifest_digest}")) == ("fuse.kitfs", True)


def test_14_2_the_mount_is_nosuid_nodev_ro(mount: Mount) -> None:
    options = next(line.split()[3] for line in Path("/proc/mounts").read_text().splitlines() if f" {mount.place} " in line)
    assert {"nosuid", "nodev", "ro"} <= set(options.split(","))
    assert stat.S_IMODE(mount.path("src/set.sh").stat().st_mode) == 0o555
