"""Three knobs of a mount that only the kernel's own files turn: how many requests may wait, how much is read ahead, and the
emergency brake.

Theory. `max_background` bounds the read-ahead requests of a whole mount that are on their way. Its default of 12 is soon taken by
one slow layer, and then every other reader of the mount waits as well (measured). `read_ahead_kb` is the size of one request, and
requests cost more than their bytes: in 1 MiB a mount reads two to four times as fast as in 128 KiB, the default (measured: 0.2 to
1.7 GB/s against 1.2 to 3.4, by machine load). libfuse and pyfuse3 offer neither, so both are written where the kernel shows them,
once per mount, after INIT was answered (the answer sets them, too).
"""

import ctypes
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, final

log = logging.getLogger(__name__)

# Hundreds of readers can be stuck on one slow layer, each with one request on its way. Below this a person is told.
MAX_BACKGROUND: Final = 512
# Above it the kernel gives up read-ahead (not reads): speed goes before answers do. Three quarters, as libfuse has it.
CONGESTION_THRESHOLD: Final = MAX_BACKGROUND * 3 // 4
READ_AHEAD_KIB: Final = 1024  # the kernel's limit for one request (256 pages) unless fs.fuse.max_pages_limit was raised

_FUSECTL: Final = Path("/sys/fs/fuse/connections")
_BDI: Final = Path("/sys/class/bdi")
# The mount API of Linux 5.2: the same system call numbers on every architecture.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_FSMOUNT_CLOEXEC: Final = 1


@final
@dataclass(frozen=True, slots=True)
class Tuning:
    """What is in effect, for `status` and `doctor`. None: the kernel does not say."""

    max_background: int | None
    congestion_threshold: int | None
    read_ahead_kib: int | None


def tune(device: str) -> Tuning:
    """Raises the first two as far as this user may, for the mount `device` (`major:minor` of the mount table). Says what is in
    effect.

    Never fails. Logs a warning where `max_background` stays below `MAX_BACKGROUND`.
    """
    directory = _open_control(device.partition(":")[2])
    background = congestion = None
    if directory is not None:
        try:
            background = _raise(directory, "max_background", MAX_BACKGROUND)
            congestion = _raise(directory, "congestion_threshold", CONGESTION_THRESHOLD)
        finally:
            os.close(directory)
    if background is None or background < MAX_BACKGROUND:
        log.warning(
            "one slow layer can hold up every reader of this mount: max_background is %s (wanted %d). Mount as root, or mount"
            " fusectl at %s and raise fuse.max_user_bgreq",
            "at the kernel's default" if background is None else background,
            MAX_BACKGROUND,
            _FUSECTL,
        )
    return Tuning(background, congestion, _raise_read_ahead(_BDI / device))


def abort(device: str) -> bool:
    """Cuts the FUSE connection of the mount `device`: who waits for it gets ECONNABORTED at once, whatever state the process behind
    it is in, which finds its connection gone. False where this user can't (see `_open_control`).
    """
    directory = _open_control(device.partition(":")[2])
    if directory is None:
        return False
    try:
        _write(directory, "abort", "1")
    except OSError as error:
        log.debug("connection of %s is not aborted: %s", device, error)
        return False
    finally:
        os.close(directory)
    return True


def _open_control(connection: str) -> int | None:
    """The directory of one FUSE connection, or None where this user can't have it. Its files belong to who mounted."""
    try:
        return os.open(_FUSECTL / connection, os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        pass
    try:
        private = _mount_fusectl()
    except OSError as error:
        log.debug("no fusectl of our own: %s", error)
        return None
    try:
        return os.open(connection, os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=private)
    except OSError as error:
        log.debug("connection %s is not in fusectl: %s", connection, error)
        return None
    finally:
        os.close(private)


def _mount_fusectl() -> int:
    """A fusectl mounted nowhere: no path leads to it, and it ends with its last descriptor. Raises `OSError`, for all but root."""
    context = _system_call(_FSOPEN, b"fusectl", _FSOPEN_CLOEXEC)
    try:
        _system_call(_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _system_call(_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _raise(directory: int, name: str, wanted: int) -> int | None:
    """Raises a number to `wanted`, or as near as its limit for this user lets us come by halves. The number in effect, or None."""
    value = wanted
    try:
        while value > (now := int(_read(directory, name))):
            try:
                _write(directory, name, str(value))
            except OSError as error:  # EINVAL: beyond fuse.max_user_bgreq or max_user_congthresh, which bind all but root
                log.debug("%s will not be %d: %s", name, value, error)
                value //= 2
        return now
    except OSError as error:
        log.debug("cannot set %s: %s", name, error)
        return None


def _read(directory: int, name: str) -> str:
    with open(name, opener=partial(os.open, dir_fd=directory)) as file:
        return file.read()


def _write(directory: int, name: str, text: str) -> None:
    with open(name, "w", opener=partial(os.open, dir_fd=directory)) as file:
        file.write(text)


def _raise_read_ahead(device: Path) -> int | None:
    file = device / "read_ahead_kb"
    try:
        if int(file.read_text()) < READ_AHEAD_KIB:
            file.write_text(str(READ_AHEAD_KIB))
    except OSError as error:  # not root, or /sys is read-only: slower, nothing else
        log.debug("read_ahead_kb stays as it is: %s", error)
    try:
        return int(file.read_text())
    except OSError:
        return None
