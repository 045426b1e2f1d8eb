"""What a reader sees in a real mount: the directory, the bytes, the errors; and what does not hold readers up."""

import errno
import fcntl
import mmap
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mkfs.vfs.attributes import BLKSIZE_BYTES, MTIME_NS
from tests.support.fuse_mount import PATIENCE_SECONDS, Server, served
from tests.support.fuse_server import CONFIG, KITFILE, SLOW_BYTES, WEIGHTS
from tests.support.namespaces import NOBODY

pytestmark = pytest.mark.fuse

MIDDLE = 3 * 1024 * 1024 + 17


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One mount for all tests that only look."""
    with served(tmp_path_factory.mktemp("mount") / "model") as server:
        yield server


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that other users can reach."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


def error_of(call: object, *arguments: object) -> str:
    with pytest.raises(OSError, match="Errno") as caught:
        call(*arguments)
    return errno.errorcode[caught.value.errno]


def cat(path: Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    """In a process of its own, which is killed where the mount hangs."""
    return subprocess.run(["cat", path], capture_output=True, check=False, timeout=PATIENCE_SECONDS, **options)


def test_the_directory_holds_what_the_artifact_holds(mounted: Server) -> None:
    found = {str(path.relative_to(mounted.path)): oct(path.stat().st_mode) for path in mounted.path.rglob("*")}
    assert found == {
        "Kitfile": "0o100444",
        "buggy.bin": "0o100444",
        "config.json": "0o100444",
        "damaged.bin": "0o100444",
        "slow.bin": "0o100444",
        "sub": "0o40555",
        "sub/empty": "0o100444",
        "sub/private": "0o40500",
        "sub/private/key.txt": "0o100400",
        "sub/run.sh": "0o100555",
        "weights.bin": "0o100444",
    }


def test_listings_show_dot_and_dot_dot_and_the_same_inodes_as_stat(mounted: Server) -> None:
    names = subprocess.run(["ls", "-ai", mounted.path / "sub"], capture_output=True, text=True, check=True).stdout.split()
    inodes = dict(zip(names[1::2], map(int, names[::2]), strict=True))
    assert inodes == {name: (mounted.path / "sub" / name).stat().st_ino for name in (".", "..", "empty", "private", "run.sh")}


def test_stat_says_what_readers_rely_on(mounted: Server) -> None:
    status = (mounted.path / "weights.bin").stat()
    assert (status.st_size, status.st_blksize, status.st_blocks) == (len(WEIGHTS), BLKSIZE_BYTES, -(-len(WEIGHTS) // 512))
    assert status.st_mtime_ns == status.st_ctime_ns == status.st_atime_ns == MTIME_NS
    assert (status.st_nlink, status.st_uid) == (1, 0)
    assert stat.S_ISDIR(mounted.path.stat().st_mode)
    assert mounted.path.stat().st_ino == 1


def test_df_knows_the_size(mounted: Server) -> None:
    totals = os.statvfs(mounted.path)
    assert totals.f_blocks * totals.f_frsize >= SLOW_BYTES + len(WEIGHTS)
    assert (totals.f_bfree, totals.f_namemax) == (0, 255)


def test_mount_shows_the_reference_and_what_is_forbidden(mounted: Server) -> None:
    line = next(line for line in Path("/proc/mounts").read_text().splitlines() if f" {mounted.path} " in line)
    assert line.startswith(f"localhost:5000/llama@sha256:0,\\040test {mounted.path} fuse.kitfs ro,nosuid,nodev,")
    assert "default_permissions" in line


@pytest.mark.parametrize(
    ("name", "content"), [("weights.bin", WEIGHTS), ("config.json", CONFIG), ("Kitfile", KITFILE), ("sub/empty", b"")]
)
def test_files_hold_the_bytes_of_the_artifact(mounted: Server, name: str, content: bytes) -> None:
    assert cat(mounted.path / name).stdout == content


@pytest.mark.parametrize("sharing", [mmap.MAP_PRIVATE, mmap.MAP_SHARED])
def test_files_can_be_mapped(mounted: Server, sharing: int) -> None:
    with (mounted.path / "weights.bin").open("rb") as file, mmap.mmap(file.fileno(), 0, flags=sharing, prot=mmap.PROT_READ) as data:
        assert data[3 * 1024 * 1024 + 1 :][:100] == WEIGHTS[3 * 1024 * 1024 + 1 :][:100]
        assert data[:] == WEIGHTS


def test_direct_reads_end_where_the_file_ends(mounted: Server) -> None:
    file = os.open(mounted.path / "weights.bin", os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 2 * 1024 * 1024) as buffer:
            assert os.preadv(file, [buffer], 1024 * 1024) == len(buffer)
            assert buffer[:] == WEIGHTS[1024 * 1024 : 3 * 1024 * 1024]
            assert os.preadv(file, [buffer], 5 * 1024 * 1024) == 777
            assert buffer[:777] == WEIGHTS[-777:]
            assert os.preadv(file, [buffer], 6 * 1024 * 1024) == 0
    finally:
        os.close(file)


def test_a_private_mapping_may_be_written_and_the_file_stays_as_it_is(mounted: Server) -> None:
    path = mounted.path / "weights.bin"
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    with data:  # as torch maps tensors, which may be changed in memory
        data[:4] = bytes(4)
        assert data[:8] == bytes(4) + WEIGHTS[4:8]
    assert path.read_bytes() == WEIGHTS


def test_a_shared_mapping_cannot_be_written(mounted: Server) -> None:
    with (mounted.path / "weights.bin").open("rb") as file:
        assert error_of(mmap.mmap, file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) == "EACCES"


def test_bytes_can_be_moved_inside_the_kernel(mounted: Server) -> None:
    file, (reading, writing) = os.open(mounted.path / "weights.bin", os.O_RDONLY), os.pipe()
    try:
        for move in (lambda: os.splice(file, writing, 4096, offset_src=MIDDLE), lambda: os.sendfile(writing, file, MIDDLE, 4096)):
            assert move() == 4096
            assert os.read(reading, 8192) == WEIGHTS[MIDDLE : MIDDLE + 4096]
    finally:
        for descriptor in (file, reading, writing):
            os.close(descriptor)


def test_no_read_is_short_before_the_end(mounted: Server) -> None:
    file = os.open(mounted.path / "weights.bin", os.O_RDONLY)
    try:
        for start, wanted in (
            (0, len(WEIGHTS)),
            (1, 3_000_001),
            (MIDDLE, len(WEIGHTS)),
            (len(WEIGHTS) - 1, 4096),
            (len(WEIGHTS), 1),
        ):
            assert len(os.pread(file, wanted, start)) == min(wanted, len(WEIGHTS) - start)
    finally:
        os.close(file)


def test_readers_can_lock_and_one_lock_keeps_the_other_out(mounted: Server) -> None:
    with (mounted.path / "config.json").open("rb") as file, (mounted.path / "config.json").open("rb") as other:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert error_of(fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB) == "EAGAIN"


def test_nothing_can_be_written(mounted: Server) -> None:
    assert error_of((mounted.path / "config.json").open, "r+b") == "EROFS"
    assert error_of((mounted.path / "new").open, "wb") == "EROFS"
    assert error_of((mounted.path / "config.json").unlink) == "EROFS"
    assert error_of((mounted.path / "config.json").chmod, 0o777) == "EROFS"
    assert error_of((mounted.path / "new").mkdir) == "EROFS"


def test_what_is_not_there_is_not_there(mounted: Server) -> None:
    assert error_of((mounted.path / "nothing").stat) == "ENOENT"
    assert error_of((mounted.path / "config.json" / "name").stat) == "ENOTDIR"
    assert error_of((mounted.path / "sub").read_bytes) == "EISDIR"


def test_attributes_of_users_are_not_supported_and_asked_for_once(mounted: Server) -> None:
    for path in (mounted.path / "config.json", mounted.path / "sub", mounted.path / "config.json"):
        assert error_of(os.getxattr, path, "user.mkfs") == "ENOTSUP"
        assert error_of(os.listxattr, path) == "ENOTSUP"
    assert mounted.ask()["xattr_requests"] == 1


def test_a_second_read_never_leaves_the_kernel(mounted: Server) -> None:
    first = cat(mounted.path / "weights.bin").stdout
    before = mounted.ask()
    assert cat(mounted.path / "weights.bin").stdout == first
    after = mounted.ask()
    assert after["opens"] == before["opens"] + 1
    assert (after["reads_now"], after["reads_waited"]) == (before["reads_now"], before["reads_waited"])


def test_damaged_bytes_are_an_error_for_the_reader_and_a_line_in_the_log(mounted: Server) -> None:
    for _ in range(2):
        assert error_of((mounted.path / "damaged.bin").read_bytes) == "EIO"
    assert mounted.log.read_text().count("WARNING mkfs.fuse.operations a reader gets EIO: content does not match") == 1


def test_damaged_bytes_in_a_mapping_end_their_reader_and_nobody_else(mounted: Server) -> None:
    code = "import mmap, sys; file = open(sys.argv[1], 'rb'); mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[0]"
    reader = subprocess.run([sys.executable, "-c", code, mounted.path / "damaged.bin"], check=False, timeout=PATIENCE_SECONDS)
    assert reader.returncode == -signal.SIGBUS
    assert (mounted.path / "config.json").read_bytes() == CONFIG


def test_a_bug_is_an_error_for_the_reader_and_a_trace_in_the_log_and_the_mount_goes_on(mounted: Server) -> None:
    assert error_of((mounted.path / "buggy.bin").read_bytes) == "EIO"
    assert "ZeroDivisionError: a bug" in mounted.log.read_text()
    assert (mounted.path / "config.json").read_bytes() == CONFIG


def test_the_kernel_granted_room_for_many_slow_reads_and_large_requests(mounted: Server) -> None:
    assert mounted.granted["max_background"] >= 512
    assert mounted.granted["congestion_threshold"] >= 384
    assert mounted.granted["read_ahead_kib"] >= 1024
    assert int(Path(f"/sys/class/bdi/{mounted.granted['device']}/read_ahead_kb").read_text()) >= 1024


def test_the_control_files_are_not_left_mounted(mounted: Server) -> None:
    assert mounted.granted["max_background"] is not None
    assert "fusectl" not in Path(f"/proc/{mounted.process.pid}/mounts").read_text()


def test_two_hundred_readers_of_a_slow_layer_hold_up_nobody_else(tmp_path: Path) -> None:
    with served(tmp_path / "model") as server:
        file = os.open(server.path / "slow.bin", os.O_RDONLY)
        got: list[bytes] = []
        step = SLOW_BYTES // 200
        readers = [
            threading.Thread(target=lambda offset: got.append(os.pread(file, 1, offset)), args=(number * step,), daemon=True)
            for number in range(200)
        ]
        for reader in readers:
            reader.start()
        server.ask("besieged 200")
        assert not got
        assert cat(server.path / "weights.bin").stdout == WEIGHTS
        assert cat(server.path / "sub" / "run.sh").stdout == b"#!"
        listing = subprocess.run(["ls", "-lR", server.path], capture_output=True, check=True, timeout=PATIENCE_SECONDS)
        assert b"weights.bin" in listing.stdout
        server.ask("open")
        for reader in readers:
            reader.join(PATIENCE_SECONDS)
        os.close(file)
        assert got == [b"\0"] * 200


def test_a_reader_that_waits_can_be_killed(mounted: Server) -> None:
    reader = subprocess.Popen(["cat", mounted.path / "slow.bin"], stdout=subprocess.DEVNULL)
    mounted.ask("besieged 1")
    reader.kill()
    assert reader.wait(PATIENCE_SECONDS) == -9


def test_others_read_a_shared_mount(open_place: Path) -> None:
    with served(open_place / "model", shared=True) as server:
        assert cat(server.path / "weights.bin", user=NOBODY).stdout == WEIGHTS
        assert cat(server.path / "sub" / "private" / "key.txt", user=NOBODY).stdout == b"key"


def test_others_are_kept_out_of_a_mount_that_is_not_shared(open_place: Path) -> None:
    with served(open_place / "model") as server:
        refused = cat(server.path / "config.json", user=NOBODY)
        assert (refused.returncode, refused.stdout) == (1, b"")
        assert b"Permission denied" in refused.stderr


def test_a_umask_narrows_a_shared_mount(open_place: Path) -> None:
    with served(open_place / "model", shared=True, umask=0o077) as server:
        assert b"Permission denied" in cat(server.path / "config.json", user=NOBODY).stderr
        assert cat(server.path / "config.json").stdout == CONFIG


def test_a_directory_of_thousands_is_listed_in_full(tmp_path: Path) -> None:
    with served(tmp_path / "model", files=3000) as server:
        assert sorted(path.name for path in (server.path / "many").iterdir()) == [f"{number:06d}" for number in range(3000)]


def test_a_request_that_was_withdrawn_does_not_stop_the_process(tmp_path: Path) -> None:
    with served(tmp_path / "model", spurious=20) as server:
        server.ask()
        assert cat(server.path / "config.json").stdout == CONFIG
