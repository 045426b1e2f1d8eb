"""What holds us in: a container, capabilities, no_new_privs, seccomp, AppArmor, SELinux, user namespaces."""

from typing import Final, final

from msgspec import Struct

from mkfs.errors import FuseUnavailable
from mkfs.service.doctor.finding import Finding, fail, ok, warn

# Profiles that container engines apply by default; all of them deny mount (moby profiles/apparmor/template.go, containerd and CRI-O
# contrib/apparmor, containers/common pkg/apparmor).
_DENY_MOUNT: Final = ("docker-default", "cri-containerd.apparmor.d", "crio-default", "containers-default")
_ADD_SYS_ADMIN: Final = (
    "docker run --cap-add SYS_ADMIN …; Kubernetes: securityContext.capabilities.add: [SYS_ADMIN] or privileged: true"
)


@final
class Container(Struct, frozen=True):
    """Where we run. `kind` is "" on a machine of its own; `shares_mounts`: some mount propagates to where it came from."""

    kind: str
    kubernetes: bool
    shares_mounts: bool


@final
class Privileges(Struct, frozen=True):
    """Of this process. None: the kernel does not say."""

    root: bool
    sys_admin: bool | None
    no_new_privs: bool | None
    in_container: bool


@final
class Filter(Struct, frozen=True):
    """seccomp: the mode of /proc/self/status, and whether mount(2) gets past it (None: not tried)."""

    mode: int | None
    mount_allowed: bool | None


@final
class AppArmor(Struct, frozen=True):
    """`profile` as the kernel writes it, "" without AppArmor; `guards_helper`: a profile of its own holds fusermount3."""

    profile: str
    guards_helper: bool
    root: bool


@final
class Selinux(Struct, frozen=True):
    """`enforcing` None: not there. `fuse_for_containers`: the boolean virt_sandbox_use_fusefs, None where there is none."""

    enforcing: bool | None
    context: str
    fuse_for_containers: bool | None


@final
class UserNamespaces(Struct, frozen=True):
    """`own`: we are in one that is not the machine's; `restricted`: AppArmor lets only profiled programs have rights in one."""

    own: bool
    restricted: bool


def judge_container(facts: Container) -> Finding:
    """Whether what is mounted here can be seen elsewhere."""
    if not facts.kind:
        return ok("no container")
    where = f"in a container ({facts.kind}{', Kubernetes' if facts.kubernetes else ''})"
    if facts.shares_mounts:
        return ok(f"{where}; mounts below its shared volumes are seen outside")
    remedy = (
        "volumeMounts[].mountPropagation: Bidirectional (and privileged: true) in the pod that mounts, HostToContainer in others"
        if facts.kubernetes
        else "docker run -v /mnt/models:/mnt/models:rshared …, and mount below /mnt/models"
    )
    return warn(f"{where}; no volume propagates mounts, so what is mounted here is seen here alone", remedy)


def judge_capabilities(facts: Privileges) -> Finding:
    """Whether root may do what root does."""
    if facts.sys_admin:
        return ok("CAP_SYS_ADMIN")
    if not facts.root:
        return ok("no CAP_SYS_ADMIN; fusermount3 mounts for us")
    if facts.sys_admin is None:
        return ok("the kernel does not say which capabilities we have")
    remedy = _ADD_SYS_ADMIN if facts.in_container else "add CAP_SYS_ADMIN to CapabilityBoundingSet= of the unit"
    return fail(FuseUnavailable, "root without CAP_SYS_ADMIN: mount(2) will be refused", remedy)


def judge_no_new_privs(facts: Privileges) -> Finding:
    """Whether setuid still counts, which fusermount3 lives by."""
    if not facts.no_new_privs:
        return ok("no_new_privs is not set")
    if facts.sys_admin:
        return ok("no_new_privs is set; with CAP_SYS_ADMIN no helper is needed")
    remedy = (
        "securityContext.allowPrivilegeEscalation: true, or docker run without --security-opt no-new-privileges"
        if facts.in_container
        else "NoNewPrivileges=no in the unit (SystemCallFilter= and others imply yes in units of users), or mount as root"
    )
    return fail(FuseUnavailable, "no_new_privs is set: fusermount3 gets no rights from setuid and cannot mount", remedy)


def judge_seccomp(facts: Filter) -> Finding:
    """Whether a filter of system calls lets mount(2) through."""
    if not facts.mode:
        return ok("no filter of system calls")
    if facts.mount_allowed is False:
        remedy = f"{_ADD_SYS_ADMIN}; or a seccomp profile that allows mount, umount2, fsopen, fsconfig, fsmount"
        return fail(FuseUnavailable, "a filter of system calls (seccomp) refuses mount(2)", remedy)
    return ok("a filter of system calls (seccomp) is in force and lets mount(2) through")


def judge_apparmor(facts: AppArmor) -> Finding:
    """Whether a profile forbids to mount."""
    name, _, mode = facts.profile.partition(" ")
    if mode == "(enforce)":
        unconfined = "docker run --security-opt apparmor=unconfined …; Kubernetes: securityContext.appArmorProfile.type: Unconfined"
        if name.startswith(_DENY_MOUNT):
            return fail(FuseUnavailable, f"AppArmor enforces the profile {name}, which denies to mount", unconfined)
        text = f"AppArmor enforces the profile {name}: it may deny to mount"
        return warn(text, f"allow it there: mount fstype=fuse.kitfs, umount, capability sys_admin; or {unconfined}")
    if facts.guards_helper and not facts.root:
        text = "AppArmor has a profile for fusermount3, which may mount below home directories, /mnt, /media and /tmp only"
        return warn(
            text, "mount there, or allow the place in /etc/apparmor.d/local/fusermount3 and: sudo systemctl reload apparmor"
        )
    return ok(f"AppArmor: {facts.profile}" if facts.profile else "no AppArmor")


def judge_selinux(facts: Selinux) -> Finding:
    """Whether SELinux keeps containers from reading FUSE file systems."""
    if facts.enforcing is None:
        return ok("no SELinux")
    if not facts.enforcing:
        return ok("SELinux is permissive")
    if facts.fuse_for_containers is False:
        return warn("SELinux keeps containers from reading FUSE mounts", "sudo setsebool -P virt_sandbox_use_fusefs on")
    if ":container_t:" in facts.context:
        return warn("SELinux confines us as container_t: it may deny to mount", "docker run --security-opt label=disable …")
    return ok(f"SELinux enforces{f', we are {facts.context}' if facts.context else ''}")


def judge_user_namespaces(facts: UserNamespaces) -> Finding:
    """Whether rights in a user namespace of our own are rights at all."""
    if facts.own and facts.restricted:
        text = "we are in a user namespace, and AppArmor takes away rights in those (apparmor_restrict_unprivileged_userns)"
        return warn(text, "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or mount from the machine itself")
    if facts.own:
        return ok("in a user namespace: our mounts are for processes in it alone")
    if facts.restricted:
        return ok("AppArmor restricts user namespaces of others than root; mounting here needs none")
    return ok("the machine's user namespace")
