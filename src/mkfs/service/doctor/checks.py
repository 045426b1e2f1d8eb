"""All that is looked at, in the order in which it is told. A new check is one entry here; docs/DOCTOR.md has the table of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, final

from mkfs.service.doctor.finding import Finding
from mkfs.service.doctor.gathering import confinement, device, kernel, limits, storage, surroundings
from mkfs.service.doctor.judging import artifact as of_artifact
from mkfs.service.doctor.judging import confinement as of_confinement
from mkfs.service.doctor.judging import device as of_device
from mkfs.service.doctor.judging import kernel as of_kernel
from mkfs.service.doctor.judging import limits as of_limits
from mkfs.service.doctor.judging import registry as of_registry
from mkfs.service.doctor.judging import storage as of_storage
from mkfs.service.doctor.judging import surroundings as of_surroundings
from mkfs.service.doctor.situation import Situation

F = TypeVar("F")


@final
@dataclass(frozen=True, slots=True)
class Check(Generic[F]):
    """One line of the report. `gather` finds facts on this machine; None where `gathering.registry` does, for a named artifact."""

    id: str
    about: str  # what is looked at, for the table of checks
    judge: Callable[[F], Finding]
    gather: Callable[[Situation], F] | None = None


CHECKS: Final[tuple[Check[Any], ...]] = (
    Check("fuse.device", "/dev/fuse is there and opens", of_device.judge_device, device.device),
    Check("fuse.helper", "fusermount3: there, setuid root, its version", of_device.judge_helper, device.helper),
    Check("fuse.libraries", "pyfuse3 and libfuse: there, their versions", of_device.judge_libraries, device.libraries),
    Check("fuse.allow_other", "user_allow_other in /etc/fuse.conf", of_device.judge_allow_other, device.allow_other),
    Check("fuse.background", "fusectl, max_background and its limits for users", of_device.judge_background, device.background),
    Check("kernel.release", "the kernel's version, and what it brings", of_kernel.judge_release, kernel.release),
    Check("kernel.requests", "fs.fuse.max_pages_limit: how large a request is", of_kernel.judge_requests, kernel.requests),
    Check("kernel.read_ahead", "whether read_ahead_kb of a mount can be raised", of_kernel.judge_read_ahead, kernel.read_ahead),
    Check("kernel.timeouts", "fs.fuse.default_request_timeout, max_request_timeout", of_kernel.judge_timeouts, kernel.timeouts),
    Check("kernel.cachestat", "cachestat(2), which tells hits", of_kernel.judge_cachestat, kernel.release_name),
    Check("confinement.container", "container, and mount propagation", of_confinement.judge_container, confinement.container),
    Check("confinement.capabilities", "CAP_SYS_ADMIN", of_confinement.judge_capabilities, confinement.privileges),
    Check("confinement.no_new_privs", "no_new_privs", of_confinement.judge_no_new_privs, confinement.privileges),
    Check("confinement.seccomp", "whether seccomp lets mount(2) through", of_confinement.judge_seccomp, confinement.seccomp),
    Check("confinement.apparmor", "AppArmor's profile in force", of_confinement.judge_apparmor, confinement.apparmor),
    Check("confinement.selinux", "SELinux's mode, and FUSE in containers", of_confinement.judge_selinux, confinement.selinux),
    Check(
        "confinement.user_namespaces",
        "our user namespace, and AppArmor's restriction of those",
        of_confinement.judge_user_namespaces,
        confinement.user_namespaces,
    ),
    Check("limits.memory", "cgroup limits (memory.max, memory.high) and our budget", of_limits.judge_memory, limits.memory),
    Check("limits.open_files", "how many files may be open", of_limits.judge_files, limits.files),
    Check("cache.directory", "the cache: owner, mode, version", of_storage.judge_directory, storage.cache_directory),
    Check("cache.file_system", "the type of its file system", of_storage.judge_file_system, storage.file_system),
    Check("cache.abilities", "O_DIRECT and RWF_NOWAIT there, tried", of_storage.judge_abilities, storage.abilities),
    Check("cache.space", "free bytes and inodes there, and --min-free", of_storage.judge_space, storage.space),
    Check("directories.log", "where daemons log", of_storage.judge_own_directory, storage.log_directory),
    Check("directories.runtime", "where sockets of mounts are", of_storage.judge_own_directory, storage.runtime_directory),
    Check("network.proxies", "proxies in force", of_surroundings.judge_proxies, surroundings.proxies),
    Check("network.tls", "whom TLS believes", of_surroundings.judge_tls, surroundings.tls),
    Check("network.logins", "files of logins, hosts and helpers by name", of_surroundings.judge_logins, surroundings.logins),
    Check("services.manager", "systemd, Kubernetes", of_surroundings.judge_manager, surroundings.manager),
    Check("registry.dns", "addresses of the registry and its mirrors", of_registry.judge_names),
    Check("registry.answer", "who answers: a mirror or the registry", of_registry.judge_answer),
    Check("registry.login", "whether we are let in", of_registry.judge_login),
    Check("artifact.manifest", "what the reference means now", of_artifact.judge_manifest),
    Check("registry.clock", "our clock beside the registry's", of_registry.judge_clock),
    Check("registry.round_trip", "how long a question takes", of_registry.judge_trips),
    Check("artifact.format", "format, layers, size", of_artifact.judge_format),
    Check("registry.ranges", "a range of a real blob, and where redirects lead", of_registry.judge_ranges),
    Check("artifact.index", "chunk indexes, and whether the policy believes them", of_artifact.judge_index),
    Check("artifact.signature", "signatures, and whether a trusted key made one", of_artifact.judge_signature),
    Check("artifact.compression", "layers that are compressed", of_artifact.judge_compression),
    Check("artifact.room", "whether it fits the cache", of_storage.judge_room),
)


def table() -> str:
    """The checks as the table of docs/DOCTOR.md; a test compares them."""
    rows = [f"| `{check.id}` | {check.about} | {'REF' if check.gather is None else 'always'} |" for check in CHECKS]
    return "\n".join(["| check | what is looked at | when |", "|---|---|---|", *rows])
