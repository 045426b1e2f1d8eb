"""What the kernel says of this process: proc_pid_status(5), user_namespaces(7), proc_pid_attr(5)."""

import ctypes
import errno
import re
import sys
from typing import Final

from mkfs.service.doctor.judging.confinement import AppArmor, Container, Filter, Privileges, Selinux, UserNamespaces
from mkfs.service.doctor.situation import Situation

_CAP_SYS_ADMIN: Final = 21  # linux/capability.h
# A path of a control group that an engine made: /docker/…, /kubepods.slice/…, /lxc/…, …/libpod-….scope
_ENGINES: Final = re.compile(r"(docker|kubepods|containerd|libpod|crio|lxc)")
_MARKS: Final = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
# user_namespaces(7): the machine's own maps every number to itself.
_EVERY_USER: Final = ["0", "0", "4294967295"]


def container(situation: Situation) -> Container:
    """Which one, by the marks that engines leave; and whether a mount in it would be seen outside."""
    kind = container_kind(situation)
    return Container(kind, "KUBERNETES_SERVICE_HOST" in situation.variables, _shares_mounts(situation))


def privileges(situation: Situation) -> Privileges:
    """Capabilities in effect, and no_new_privs."""
    said = _status(situation)
    no_new_privs = said.get("NoNewPrivs")
    return Privileges(
        root=situation.root,
        sys_admin=_has(said.get("CapEff"), _CAP_SYS_ADMIN),
        no_new_privs=None if no_new_privs is None else no_new_privs == "1",
        in_container=in_container(situation),
    )


def seccomp(situation: Situation) -> Filter:
    """The mode, and mount(2) tried with a place that is none: a filter says EPERM before the kernel looks for it."""
    mode = _status(situation).get("Seccomp", "")
    return Filter(int(mode) if mode.isdecimal() else None, _mount_passes())


def apparmor(situation: Situation) -> AppArmor:
    """The profile that we run under; None of those files can be read where another module is in charge."""
    machine = situation.machine
    profile = machine.text("/proc/self/attr/apparmor/current")
    if profile is None and machine.text("/sys/module/apparmor/parameters/enabled") == "Y":
        profile = machine.text("/proc/self/attr/current")
    disabled = machine.exists("/etc/apparmor.d/disable/fusermount3")
    guards = bool(profile) and machine.exists("/etc/apparmor.d/fusermount3") and not disabled
    return AppArmor((profile or "").rstrip("\0\n"), guards, situation.root)


def selinux(situation: Situation) -> Selinux:
    """From selinuxfs, which is mounted wherever SELinux is."""
    machine = situation.machine
    enforcing = machine.number("/sys/fs/selinux/enforce")
    if enforcing is None:
        return Selinux(None, "", None)
    boolean = machine.text("/sys/fs/selinux/booleans/virt_sandbox_use_fusefs")
    allowed = None if boolean is None else boolean.startswith("1")
    return Selinux(bool(enforcing), (machine.text("/proc/self/attr/current") or "").rstrip("\0"), allowed)


def user_namespaces(situation: Situation) -> UserNamespaces:
    """Ours, and Ubuntu's switch for those of others than root."""
    restricted = situation.machine.number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    return UserNamespaces(own_user_namespace(situation), bool(restricted))


def in_container(situation: Situation) -> bool:
    """Whether we run in any."""
    return bool(container_kind(situation))


def container_kind(situation: Situation) -> str:
    """The name of the engine, "" on a machine of its own."""
    machine = situation.machine
    named = situation.variables.get("container", "")  # systemd's convention: systemd.io/CONTAINER_INTERFACE
    marked = next((kind for mark, kind in _MARKS.items() if machine.exists(mark)), "")
    by_group = _ENGINES.search(machine.text("/proc/self/cgroup") or "")
    pod = "kubernetes" if "KUBERNETES_SERVICE_HOST" in situation.variables else ""
    return (named or marked or (by_group[1] if by_group else "") or pod)[:40]


def capable(situation: Situation) -> bool:
    """Whether CAP_SYS_ADMIN is in effect."""
    return bool(_has(_status(situation).get("CapEff"), _CAP_SYS_ADMIN))


def own_user_namespace(situation: Situation) -> bool:
    """Whether our user namespace is not the machine's."""
    mapped = situation.machine.text("/proc/self/uid_map")
    return mapped is not None and mapped.split() != _EVERY_USER


def _status(situation: Situation) -> dict[str, str]:
    lines = (situation.machine.text("/proc/self/status") or "").splitlines()
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def _has(capabilities: str | None, number: int) -> bool | None:
    if capabilities is None:
        return None
    return bool(int(capabilities, 16) >> number & 1)


def _mount_passes() -> bool | None:
    """Path lookup comes before the kernel asks for rights (fs/namespace.c, do_mount), so without a filter it is ENOENT."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount(b"none", b"", b"fuse", 0, None)
    return ctypes.get_errno() == errno.ENOENT


def _shares_mounts(situation: Situation) -> bool:
    """Whether a mount is shared (proc_pid_mountinfo(5), optional fields), but for those that every container has of its own."""
    for line in (situation.machine.text("/proc/self/mountinfo") or "").splitlines():
        fields = line.partition(" - ")[0].split(" ")
        place = fields[4] if len(fields) > 4 else "/"
        if place.startswith(("/proc", "/sys", "/dev")):
            continue
        if any(field.startswith("shared:") for field in fields[6:]):
            return True
    return False
