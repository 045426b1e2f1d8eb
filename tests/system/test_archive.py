"""The archive that scripts/archive builds, where there is nothing else: a directory with a shell, six small programs and glibc."""

import platform
import re
import shutil
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from mkfs import __version__
from mkfs.ranges import ByteRange
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.kit_parts import content_of
from tests.support.namespaces import LET_GO

ROOT = Path(__file__).resolve().parents[2]
NAME = f"kitfs-{__version__}-linux-{platform.machine()}"
PROGRAMS = ("sh", "cat", "dirname", "mv", "readlink", "sha256sum", "sort")
_SECONDS = 170
_LIBRARY = re.compile(r"(/\S+) \(0x")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once: it takes half a minute."""
    directory = tmp_path_factory.mktemp("dist")
    words = [sys.executable, ROOT / "scripts" / "archive_main.py", directory]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^needs glibc 2\.[0-9]+ or newer", done.stdout, re.MULTILINE), done.stdout
    return directory / f"{NAME}.tar.gz"


def test_it_names_nothing_of_the_machine_that_built_it(archive: Path) -> None:
    known = {sys.base_prefix, sys.prefix, str(ROOT)} - {"/usr", "/usr/local"}
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        assert [each.name for each in members] == sorted((each.name for each in members), key=Path)
        assert {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in members} == {(315619200, 0, 0, "", "")}
        assert {each.mode for each in members} == {0o644, 0o755}
        assert {each.name.partition("/")[0] for each in members} == {NAME}
        assert any(each.name.startswith(f"{NAME}/lib/libfuse3.so.") for each in members)
        for each in members:
            if each.isfile():
                data = tar.extractfile(each).read()
                assert not [word for word in known if word.encode() in data], each.name
    assert archive.read_bytes()[4:8] == bytes(4)  # gzip's time (RFC 1952)


def bare_root(directory: Path) -> Path:
    """A root directory with what a serving image has at least, and no Python."""
    for name in ("dev", "proc", "mnt/model", "opt", "tmp", "var", "usr/bin"):
        (directory / name).mkdir(parents=True)
    (directory / "bin").symlink_to("usr/bin")
    for program in PROGRAMS:
        path = Path(shutil.which(program) or "")
        shutil.copy(path.resolve(), directory / "usr/bin" / program)
        for library in _LIBRARY.findall(subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout):
            _copy(Path(library), directory)
    for name in ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2"):  # glibc's others
        _copy(Path(f"/lib/{platform.machine()}-linux-gnu", name), directory)
    return directory


def _copy(library: Path, directory: Path) -> None:
    target = directory / library.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(library, target)


PREPARE = """
for each in null urandom fuse; do touch "$1/dev/$each"; mount --bind "/dev/$each" "$1/dev/$each"; done
mount -t proc none "$1/proc"
exec chroot "$1" /bin/sh -euc "$2" sh "$3"
"""
USE = """
export HOME=/var MKFS_CACHE_DIR=/var/cache
use() {
    "$1" version | { read -r first; echo "$first"; cat > /dev/null; }
    "$1" ls "$2"
    "$1" mount "$2" /mnt/model
    sha256sum < /mnt/model/weights.bin
    "$1" umount /mnt/model
}
use /opt/here/bin/kitfs "$1"
mv /opt/here /var/elsewhere
use /var/elsewhere/bin/kitfs "$1"
"""


@pytest.mark.fuse
@pytest.mark.secrets("*/mkfs/testing/*planted.*")  # the module that makes them, which is shipped
def test_it_runs_from_any_directory_where_there_is_no_python(
    archive: Path, registry: MemoryRegistry, server: RegistryServer, tmp_path: Path
) -> None:
    kit = KitBuilder("carried", seed=11).model("weights.bin", 2 * MIB + 3).docs("README.md", b"# carried\n").build()
    registry.push("carried/kit", "1", kit.manifest, kit.blobs)
    root = bare_root(tmp_path / "root")
    subprocess.run(["tar", "-xzf", archive, "-C", root / "opt"], check=True)
    (root / "opt" / NAME).rename(root / "opt" / "here")
    unshare = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
    words = [*unshare, "sh", "-euc", LET_GO + PREPARE, "sh", root, USE, f"{server.host}/carried/kit:1"]
    done = subprocess.run(
        words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    body = content_of(kit, "weights.bin")
    digest = sha256(body.read(ByteRange(0, body.size_bytes))).hexdigest()
    once = [f"kitfs (mkfs) {__version__}", "Kitfile", "README.md", "weights.bin", f"{digest}  -"]
    assert done.stdout.splitlines() == [*once, *once], done
