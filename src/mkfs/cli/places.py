"""Where things are: what the environment says of files and directories. Nothing is created here.

For root, platformdirs' user directories would be root's home; a node's service wants the system's instead.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from platformdirs import PlatformDirs

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


def docker_config(environment: Mapping[str, str]) -> Path:
    """Docker's config.json: in `DOCKER_CONFIG` (a directory), else in ~/.docker."""
    named = environment.get("DOCKER_CONFIG")
    return (Path(named) if named else Path("~/.docker").expanduser()) / "config.json"
