"""FUSE's device, helper, libraries and limits."""

import ctypes
import importlib
import os
import re
import shutil
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from mkfs.fuse.kernel import HELPER
from mkfs.fuse.mountinfo import parse_mountinfo
from mkfs.service.doctor.gathering.confinement import capable, in_container, own_user_namespace
from mkfs.service.doctor.judging.device import Background, Device, Helper, Libraries
from mkfs.service.doctor.situation import Situation

_DEVICE: Final = "/dev/fuse"
_CONNECTIONS: Final = "/sys/fs/fuse/connections"
_PARAMETERS: Final = "/sys/module/fuse/parameters"
_ALLOWED: Final = re.compile(r"^\s*user_allow_other\s*$", re.MULTILINE)  # libfuse util/fusermount.c: a word alone on its line
_LIBFUSE: Final = ("libfuse3.so.4", "libfuse3.so.3")  # since libfuse 3.17, as in Debian 13, and before
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")


def device(situation: Situation) -> Device:
    """Opens it, and closes it again: nothing is mounted by that."""
    path = situation.machine.path(_DEVICE)
    there, is_device, trouble = True, False, ""
    try:
        is_device = stat.S_ISCHR(path.stat().st_mode)
        if is_device:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        there = False
    except OSError as error:
        trouble = (error.strerror or type(error).__name__).lower()
        is_device = True
    return Device(sys.platform == "linux", there, is_device, trouble, in_container(situation))


def helper(situation: Situation) -> Helper:
    """Looks it up as a shell would, and asks it for its version."""
    found = shutil.which(HELPER)
    if found is None:
        return Helper("", setuid_root=False, honoured=False, version="", root=situation.root)
    status = Path(found).stat()
    honoured = not os.statvfs(found).f_flag & os.ST_NOSUID
    setuid_root = bool(status.st_mode & stat.S_ISUID) and status.st_uid == 0
    return Helper(found, setuid_root=setuid_root, honoured=honoured, version=_version(found), root=situation.root)


def allow_other(situation: Situation) -> tuple[bool, bool | None]:
    """Whether we are root, and what fuse.conf says."""
    text = situation.machine.text("/etc/fuse.conf")
    return situation.root, None if text is None else _ALLOWED.search(text) is not None


def libraries(_situation: Situation) -> Libraries:
    """Imports pyfuse3 for it: only then is it known whether its libfuse is there."""
    try:
        version = metadata.version("pyfuse3")
    except metadata.PackageNotFoundError:
        return Libraries("", "", "")
    try:
        importlib.import_module("pyfuse3")
    except ImportError as error:
        return Libraries(version, "", str(error))
    return Libraries(version, _libfuse(), "")


def background(situation: Situation) -> Background:
    """The limits of others than root: Documentation/filesystems/fuse/fuse.rst, fs/fuse/inode.c."""
    machine = situation.machine
    return Background(
        fusectl=machine.exists(_CONNECTIONS) and _is_fusectl(machine.text("/proc/self/mountinfo") or ""),
        max_background=machine.number(f"{_PARAMETERS}/max_user_bgreq"),
        max_congestion=machine.number(f"{_PARAMETERS}/max_user_congthresh"),
        privileged=situation.root and capable(situation) and not own_user_namespace(situation),
    )


def _is_fusectl(mountinfo: str) -> bool:
    place = _CONNECTIONS.encode()
    return any(
        each.place == place and each.file_system == "fusectl"
        for each in parse_mountinfo(mountinfo.encode("utf-8", "surrogateescape"))
    )


def _version(path: str) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, errors="replace", check=False)
    except OSError:
        return ""
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else ""


def _libfuse() -> str:
    for name in _LIBFUSE:
        try:
            library = ctypes.CDLL(name)
            library.fuse_pkgversion.restype = ctypes.c_char_p
            said = library.fuse_pkgversion()
        except (OSError, AttributeError):
            continue
        return said.decode("ascii", "replace") if isinstance(said, bytes) else ""
    return ""
