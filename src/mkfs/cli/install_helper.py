"""`mkfs install-helper`: what mount(8) looks for when a type is fuse.kitfs or kitfs.

mount(8) looks for its helpers in /sbin and in no PATH, so a console script in a virtual environment is not found. What is installed
is a line of shell that calls this environment's Python, isolated (`-I`): whatever PYTHONPATH or directory root happens to have when
it mounts, this code runs.
"""

import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.errors import MkfsError, UsageError

# util-linux libmount/src/context.c: it looks for mount.TYPE, then without what follows the last dot. Both names, as sshfs has them.
NAMES: Final = ("mount.fuse.kitfs", "mount.kitfs")
_MODULE: Final = "mkfs.cli.mount_helper"
_MARK: Final = "# Written by kitfs install-helper: mount(8) runs it. Remove it with kitfs install-helper --remove."
_MODE: Final = 0o755
_LOOKED_AT_BYTES: Final = 4096  # ours is smaller


def wrapper(python: str) -> str:
    """The helper: a script that calls `python`, which may be a virtual environment's."""
    return f'#!/bin/sh\n{_MARK}\nexec {shlex.quote(python)} -I -m {_MODULE} "$@"\n'


def is_ours(content: bytes) -> bool:
    """Whether this is a helper that we wrote, for whatever environment."""
    return _MARK.encode() in content.split(b"\n")[1:2]


def _content(path: Path) -> bytes | None:
    """What of ours is at `path`; None: nothing at all. Raises `UsageError` where there is something of somebody else."""
    try:
        found = path.lstat()
        content = path.read_bytes()[:_LOOKED_AT_BYTES] if stat.S_ISREG(found.st_mode) else b""
    except FileNotFoundError:
        return None
    if not is_ours(content):
        raise UsageError(f"{path} is there, and not ours", "nothing was changed", "move it away, or choose another --destination")
    return content


def _write(path: Path, content: bytes) -> None:
    """Puts `content` at `path` at once: mount(8) finds the old one or the new one."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(new, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, _MODE)) as file:
            os.fchmod(file.fileno(), _MODE)  # whatever the umask is
            file.write(content)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


def _check_environment(python: str) -> None:
    """Returns if the helper would find its code. Raises `UsageError`."""
    done = subprocess.run(
        [python, "-I", "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec({_MODULE!r}) is None)"],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(
            "mkfs is not installed for everybody who runs this Python",
            python,
            "install it into a virtual environment, e.g. /opt/kitfs",
        )


def writable_by_others(paths: tuple[Path, ...]) -> Iterator[Path]:
    """Those of `paths` that somebody else than root may change."""
    for path in paths:
        found = path.stat()
        if found.st_uid != 0 or found.st_mode & stat.S_IWOTH:
            yield path


@click.command("install-helper", cls=SettingCommand)
@setting_options("install-helper")
def command(destination: Path, *, remove: bool, dry_run: bool) -> None:
    """Let `mount -t fuse.kitfs REF DIR` and lines of fstab mount artifacts, by this installation.

    Writes mount.fuse.kitfs and mount.kitfs, or brings those up to date that another installation wrote. What is not ours is not
    touched. Run it again after the installation moved.

    \b
    EXAMPLES
      sudo /opt/kitfs/bin/kitfs install-helper
      echo 'ghcr.io/acme/llama:7b /mnt/llama fuse.kitfs _netdev,nofail 0 0' | sudo tee -a /etc/fstab
    """  # noqa: D301 - click's mark for lines that stay lines
    wanted = None if remove else wrapper(sys.executable).encode()
    if wanted:
        _check_environment(sys.executable)
    try:
        # All are looked at before any is written: where one is somebody else's, nothing changes.
        found = {destination / name: _content(destination / name) for name in NAMES}
        changes = {path: content for path, content in found.items() if content != wanted}
        for path, content in changes.items():
            if not dry_run:
                path.unlink() if wanted is None else _write(path, wanted)
            done = "removed" if wanted is None else "installed" if content is None else "updated"
            click.echo(f"{'would be ' if dry_run else ''}{done}: {path}")
    except PermissionError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}", hint="run it as root") from error
    except OSError as error:
        raise MkfsError(f"{error.filename} cannot be written: {error.strerror}") from error
    if not changes:
        click.echo(f"nothing to do: {', '.join(map(str, found))} {'not there' if remove else 'up to date'}")
    for path in () if remove else writable_by_others((Path(sys.prefix), Path(__file__))):
        click.echo(f"Warning: {path} can be changed by others than root, and mount(8) will run what is there as root", err=True)
