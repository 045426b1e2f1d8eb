"""Which directory becomes the cache, and which is refused, and with what words."""

import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from mkfs.cache.layout import LAYERS, Layout
from mkfs.cache.mounts import type_above, type_of_mount
from mkfs.cache.store import Cache
from mkfs.errors import BadDigest, CacheUnusable
from mkfs.oci.digest import Digest
from tests.cache.disks import silent_mount
from tests.cache.material import MIXED, names

PARTS = ["documents", "grants", "indexes", "layers", "locks", "partial", "resolutions", "staging"]
ALL = ["CACHEDIR.TAG", *PARTS, "version"]


def refused(root: Path, words: str) -> CacheUnusable:
    with pytest.raises(CacheUnusable, match=words) as caught:
        Cache.open(root)
    assert caught.value.where == str(root)
    assert "--cache-dir" in caught.value.hint
    assert len(caught.value.lines()) == 3
    return caught.value


def modes(root: Path) -> set[tuple[str, int]]:
    return {("directory" if path.is_dir() else "file", stat.S_IMODE(path.lstat().st_mode)) for path in [root, *root.rglob("*")]}


def test_a_missing_directory_is_made_with_its_parents_and_is_private(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "cache"
    before = os.umask(0)
    try:
        cache = Cache.open(root, min_free_ratio=0)
        MIXED.publish(cache)
    finally:
        os.umask(before)
    assert modes(root) == {("directory", 0o700), ("file", 0o600)}
    assert (root / "version").read_bytes() == b"mkfs cache 2\n"
    assert (root / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")


def test_an_empty_directory_becomes_private_and_the_cache(root: Path) -> None:
    root.mkdir(mode=0o755)
    Cache.open(root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert names(root) == ALL


def test_a_fresh_file_system_of_its_own_will_do(root: Path) -> None:
    (root / "lost+found").mkdir(parents=True)
    Cache.open(root)
    assert (root / "version").exists()


def test_a_directory_of_somebody_elses_files_is_refused_and_left_alone(root: Path) -> None:
    root.mkdir(mode=0o755)
    (root / "thesis.tex").touch()
    refused(root, r"holds no cache, but 'thesis\.tex'")
    assert names(root) == ["thesis.tex"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_directory_that_others_can_write_is_refused(root: Path, mode: int) -> None:
    Cache.open(root).close()
    root.chmod(mode)
    refused(root, f"can be written by others .got mode {mode:04o}, expected 0700")


@pytest.mark.parametrize("name", PARTS)
def test_so_is_one_with_a_part_that_others_can_write(root: Path, name: str) -> None:
    Cache.open(root).close()
    (root / name).chmod(0o777)
    with pytest.raises(CacheUnusable, match="can be written by others"):
        Cache.open(root)


def test_a_symbolic_link_is_refused_wherever_it_leads(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    Cache.open(target).close()
    root.symlink_to(target)
    refused(root, "is a symbolic link")
    root.unlink()
    root.symlink_to(tmp_path / "nowhere")
    refused(root, "is a symbolic link")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", PARTS)
def test_so_is_a_link_in_the_place_of_one_of_its_parts(root: Path, tmp_path: Path, name: str) -> None:
    Cache.open(root).close()
    (root / name).rename(tmp_path / name)
    (root / name).symlink_to(tmp_path / name)
    refused(root, "cannot be used")


def test_a_file_is_refused(root: Path) -> None:
    root.touch()
    refused(root, "cannot be used: Not a directory")
    refused(root / "below", "cannot be used")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory away")
def test_another_users_directory_is_refused(root: Path) -> None:
    Cache.open(root).close()
    os.chown(root, 12345, 12345)
    refused(root, "belongs to another user .got uid 12345, expected 0")


@pytest.mark.parametrize("line", [b"mkfs cache 3\n", b"mkfs cache 0\n", b"mkfs cache 2", b"mkfs cache 2\n\n", b"\xff" * 100_000])
def test_another_version_is_refused_and_left_alone(root: Path, line: bytes) -> None:
    MIXED.publish(Cache.open(root, min_free_ratio=0))
    (root / "version").write_bytes(line)
    before = sorted(root.rglob("*"))
    error = refused(root, "of another version")
    assert len(error.what) < 200
    assert sorted(root.rglob("*")) == before


def test_a_cache_of_the_first_version_is_taken_over_with_all_it_has(root: Path) -> None:
    MIXED.publish(Cache.open(root, min_free_ratio=0))
    for name in set(PARTS) - {"layers", "documents", "staging"}:
        shutil.rmtree(root / name)
    (root / "version").write_bytes(b"mkfs cache 1\n")
    stored = Cache.open(root, min_free_ratio=0).layer(MIXED.digest)
    assert stored is not None
    assert MIXED.is_right(MIXED.whole, stored.read(MIXED.whole))
    assert names(root) == ALL
    assert (root / "version").read_bytes() == b"mkfs cache 2\n"


def test_what_stands_in_a_part_is_listed_by_digest_and_strange_names_are_left_out(root: Path) -> None:
    layout = Layout.open(root)
    assert list(layout.listed(LAYERS)) == []
    for strange in ("layers/sha256/notes", f"layers/sha256/{'A' * 64}", "layers/README", f"layers/md5/{'0' * 32}"):
        (root / strange).parent.mkdir(exist_ok=True)
        (root / strange).touch()
    (root / "layers/link").symlink_to("sha256")
    (root / "layers/sha256" / MIXED.digest.hex).mkdir()
    ((digest, place),) = layout.listed(LAYERS)
    assert (digest, place.name) == (MIXED.digest, MIXED.digest.hex)
    assert os.path.samestat(os.fstat(place.directory.fd), (root / "layers/sha256").stat())


@pytest.mark.parametrize("line", [b"", bytes(13)])
def test_a_version_that_a_power_failure_kept_from_the_disk_is_written_again(root: Path, line: bytes) -> None:
    MIXED.publish(Cache.open(root, min_free_ratio=0))
    (root / "version").write_bytes(line)
    again = Cache.open(root)
    assert (root / "version").read_bytes() == b"mkfs cache 2\n"
    assert again.layer(MIXED.digest) is not None


def test_a_start_that_was_interrupted_is_completed(root: Path) -> None:
    (root / "staging").mkdir(parents=True, mode=0o700)
    (root / "CACHEDIR.TAG").touch()
    Cache.open(root)
    assert names(root) == ALL


def test_many_may_open_a_new_cache_at_once(root: Path) -> None:
    errors: list[BaseException] = []

    def opener() -> None:
        try:
            Cache.open(root).close()
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=opener) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(root / "staging") == []


@pytest.mark.fuse
@pytest.mark.parametrize("alive", [True, False])
def test_a_place_on_a_mount_of_ours_is_refused_even_if_that_does_not_answer(root: Path, alive: bool) -> None:
    root.mkdir()
    with silent_mount(root, alive=alive):
        refused(root, "lies on a mount of ours")


def test_the_type_of_a_mount_is_found_behind_optional_fields_and_odd_paths() -> None:
    table = (
        "22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
        "90 22 0:44 / /mnt/a\\040-\\040b ro shared:7 master:2 - fuse.kitfs localhost:5000/llama ro\n"
        "9 22 0:45 / /mnt/c rw - tmpfs none rw\n"
    )
    assert [type_of_mount(table, number) for number in ("22", "90", "9", "1", "")] == ["ext4", "fuse.kitfs", "tmpfs", "", ""]


def test_a_path_lies_on_the_mount_with_the_longest_place_and_of_several_on_the_last() -> None:
    table = (
        b"22 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
        b"90 22 0:44 / /mnt/a\\040b ro shared:7 - fuse.kitfs localhost:5000/llama ro\n"
        b"91 90 0:45 / /mnt/a\\040b/deep rw - tmpfs none rw\n"
        b"92 22 0:46 / /mnt/twice ro - tmpfs none ro\n"
        b"93 92 0:47 / /mnt/twice ro - fuse.kitfs localhost:5000/llama ro\n"
        b"garbage\n"
    )
    expected = {
        b"/mnt/a b": "fuse.kitfs",
        b"/mnt/a b/x/y": "fuse.kitfs",
        b"/mnt/a b/deep/x": "tmpfs",
        b"/mnt/a bc": "ext4",
        b"/mnt": "ext4",
        b"/": "ext4",
        b"/mnt/twice/x": "fuse.kitfs",
    }
    assert {path: type_above(table, path) for path in expected} == expected


def test_a_name_is_built_from_nothing_but_a_digest(cache: Cache) -> None:
    with pytest.raises(BadDigest):
        cache.layer(Digest("sha256", "../../../etc"))
    with pytest.raises(BadDigest):
        cache.drop(Digest("..", "0" * 64))


def test_a_closed_cache_says_so(cache: Cache) -> None:
    cache.close()
    cache.close()
    with pytest.raises(CacheUnusable, match="closed"):
        cache.layer(MIXED.digest)
    with pytest.raises(CacheUnusable, match="closed"):
        cache.stage(MIXED.blob, MIXED.grid)


def test_a_cache_that_is_removed_under_us_is_absent_and_then_unusable(cache: Cache, root: Path, tmp_path: Path) -> None:
    stored = MIXED.publish(cache)
    root.rename(tmp_path / "away")
    assert cache.layer(MIXED.digest) is not None  # the directory is held, not its name
    subprocess.run(["rm", "-r", tmp_path / "away"], check=True)
    assert cache.layer(MIXED.digest) is None
    with pytest.raises(CacheUnusable):
        cache.stage(MIXED.blob, MIXED.grid)
    stored.close()
