"""Where things are: what the environment says of files and directories. Nothing is created here.

For root, platformdirs' user directories would be root's home; a node's service wants the system's instead.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from platformdirs import PlatformDirs

from mkfs.errors import UsageError

_DIRECTORIES: Final = PlatformDirs("mkfs", appauthor=False)  # reads XDG_* from the environment when asked


def config_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a config file is looked for, in order."""
    named = environment.get("MKFS_CONFIG")
    if named:
        return (Path(named),)
    return (_DIRECTORIES.user_config_path / "config.toml", Path("/etc/mkfs/config.toml"))


def cache_directory(environment: Mapping[str, str]) -> Path:
    """The cache: `MKFS_CACHE_DIR`, else /var/cache/mkfs for root, else the user's cache directory."""
    named = environment.get("MKFS_CACHE_DIR")
    if named:
        return Path(named)
    return Path("/var/cache/mkfs") if os.geteuid() == 0 else _DIRECTORIES.user_cache_path


def log_directory() -> Path:
    """Where daemons write their logs: /var/log/mkfs for root, else the user's state directory."""
    return Path("/var/log/mkfs") if os.geteuid() == 0 else _DIRECTORIES.user_log_path


def runtime_directory(environment: Mapping[str, str]) -> Path:
    """Where control sockets are: `MKFS_RUNTIME_DIR`, else /run/mkfs for root, else below `XDG_RUNTIME_DIR`, else as for others."""
    named, user = environment.get("MKFS_RUNTIME_DIR"), os.geteuid()
    if named:
        return Path(named).absolute()
    if user and (own := environment.get("XDG_RUNTIME_DIR")):
        return Path(own).absolute() / "mkfs"
    return runtime_directories_of(user)[0]


def runtime_directories_of(user: int) -> tuple[Path, ...]:
    """Where the control sockets of `user` may be, as far as that can be told without that user's environment; where there is no
    /run/user, in /tmp.
    """
    if not user:
        return (Path("/run/mkfs"),)
    usual, bare = Path(f"/run/user/{user}"), Path(f"/tmp/mkfs-{user}")  # noqa: S108 - its owner and mode are looked at
    return (usual / "mkfs", bare) if usual.is_dir() else (bare,)


def credential_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where logins are kept, in the order in which they are looked for: `REGISTRY_AUTH_FILE`, docker's, podman's two, kit's.

    Sources: docker/cli (`DOCKER_CONFIG` is a directory), containers-auth.json(5), kitops pkg/lib/constants.
    """
    home = _home()
    named = environment.get("REGISTRY_AUTH_FILE")
    docker = environment.get("DOCKER_CONFIG") or home / ".docker"
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    podman = "containers/auth.json"
    kit = environment.get("KITOPS_HOME") or Path(environment.get("XDG_DATA_HOME") or home / ".local/share", "kitops")
    return (
        *([Path(named)] if named else []),
        Path(docker, "config.json"),
        Path(runtime, podman),
        Path(environment.get("XDG_CONFIG_HOME") or home / ".config", podman),
        Path(kit, "credentials.json"),
    )


def certificate_directories(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where certificates for single registries are kept: podman's directories, then docker's (containers-certs.d(5))."""
    config = Path(environment.get("XDG_CONFIG_HOME") or _home() / ".config")
    return (config / "containers/certs.d", Path("/etc/containers/certs.d"), Path("/etc/docker/certs.d"))


def hosts_directories() -> tuple[Path, ...]:
    """Where containerd is told of mirrors: a directory for each registry, with a `hosts.toml`."""
    return (Path("/etc/containerd/certs.d"),)


def registries_conf(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where podman is told of mirrors, the last counts: one main file, then what is dropped beside it
    (containers-registries.conf(5)).
    """
    named = environment.get("CONTAINERS_REGISTRIES_CONF")
    if named:
        return (Path(named),)
    own = Path(environment.get("XDG_CONFIG_HOME") or _home() / ".config", "containers")
    places = (Path("/etc/containers"), own)
    main = [path for place in reversed(places) if is_file(path := place / "registries.conf")]
    return (*main[:1], *(path for place in places for path in sorted((place / "registries.conf.d").glob("*.conf"))))


def is_file(path: Path) -> bool:
    """Whether there is such a file. Raises `UsageError` where we may not look: what it says might matter."""
    try:
        return path.is_file()
    except OSError as error:
        hint = "let this user read the directory, or set HOME or XDG_CONFIG_HOME to another"
        raise UsageError(f"cannot look for {path.name}: {error.strerror}", str(path), hint) from error


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without a name, in a container
        return Path("/")
