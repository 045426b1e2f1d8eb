"""FUSE itself: the device, the helper, the libraries, and how many requests of a mount may wait."""

from typing import Final, final

from msgspec import Struct

from mkfs.errors import FuseUnavailable
from mkfs.fuse.connection import CONGESTION_THRESHOLD, MAX_BACKGROUND
from mkfs.fuse.kernel import HELPER
from mkfs.service.doctor.finding import Finding, fail, ok, warn

_IN_CONTAINER: Final = "start the container with: --device /dev/fuse --cap-add SYS_ADMIN"
_INSTALL: Final = "apt install fuse3"


@final
class Device(Struct, frozen=True):
    """/dev/fuse. `trouble`: why it cannot be opened, "" if it can."""

    linux: bool
    there: bool
    is_device: bool
    trouble: str
    in_container: bool


@final
class Helper(Struct, frozen=True):
    """fusermount3. `path` is "" where it is not found; `honoured`: its file system lets setuid count."""

    path: str
    setuid_root: bool
    honoured: bool
    version: str
    root: bool


@final
class Libraries(Struct, frozen=True):
    """Versions, "" where there is none. `trouble`: why pyfuse3 cannot be imported though it is installed."""

    pyfuse3: str
    libfuse: str
    trouble: str


@final
class Background(Struct, frozen=True):
    """fusectl, and the limits of who is not root. None: the kernel does not say."""

    fusectl: bool
    max_background: int | None
    max_congestion: int | None
    privileged: bool  # root of the machine, whom no limit binds, and who may mount a fusectl of its own


def judge_device(facts: Device) -> Finding:
    """Whether a file system can be served at all."""
    if not facts.linux:
        return fail(FuseUnavailable, "mounting needs Linux", "ls, inspect, verify, warmup and index work here")
    if not facts.there:
        return fail(FuseUnavailable, "there is no /dev/fuse", _IN_CONTAINER if facts.in_container else "modprobe fuse")
    if not facts.is_device:
        return fail(FuseUnavailable, "/dev/fuse is no device", "rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229")
    if facts.trouble:
        return fail(FuseUnavailable, f"/dev/fuse cannot be opened: {facts.trouble}", _remedy(facts))
    return ok("/dev/fuse opens")


def _remedy(facts: Device) -> str:
    """By the kernel's word: EACCES is the file's mode, EPERM a container's control group, ENODEV a module that is not there."""
    if facts.trouble == "no such device":
        return "modprobe fuse"
    if facts.trouble == "operation not permitted" and facts.in_container:
        return _IN_CONTAINER
    return "chmod 666 /dev/fuse"


def judge_helper(facts: Helper) -> Finding:
    """Whether somebody who is not root can mount."""
    name = f"{facts.path} {facts.version}".strip()
    if facts.root:
        return ok(f"{name}; root needs none" if facts.path else f"{HELPER} is not installed; root needs none")
    if not facts.path:
        return fail(FuseUnavailable, f"{HELPER} is not installed; only root could mount", _INSTALL)
    if not facts.setuid_root:
        remedy = f"chown root {facts.path} && chmod u+s {facts.path}"
        return fail(FuseUnavailable, f"{name} is not setuid root: it cannot mount for us", remedy)
    if not facts.honoured:
        text = f"{name} lies on a file system mounted nosuid: it cannot mount for us"
        return fail(FuseUnavailable, text, f"mount that file system without nosuid, or install {HELPER} elsewhere: {_INSTALL}")
    return ok(f"{name}, setuid root")


def judge_allow_other(facts: tuple[bool, bool | None]) -> Finding:
    """Whether other users may read our mounts: whether we are root, and whether fuse.conf has the line (None: no such file)."""
    root, allowed = facts
    if root:
        return ok("root may let other users read; that is the default")
    if allowed:
        return ok("other users may be let in (user_allow_other)")
    where = "/etc/fuse.conf does not exist" if allowed is None else "no user_allow_other in /etc/fuse.conf"
    return warn(f"{where}: only you can read what you mount", "echo user_allow_other | sudo tee -a /etc/fuse.conf")


def judge_libraries(facts: Libraries) -> Finding:
    """pyfuse3 and the libfuse below it."""
    if not facts.pyfuse3:
        remedy = "apt install libfuse3-dev pkg-config gcc && pip install pyfuse3"
        return fail(FuseUnavailable, "pyfuse3 is not installed", remedy)
    if facts.trouble:
        return fail(FuseUnavailable, f"pyfuse3 {facts.pyfuse3} cannot be imported: {facts.trouble}", "apt install libfuse3-dev")
    return ok(f"pyfuse3 {facts.pyfuse3}, libfuse {facts.libfuse or 'of unknown version'}")


def granted(wanted: int, limit: int | None) -> int:
    """What `fuse.connection` gets of `wanted`: halves of it until the limit lets it through."""
    while limit is not None and wanted > limit and wanted > 1:
        wanted //= 2
    return wanted


def judge_background(facts: Background) -> Finding:
    """How many read-ahead requests of a mount may be under way, before one slow layer holds up all of its readers."""
    if facts.privileged:
        how = "" if facts.fusectl else ", through a fusectl of its own"
        return ok(f"a mount gets max_background {MAX_BACKGROUND}, congestion threshold {CONGESTION_THRESHOLD}{how}")
    slow = "one slow layer can hold up every reader of a mount"
    if not facts.fusectl:
        text = f"fusectl is not mounted, so max_background stays at the kernel's default of 12: {slow}"
        return warn(text, "sudo mount -t fusectl none /sys/fs/fuse/connections")
    background = granted(MAX_BACKGROUND, facts.max_background)
    congestion = granted(CONGESTION_THRESHOLD, facts.max_congestion)
    gets = f"a mount gets max_background {background}, congestion threshold {congestion}"
    if background < MAX_BACKGROUND or congestion < CONGESTION_THRESHOLD:
        options = f"max_user_bgreq={MAX_BACKGROUND} max_user_congthresh={CONGESTION_THRESHOLD}"
        remedy = (
            f"echo {MAX_BACKGROUND} | sudo tee /sys/module/fuse/parameters/max_user_bgreq; "
            f"echo {CONGESTION_THRESHOLD} | sudo tee /sys/module/fuse/parameters/max_user_congthresh; "
            f"for good: echo options fuse {options} | sudo tee /etc/modprobe.d/kitfs.conf"
        )
        return warn(f"{gets} (wanted {MAX_BACKGROUND} and {CONGESTION_THRESHOLD}): {slow}", remedy)
    return ok(gets)
