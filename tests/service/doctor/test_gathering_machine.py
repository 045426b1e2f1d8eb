"""Facts of a machine: from trees of files as machines have them, and from this one, in namespaces of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mkfs.service.doctor.gathering import confinement, device, kernel, limits, surroundings
from mkfs.service.doctor.judging.confinement import AppArmor, Container, Privileges, Selinux, UserNamespaces
from mkfs.service.doctor.judging.device import Background
from mkfs.service.doctor.judging.kernel import ReadAhead, Requests, Timeouts
from mkfs.service.doctor.judging.limits import Memory
from mkfs.service.doctor.situation import Machine, Situation
from mkfs.service.settings import SourceSettings
from tests.support.mounting import SOURCE
from tests.support.namespaces import as_nobody, with_fuse_for, without_fuse, without_right_to_mount

ROOT_STATUS = "Name:\tpython\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n"
DOCKER_STATUS = "Name:\tpython\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"
OWN = "         0          0 4294967295\n"
REMAPPED = "         0     100000      65536\n"
FUSECTL = "40 23 0:37 / /sys/fs/fuse/connections rw,nosuid shared:17 - fusectl fusectl rw\n"
FUSECTL_PLACE = "/sys/fs/fuse/connections"
PARAMETERS = {
    "/sys/module/fuse/parameters/max_user_bgreq": "47123\n",
    "/sys/module/fuse/parameters/max_user_congthresh": "47123\n",
    "/sys/fs/fuse/connections/60/waiting": "0\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> "Machines":
    return Machines(tmp_path / "root")


class Machines:
    """Makes situations on machines with these files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, files: Mapping[str, str] = {}, uid: int = 1000, **variables: str) -> Situation:
        self.root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = self.root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Situation(
            source=SourceSettings(reference="", cache_dir="/var/cache/mkfs"),
            log_dir="/var/log/mkfs",
            runtime_dir="/run/mkfs",
            read_timeout_seconds=300.0,
            uid=uid,
            variables=variables,
            machine=Machine(self.root),
        )


def test_a_machine_without_proc_and_sys_tells_nothing_and_breaks_nothing(machine: Machines) -> None:
    bare = machine()
    assert not device.device(bare).there
    assert device.allow_other(bare) == (False, None)
    assert device.background(bare) == Background(False, None, None, privileged=False)
    assert kernel.timeouts(bare) == Timeouts(None, None, 300.0)
    assert kernel.requests(bare).pages_limit is None
    assert kernel.read_ahead(bare) == ReadAhead(root=False, writable=False)
    assert confinement.container(bare) == Container("", kubernetes=False, shares_mounts=False)
    assert confinement.privileges(bare) == Privileges(False, None, None, in_container=False)
    assert confinement.seccomp(bare).mode is None
    assert confinement.apparmor(bare) == AppArmor("", guards_helper=False, root=False)
    assert confinement.selinux(bare) == Selinux(None, "", None)
    assert confinement.user_namespaces(bare) == UserNamespaces(own=False, restricted=False)
    assert limits.memory(bare) == Memory(None, "")
    assert not surroundings.manager(bare).systemd


def test_what_stands_in_the_place_of_the_device(machine: Machines) -> None:
    assert not device.device(machine()).there
    found = device.device(machine({"/dev/fuse": ""}))
    assert (found.there, found.is_device) == (True, False)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [("user_allow_other\n", True), ("# user_allow_other\n", False), ("mount_max = 9\n  user_allow_other  \n", True), ("", False)],
)
def test_fuse_conf_is_read_as_the_helper_reads_it(machine: Machines, text: str, allowed: bool) -> None:
    assert device.allow_other(machine({"/etc/fuse.conf": text})) == (False, allowed)


def test_limits_of_background_requests(machine: Machines) -> None:
    files = {**PARAMETERS, "/proc/self/mountinfo": FUSECTL, "/proc/self/status": ROOT_STATUS, "/proc/self/uid_map": OWN}
    assert device.background(machine(files)) == Background(True, 47123, 47123, privileged=False)
    assert device.background(machine(files, uid=0)).privileged
    assert not device.background(machine({**files, "/proc/self/uid_map": REMAPPED}, uid=0)).privileged
    assert not device.background(machine({**files, "/proc/self/status": DOCKER_STATUS}, uid=0)).privileged
    for other in ("1 1 0:1 / / rw - ext4 a rw\n", FUSECTL.replace("fusectl", "tmpfs")):
        assert not device.background(machine({**files, "/proc/self/mountinfo": other})).fusectl


def test_numbers_of_the_kernel(machine: Machines) -> None:
    files = {"default_request_timeout": "60\n", "max_request_timeout": "90\n", "max_pages_limit": "4096\n"}
    found = machine({f"/proc/sys/fs/fuse/{name}": text for name, text in files.items()} | {"/sys/class/bdi/0:1/x": ""}, uid=0)
    assert kernel.timeouts(found) == Timeouts(60, 90, 300.0)
    assert kernel.requests(found) == Requests(os.uname().release, 4096)
    assert kernel.read_ahead(found) == ReadAhead(root=True, writable=True)


@pytest.mark.parametrize(
    ("files", "variables", "kind"),
    [
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"/proc/self/cgroup": "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-1.scope\n"}, {}, "kubepods"),
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/proc/self/cgroup": "0::/system.slice/kitfs.service\n"}, {}, ""),
    ],
)
def test_a_container_is_known_by_its_marks(machine: Machines, files: dict[str, str], variables: dict[str, str], kind: str) -> None:
    found = confinement.container(machine(files, **variables))
    assert (found.kind, found.kubernetes) == (kind, "KUBERNETES_SERVICE_HOST" in variables)


@pytest.mark.parametrize(
    ("mountinfo", "shared"),
    [
        ("10 9 8:1 / /models rw,relatime shared:5 - ext4 /dev/a rw\n", True),
        ("10 9 8:1 / /models rw,relatime master:5 - ext4 /dev/a rw\n", False),
        ("10 9 0:5 / /dev/shm rw shared:5 - tmpfs tmpfs rw\n", False),
        ("nonsense\n", False),
    ],
)
def test_a_volume_that_propagates_is_known(machine: Machines, mountinfo: str, shared: bool) -> None:
    assert confinement.container(machine({"/proc/self/mountinfo": mountinfo})).shares_mounts is shared


def test_what_the_kernel_says_of_this_process(machine: Machines) -> None:
    docker = machine({"/proc/self/status": DOCKER_STATUS, "/proc/self/uid_map": REMAPPED, "/.dockerenv": ""}, uid=0)
    assert confinement.privileges(docker) == Privileges(True, False, True, in_container=True)
    assert confinement.seccomp(docker).mode == 2
    assert confinement.own_user_namespace(docker)
    own = machine({"/proc/self/status": ROOT_STATUS, "/proc/self/uid_map": OWN})
    assert confinement.privileges(own).sys_admin
    assert not confinement.user_namespaces(own).own
    assert confinement.user_namespaces(machine({"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"})).restricted


def test_profiles(machine: Machines) -> None:
    files = {"/proc/self/attr/apparmor/current": "docker-default (enforce)\n", "/etc/apparmor.d/fusermount3": "profile"}
    assert confinement.apparmor(machine(files)) == AppArmor("docker-default (enforce)", guards_helper=True, root=False)
    assert not confinement.apparmor(machine({"/etc/apparmor.d/disable/fusermount3": ""})).guards_helper


def test_the_older_file_of_apparmor(machine: Machines) -> None:
    files = {"/proc/self/attr/current": "unconfined\n", "/sys/module/apparmor/parameters/enabled": "Y\n"}
    assert confinement.apparmor(machine(files)).profile == "unconfined"


def test_selinux(machine: Machines) -> None:
    files = {
        "/sys/fs/selinux/enforce": "1",
        "/sys/fs/selinux/booleans/virt_sandbox_use_fusefs": "0 0",
        "/proc/self/attr/current": "system_u:system_r:container_t:s0\0",
    }
    assert confinement.selinux(machine(files)) == Selinux(True, "system_u:system_r:container_t:s0", False)
    assert confinement.apparmor(machine(files)).profile == ""
    assert confinement.selinux(machine({"/sys/fs/selinux/enforce": "0"})).enforcing is False


def test_the_file_that_limits_memory_is_named(machine: Machines) -> None:
    files = {
        "/proc/meminfo": "MemTotal:       24684084 kB\n",
        "/proc/self/cgroup": "0::/\n",
        "/proc/self/mountinfo": "1554 1553 0:27 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
        "/sys/fs/cgroup/memory.max": "536870912\n",
        "/sys/fs/cgroup/memory.high": "268435456\n",
    }
    assert limits.memory(machine(files)) == Memory(268435456, "/sys/fs/cgroup/memory.high")
    assert limits.memory(machine({"/sys/fs/cgroup/memory.high": "max", "/sys/fs/cgroup/memory.max": "max"})) == Memory(
        24684084 * 1024, "the machine's memory"
    )


def test_systemd(machine: Machines) -> None:
    files = {
        "/run/systemd/system/x": "",
        "/run/user/0/x": "",
        "/usr/lib/systemd/libsystemd-shared-252.so": "",
        "/var/lib/systemd/linger/root": "",
    }
    found = surroundings.manager(machine(files, uid=0, INVOCATION_ID="1"))
    assert (found.systemd, found.is_unit, found.lingers) == ("252", True, True)
    (machine.root / "var/lib/systemd/linger/root").unlink()
    assert surroundings.manager(machine(uid=0)).lingers is False


PROGRAM = """
import os, sys
from mkfs.service.doctor.checks import CHECKS
from mkfs.service.doctor.situation import Situation
from mkfs.service.settings import SourceSettings
from mkfs.service.doctor.gathering import confinement, device, kernel
situation = Situation(source=SourceSettings(reference="", cache_dir=os.getcwd()), log_dir="/", runtime_dir="/",
                      read_timeout_seconds=300.0, uid=os.geteuid())
for name in sys.argv[1:]:
    check = next(check for check in CHECKS if check.id == name)
    finding = check.judge(check.gather(situation))
    print(finding.status.value, finding.text)
"""


def really(around: tuple[str, ...], *checks: str) -> list[str]:
    """What real checks say of this machine within `around`."""
    done = subprocess.run(
        [*around, sys.executable, "-P", "-c", PROGRAM, *checks],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout.splitlines()


@pytest.mark.fuse
def test_this_machine_can_mount() -> None:
    assert really((), "fuse.device", "confinement.capabilities", "confinement.no_new_privs") == [
        "ok /dev/fuse opens",
        "ok CAP_SYS_ADMIN",
        "ok no_new_privs is not set",
    ]


@pytest.mark.fuse
def test_a_namespace_without_the_device() -> None:
    assert really(without_fuse(), "fuse.device") == ["fail there is no /dev/fuse"]


@pytest.mark.fuse
def test_a_device_that_only_root_may_open() -> None:
    assert really((*with_fuse_for(0o600), *as_nobody()), "fuse.device", "fuse.allow_other") == [
        "fail /dev/fuse cannot be opened: permission denied",
        "warn no user_allow_other in /etc/fuse.conf: only you can read what you mount",
    ]


@pytest.mark.fuse
def test_root_without_the_right_to_mount() -> None:
    assert really(without_right_to_mount(), "confinement.capabilities") == [
        "fail root without CAP_SYS_ADMIN: mount(2) will be refused"
    ]


@pytest.mark.fuse
def test_somebody_whose_programs_get_no_rights_from_setuid() -> None:
    assert really((*as_nobody(), "setpriv", "--no-new-privs"), "confinement.no_new_privs") == [
        "fail no_new_privs is set: fusermount3 gets no rights from setuid and cannot mount"
    ]


@pytest.mark.fuse
def test_root_of_a_user_namespace_is_not_the_machines() -> None:
    (said,) = really(("unshare", "--user", "--map-root-user"), "confinement.user_namespaces")
    assert said == "ok in a user namespace: our mounts are for processes in it alone"
    (background,) = really(("unshare", "--user", "--map-root-user"), "fuse.background")
    assert "fusectl of its own" not in background


@pytest.mark.fuse
def test_a_fusectl_is_found_where_it_is_mounted() -> None:
    """By somebody whom limits bind."""

    def said(script: str) -> str:
        inside = ("unshare", "-m", "sh", "-euc", f'{script}; exec "$@"', "sh")
        return really((*inside, *as_nobody()), "fuse.background")[0]

    assert said(f"umount -l {FUSECTL_PLACE} 2>/dev/null || true").startswith("warn fusectl is not mounted")
    mounted = said(f"mountpoint -q {FUSECTL_PLACE} || mount -t fusectl none {FUSECTL_PLACE}")
    assert "fusectl is not mounted" not in mounted
    assert "a mount gets max_background" in mounted


@pytest.mark.fuse
def test_a_sys_that_is_read_only() -> None:
    read_only = ("unshare", "-m", "sh", "-euc", 'mount -o remount,ro,bind /sys; exec "$@"', "sh")
    (said,) = really(read_only, "kernel.read_ahead")
    assert said.startswith("warn read_ahead_kb of a mount stays at 128 (/sys is read-only)")


SECCOMP = """
import ctypes, struct, sys, os
# A filter that answers EPERM to mount(2), as docker's does: load the number of the call, compare, refuse or allow.
number = {"x86_64": 165, "aarch64": 40}[os.uname().machine]
steps = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 0x06, 0, 0, 0x00050001, 0x06, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(steps)
program = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(program)) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


def test_a_filter_that_refuses_to_mount_is_found_out() -> None:
    assert really((sys.executable, "-c", SECCOMP), "confinement.seccomp") == [
        "fail a filter of system calls (seccomp) refuses mount(2)"
    ]
