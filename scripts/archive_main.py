"""Puts this environment's Python, its library, the packages of requirements/runtime.txt and mkfs into one relocatable archive.

    bin/kitfs                    a shell script that finds the rest beside itself
    bin/python3.11               the interpreter: it looks for its library from where it lies
    lib/lib*.so*                 every shared library that anything in here needs, but glibc's
    lib/python3.11/              the standard library, and site-packages

Machine code finds its libraries by `$ORIGIN` (ld.so(8)); paths of the machine that built it are replaced by others that mean
nothing and are as long. Compiled files carry hashes, not times (PEP 552). Names are sorted; times, owners and modes are the same
for all.
"""

import compileall
import gzip
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from mkfs import __version__

ROOT: Final = Path(__file__).resolve().parent.parent
PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
MADE_AT: Final = 315619200  # 2 January 1980, as all of our mounts have it
# What belongs to the kernel and the C library of wherever the archive is unpacked (glibc, "ld.so --list" of its own package).
_GLIBC: Final = re.compile(
    r"(?:ld-linux.*|lib(?:c|m|dl|rt|pthread|util|resolv|anl|nsl|mvec|thread_db|nss_.*|BrokenLocale))\.so\.[0-9.]+"
)
_GLIBC_VERSION: Final = re.compile(rb"GLIBC_(\d+)\.(\d+)\0")
_REQUIREMENT: Final = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_LOADED: Final = re.compile(r"=> (/\S+) \(")
# Of the standard library: what a file system has no use for, or what needs libraries that nobody else here does.
_LEFT_OUT: Final = frozenset(
    ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "site-packages", "dist-packages")
)
_MODULES_LEFT_OUT: Final = re.compile(
    r"(?:_tkinter|_test\w*|_xxtestfuzz|xxlimited\w*|_ctypes_test|_curses\w*|readline|_sqlite3|nis|ossaudiodev|_dbm|_gdbm)\."
)
PLAIN: Final = frozenset(("/usr", "/usr/local"))  # prefixes that say nothing of a machine
_NOTES_OF_PIP: Final = frozenset(("RECORD", "REQUESTED", "INSTALLER", "direct_url.json"))

LAUNCHER: Final = """\
#!/bin/sh
# kitfs from an archive: everything it needs lies beside it. PYTHON* variables of the surroundings are not heard (-I), and nothing
# is written here (-B).
here=$(dirname "$(readlink -f "$0")")
if [ -z "${SSL_CERT_FILE:-}${SSL_CERT_DIR:-}" ]; then # OpenSSL's own default is Debian's
    for each in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        [ ! -r "$each" ] || { SSL_CERT_FILE=$each; export SSL_CERT_FILE; break; }
    done
fi
exec "$here/PYTHON" -IB "$here/../lib/kitfs" "$@"
"""
# Python imports this by its name as it starts (site). Debian's looks for packages in directories of Debian's alone.
CUSTOMIZE: Final = """\
import sys

packages = f"{sys.prefix}/lib/PYTHON/site-packages"
if packages not in sys.path:
    sys.path.append(packages)
"""
ENTRY: Final = "from mkfs.cli.main import main\n\nmain()\n"


def main(directory: Path) -> None:
    """Builds it in `directory`, and says where it is and what it needs."""
    name = f"kitfs-{__version__}-linux-{platform.machine()}"
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary) / name
        _gather(top)
        libraries = _add_libraries(top)
        for path in _machine_code(top):
            _relocate(path, top / "lib")
        _forget_paths(top)
        _compile(top)
        directory.mkdir(parents=True, exist_ok=True)
        archive = directory / f"{name}.tar.gz"
        _pack(top, archive)
        needed = max(version for path in _machine_code(top) for version in _versions(path))
    print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB, {len(libraries)} libraries beside Python's own")
    print(f"needs glibc {needed[0]}.{needed[1]} or newer, and /bin/sh; nothing of Python")


def _gather(top: Path) -> None:
    library, packages = top / "lib" / PYTHON, top / "lib" / PYTHON / "site-packages"
    (top / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), top / "bin" / PYTHON)
    (top / "bin" / "kitfs").write_text(LAUNCHER.replace('PYTHON" ', f'{PYTHON}" '))
    (top / "bin" / "kitfs").chmod(0o755)
    for which in ("stdlib", "platstdlib"):
        shutil.copytree(
            sysconfig.get_path(which, vars={"base": sys.base_prefix, "platbase": sys.base_exec_prefix}),
            library,
            ignore=_unwanted,
            dirs_exist_ok=True,
        )
    (library / "sitecustomize.py").write_text(CUSTOMIZE.replace("PYTHON", PYTHON))
    (top / "lib" / "kitfs").write_text(ENTRY)
    for package in _REQUIREMENT.findall((ROOT / "requirements" / "runtime.txt").read_text()):
        for file in metadata.distribution(package).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts and file.name not in _NOTES_OF_PIP:
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), packages / file)
    shutil.copytree(ROOT / "src" / "mkfs", packages / "mkfs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", top)


def _unwanted(directory: str, names: list[str]) -> list[str]:
    """For copytree: what of the standard library stays behind."""
    dynamic = Path(directory).name == "lib-dynload"
    return [
        name
        for name in names
        if name in _LEFT_OUT
        or name == "__pycache__"
        or name.startswith("config-")
        or name.endswith((".a", ".exe"))
        or (dynamic and _MODULES_LEFT_OUT.match(name))
    ]


def _machine_code(top: Path) -> Iterator[Path]:
    for path in sorted(top.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def _add_libraries(top: Path) -> set[str]:
    """Copies what ldd(1) finds for anything in `top`, but glibc, into `top/lib`. Their names."""
    added = set[str]()
    for path in list(_machine_code(top)):
        said = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for found in map(Path, _LOADED.findall(said)):
            if found.name not in added and not _GLIBC.fullmatch(found.name):
                shutil.copy(found.resolve(), top / "lib" / found.name)
                added.add(found.name)
    return added


def _relocate(path: Path, libraries: Path) -> None:
    """Has `path` look for its libraries in `libraries`, wherever both lie."""
    origin = os.path.relpath(libraries, path.parent)
    path.chmod(0o755)
    # In this order: strip breaks what patchelf did to a program that is bound to its addresses, as Debian's python3 is.
    subprocess.run(["strip", "--strip-unneeded", path], check=True)
    subprocess.run(["patchelf", "--force-rpath", "--set-rpath", f"$ORIGIN/{origin}", path], check=True)


def _forget_paths(top: Path) -> None:
    """Replaces the prefix that Python was built for, and where packages were installed, in machine code and text alike: by a path
    of the same length, as machine code has offsets to what follows. The last name stays: a linker lets other strings share it (the
    version of Python is the end of the prefix, where that is a directory of versions).
    """
    known = [os.path.split(path) for path in {sys.base_prefix, sys.prefix, str(ROOT)} - PLAIN]
    neutral = {os.fsencode(f"{head}/{name}"): os.fsencode(f"{'/kitfs'.ljust(len(head), '/')}/{name}") for head, name in known}
    for path in sorted(top.rglob("*")):
        if path.is_file():
            before = after = path.read_bytes()
            for path_known, instead in neutral.items():
                after = after.replace(path_known, instead)
            if after != before:
                path.write_bytes(after)


def _compile(top: Path) -> None:
    """All of Python's, with paths that begin at the archive."""
    done = compileall.compile_dir(
        top / "lib", quiet=1, maxlevels=20, stripdir=str(top.parent), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
    )
    assert done, "something in here does not compile"


def _versions(path: Path) -> Iterator[tuple[int, int]]:
    for found in _GLIBC_VERSION.finditer(path.read_bytes()):
        yield int(found[1]), int(found[2])


def _pack(top: Path, archive: Path) -> None:
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for path in sorted((top, *top.rglob("*"))):
            member = tar.gettarinfo(path, str(path.relative_to(top.parent)))
            member.mtime, member.uid, member.gid, member.uname, member.gname = MADE_AT, 0, 0, "", ""
            member.mode = 0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644
            tar.addfile(member, io.BytesIO(path.read_bytes()) if path.is_file() else None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
