"""What is said of a machine: FUSE, kernel, confinement, limits. A row for each branch of each judge."""

from collections.abc import Callable
from typing import Any

import pytest

from mkfs.errors import FuseUnavailable
from mkfs.service.doctor.finding import Finding, Status
from mkfs.service.doctor.judging.confinement import (
    AppArmor,
    Container,
    Filter,
    Privileges,
    Selinux,
    UserNamespaces,
    judge_apparmor,
    judge_capabilities,
    judge_container,
    judge_no_new_privs,
    judge_seccomp,
    judge_selinux,
    judge_user_namespaces,
)
from mkfs.service.doctor.judging.device import (
    Background,
    Device,
    Helper,
    Libraries,
    granted,
    judge_allow_other,
    judge_background,
    judge_device,
    judge_helper,
    judge_libraries,
)
from mkfs.service.doctor.judging.kernel import (
    ReadAhead,
    Release,
    Requests,
    Timeouts,
    effective_timeout,
    judge_cachestat,
    judge_read_ahead,
    judge_release,
    judge_requests,
    judge_timeouts,
)
from mkfs.service.doctor.judging.limits import Memory, judge_files, judge_memory
from mkfs.units import GIB, MIB

OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
HELPER = "/usr/bin/fusermount3"
Row = tuple[Callable[[Any], Finding], object, Status, str, str]


def privileges(root: bool, sys_admin: bool | None, no_new_privs: bool | None = False, in_container: bool = False) -> Privileges:
    return Privileges(root, sys_admin, no_new_privs, in_container)


def helper(path: str = HELPER, setuid_root: bool = True, honoured: bool = True, root: bool = False) -> Helper:
    return Helper(path, setuid_root=setuid_root, honoured=honoured, version="3.14.0", root=root)


# judge, facts, status, words of the finding, words of the remedy
ROWS: list[Row] = [
    (judge_device, Device(True, True, True, "", False), OK, "opens", ""),
    (judge_device, Device(False, True, True, "", False), FAIL, "needs Linux", "ls, inspect"),
    (judge_device, Device(True, False, False, "", False), FAIL, "no /dev/fuse", "modprobe fuse"),
    (judge_device, Device(True, False, False, "", True), FAIL, "no /dev/fuse", "--device /dev/fuse"),
    (judge_device, Device(True, True, False, "", False), FAIL, "is no device", "mknod"),
    (judge_device, Device(True, True, True, "permission denied", False), FAIL, "permission denied", "chmod 666"),
    (judge_device, Device(True, True, True, "operation not permitted", True), FAIL, "not permitted", "--cap-add"),
    (judge_device, Device(True, True, True, "permission denied", True), FAIL, "permission denied", "chmod 666"),
    (judge_device, Device(True, True, True, "operation not permitted", False), FAIL, "not permitted", "chmod 666"),
    (judge_device, Device(True, True, True, "no such device", True), FAIL, "no such device", "modprobe fuse"),
    (judge_helper, helper(root=True), OK, "3.14.0; root needs none", ""),
    (judge_helper, helper(path="", root=True), OK, "not installed; root needs none", ""),
    (judge_helper, helper(), OK, "3.14.0, setuid root", ""),
    (judge_helper, helper(path=""), FAIL, "only root could mount", "apt install fuse3"),
    (judge_helper, helper(setuid_root=False), FAIL, "not setuid root", f"chmod u+s {HELPER}"),
    (judge_helper, helper(honoured=False), FAIL, "nosuid", "without nosuid"),
    (judge_allow_other, (True, None), OK, "root may", ""),
    (judge_allow_other, (False, True), OK, "user_allow_other", ""),
    (judge_allow_other, (False, False), WARN, "no user_allow_other", "tee -a /etc/fuse.conf"),
    (judge_allow_other, (False, None), WARN, "does not exist", "tee -a /etc/fuse.conf"),
    (judge_libraries, Libraries("3.4.0", "3.14.0", ""), OK, "pyfuse3 3.4.0, libfuse 3.14.0", ""),
    (judge_libraries, Libraries("3.4.0", "", ""), OK, "libfuse of unknown version", ""),
    (judge_libraries, Libraries("", "", ""), FAIL, "not installed", "pip install pyfuse3"),
    (judge_libraries, Libraries("3.4.0", "", "libfuse3.so.3: cannot open"), FAIL, "libfuse3.so.3", "apt install libfuse3-dev"),
    (judge_background, Background(True, 12, 9, privileged=True), OK, "max_background 512, congestion threshold 384", ""),
    (judge_background, Background(False, 12, 9, privileged=True), OK, "fusectl of its own", ""),
    (judge_background, Background(True, 1000, 1000, privileged=False), OK, "max_background 512, congestion threshold 384", ""),
    (judge_background, Background(True, None, None, privileged=False), OK, "max_background 512", ""),
    (judge_background, Background(True, 200, 1000, privileged=False), WARN, "max_background 128", "max_user_bgreq=512"),
    (judge_background, Background(True, 1000, 100, privileged=False), WARN, "congestion threshold 96", "max_user_congthresh=384"),
    (judge_background, Background(False, 1000, 1000, privileged=False), WARN, "default of 12", "mount -t fusectl"),
    (judge_release, Release("Linux", "6.18.44", "x86_64"), OK, "Linux 6.18.44 x86_64, large folios", ""),
    (judge_release, Release("Linux", "6.1.0-13-amd64", "x86_64"), OK, "6.1.0-13-amd64 x86_64", ""),
    (judge_release, Release("Linux", "4.19.0", "x86_64"), WARN, "128.0 KiB at most", "update to Linux"),
    (judge_release, Release("Darwin", "4.1", "arm64"), OK, "Darwin", ""),
    (judge_cachestat, "6.5.0", OK, "cachestat(2) tells", ""),
    (judge_cachestat, "6.4.9", OK, "no cachestat(2) before", ""),
    (judge_requests, Requests("6.18.44", 256), OK, "up to 1.0 MiB", ""),
    (judge_requests, Requests("6.18.44", 4096), OK, "up to 16.0 MiB", ""),
    (judge_requests, Requests("6.1.0", None), OK, "up to 1.0 MiB", ""),
    (judge_requests, Requests("6.18.44", 32), WARN, "128.0 KiB at most", "fs.fuse.max_pages_limit=256"),
    (judge_requests, Requests("4.19.0", None), WARN, "128.0 KiB at most", "update to Linux"),
    (judge_read_ahead, ReadAhead(root=True, writable=True), OK, "raised to 1024", ""),
    (judge_read_ahead, ReadAhead(root=True, writable=False), WARN, "/sys is read-only", "read_ahead_kb"),
    (judge_read_ahead, ReadAhead(root=False, writable=True), WARN, "only root", 'echo 1024 | sudo tee "/sys/class/bdi/'),
    (judge_timeouts, Timeouts(None, None, 300), OK, "this kernel has no deadlines", ""),
    (judge_timeouts, Timeouts(0, 0, 300), OK, "no deadlines", ""),
    (judge_timeouts, Timeouts(60, 0, 300), WARN, "1 min 0 s", "sysctl -w fs.fuse.default_request_timeout=0"),
    (judge_timeouts, Timeouts(0, 299, 300), WARN, "aborts a whole mount", "fs.fuse.max_request_timeout=0"),
    (judge_timeouts, Timeouts(600, 0, 300), OK, "later than --read-timeout", ""),
    (judge_container, Container("", kubernetes=False, shares_mounts=False), OK, "no container", ""),
    (judge_container, Container("docker", kubernetes=False, shares_mounts=True), OK, "are seen outside", ""),
    (judge_container, Container("docker", kubernetes=False, shares_mounts=False), WARN, "seen here alone", ":rshared"),
    (judge_container, Container("kubepods", kubernetes=True, shares_mounts=False), WARN, "Kubernetes", "Bidirectional"),
    (judge_capabilities, privileges(True, True), OK, "CAP_SYS_ADMIN", ""),
    (judge_capabilities, privileges(False, False), OK, "fusermount3 mounts for us", ""),
    (judge_capabilities, privileges(True, None), OK, "does not say", ""),
    (judge_capabilities, privileges(True, False), FAIL, "root without CAP_SYS_ADMIN", "CapabilityBoundingSet="),
    (judge_capabilities, privileges(True, False, in_container=True), FAIL, "root without", "--cap-add SYS_ADMIN"),
    (judge_no_new_privs, privileges(False, False), OK, "is not set", ""),
    (judge_no_new_privs, privileges(True, True, True), OK, "no helper is needed", ""),
    (judge_no_new_privs, privileges(False, False, True), FAIL, "gets no rights from setuid", "NoNewPrivileges=no"),
    (judge_no_new_privs, privileges(False, False, True, True), FAIL, "no_new_privs is set", "allowPrivilegeEscalation: true"),
    (judge_seccomp, Filter(0, True), OK, "no filter", ""),
    (judge_seccomp, Filter(None, None), OK, "no filter", ""),
    (judge_seccomp, Filter(2, True), OK, "lets mount(2) through", ""),
    (judge_seccomp, Filter(2, False), FAIL, "refuses mount(2)", "seccomp profile"),
    (judge_apparmor, AppArmor("", guards_helper=False, root=True), OK, "no AppArmor", ""),
    (judge_apparmor, AppArmor("unconfined", guards_helper=False, root=False), OK, "unconfined", ""),
    (judge_apparmor, AppArmor("unconfined", guards_helper=True, root=True), OK, "unconfined", ""),
    (judge_apparmor, AppArmor("unconfined", guards_helper=True, root=False), WARN, "fusermount3", "local/fusermount3"),
    (judge_apparmor, AppArmor("mine (complain)", guards_helper=False, root=True), OK, "mine (complain)", ""),
    (judge_apparmor, AppArmor("mine (enforce)", guards_helper=False, root=True), WARN, "may deny", "mount fstype=fuse.kitfs"),
    (judge_apparmor, AppArmor("docker-default (enforce)", guards_helper=False, root=True), FAIL, "denies", "apparmor=unconfined"),
    (judge_selinux, Selinux(None, "", None), OK, "no SELinux", ""),
    (judge_selinux, Selinux(False, "", None), OK, "permissive", ""),
    (judge_selinux, Selinux(True, "unconfined_u:unconfined_r:unconfined_t:s0", True), OK, "unconfined_t", ""),
    (judge_selinux, Selinux(True, "", None), OK, "enforces", ""),
    (judge_selinux, Selinux(True, "", False), WARN, "keeps containers", "setsebool -P virt_sandbox_use_fusefs on"),
    (judge_selinux, Selinux(True, "system_u:system_r:container_t:s0:c1,c2", None), WARN, "container_t", "label=disable"),
    (judge_user_namespaces, UserNamespaces(own=False, restricted=False), OK, "the machine's", ""),
    (judge_user_namespaces, UserNamespaces(own=False, restricted=True), OK, "needs none", ""),
    (judge_user_namespaces, UserNamespaces(own=True, restricted=False), OK, "in it alone", ""),
    (judge_user_namespaces, UserNamespaces(own=True, restricted=True), WARN, "takes away rights", "restrict_unprivileged_userns=0"),
    (judge_memory, Memory(None, ""), OK, "nothing limits memory", ""),
    (judge_memory, Memory(32 * GIB, "/sys/fs/cgroup/memory.max"), OK, "up to 1.0 GiB ahead of readers", ""),
    (judge_memory, Memory(128 * MIB, "/sys/fs/cgroup/memory.max"), WARN, "a mount needs 256.0 MiB", "resources.limits.memory"),
    (judge_memory, Memory(GIB, "/sys/fs/cgroup/memory.high"), WARN, "above memory.high", "MemoryHigh="),
    (judge_memory, Memory(GIB, "/sys/fs/cgroup/memory.max"), OK, "up to 128.0 MiB ahead", ""),
    (judge_files, None, OK, "any number", ""),
    (judge_files, 1024, OK, "1024 open files", ""),
    (judge_files, 1023, WARN, "1023 open files at most", "LimitNOFILE=1024"),
]  # fmt: skip


@pytest.mark.parametrize(("judge", "facts", "status", "words", "remedy"), ROWS)
def test_what_is_found_is_told(judge: Callable[[object], Finding], facts: object, status: Status, words: str, remedy: str) -> None:
    finding = judge(facts)
    assert (finding.status, words in finding.text, remedy in finding.remedy) == (status, True, True), finding
    assert bool(finding.remedy) is (status is not OK)
    assert finding.exit_code == (FuseUnavailable.exit_code if status is FAIL else 0)
    assert "\n" not in finding.text + finding.remedy


@pytest.mark.parametrize(("limit", "gets"), [(None, 512), (512, 512), (511, 256), (12, 8), (0, 1)])
def test_what_a_mount_gets_comes_by_halves(limit: int | None, gets: int) -> None:
    assert granted(512, limit) == gets


@pytest.mark.parametrize(
    ("default", "longest", "seconds"), [(0, 0, 0), (60, 0, 60), (0, 60, 60), (60, 30, 30), (30, 60, 30), (1, 0, 15)]
)
def test_the_kernel_takes_the_shorter_deadline(default: int, longest: int, seconds: int) -> None:
    assert effective_timeout(Timeouts(default, longest, 300)) == seconds
