"""`mkfs status [DIR]`."""

import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

import click
import msgspec

from mkfs.cli import places
from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.cli.shells import complete_mounts
from mkfs.cli.status_text import full, summary, table
from mkfs.errors import MountpointUnusable, NotServing
from mkfs.fuse.kernel import resolve
from mkfs.fuse.mountinfo import Mount, mount_at
from mkfs.service.control_place import socket_name
from mkfs.service.report import SCHEMA_VERSION
from mkfs.service.views import State, View, first_place, ours, view_of

_PERIOD_SECONDS: Final = 1.0

EXIT_STATUS: Final = """\b
EXIT STATUS
  0 mounted, and answering · 20 nothing of ours is mounted at DIR
  24 dead (its process is gone), not answering (stopped or stuck), or without
  a control socket; without DIR: at least one of them is
"""


def sockets_of(mount: Mount) -> list[Path]:
    """Where the control socket of `mount` may be: our own runtime directory, or that of the user who mounted it."""
    user, name = mount.user, socket_name(Path(os.fsdecode(mount.place)))
    directories = [places.runtime_directory(os.environ)]
    directories += [] if user is None else places.runtime_directories_of(user)
    return [directory / name for directory in dict.fromkeys(directories)]


@click.command("status", cls=SettingCommand, epilog=EXIT_STATUS)
# DIR is no click.Path: that asks the file system, and a stuck one never answers.
@click.argument("directory", metavar="[DIR]", required=False, type=Path, shell_complete=complete_mounts)
@setting_options("status")
def command(directory: Path | None, *, watch: bool, form: str) -> None:
    """Show what is mounted at DIR: what is proven and cached, who waits for what, what it cost, what went wrong. Without DIR: a
    line for each mount of yours, of everybody's for root.

    A mount whose process is dead, stopped or stuck is shown as that, within seconds.
    """
    look = _all if directory is None else partial(_at, directory)
    if watch:
        _keep_showing(look, form, one=directory is not None)
        return
    views = look()
    if directory is not None and not views:
        raise MountpointUnusable(f"nothing of ours is mounted at {directory}", hint="see what is: kitfs status")
    for line in _lines(views, form, one=directory is not None):
        click.echo(line)
    unwell = [view for view in views if view.state is not State.MOUNTED]
    if unwell:
        raise _complaint(unwell)


def _all() -> list[View]:
    return [view_of(mount, sockets_of) for mount in ours(os.geteuid())]


def _at(directory: Path) -> list[View]:
    mount = mount_at(resolve(directory))
    return [view_of(first_place(mount), sockets_of)] if mount is not None and mount.ours else []


def _lines(views: list[View], form: str, *, one: bool) -> Iterable[str]:
    if form == "json":
        return [msgspec.json.format(_encoded(views, one=one), indent=2).decode()]
    return full(views[0]) if one else table(views)


def _encoded(views: list[View], *, one: bool) -> bytes:
    """One mount, or a list of them, as docs/STATUS.md says."""
    if one:
        return msgspec.json.encode({"schema_version": SCHEMA_VERSION, **msgspec.to_builtins(views[0])})
    return msgspec.json.encode({"schema_version": SCHEMA_VERSION, "mounts": views})


def _complaint(unwell: list[View]) -> NotServing:
    first = unwell[0]
    more = f" (and {len(unwell) - 1} more)" if unwell[1:] else ""
    hints = {
        State.DEAD: f"mount it again, or clear it: kitfs umount {first.mountpoint}",
        State.STUCK: f"look at process {first.pid}" if first.pid else "look at its process, and its log",
    }
    return NotServing(
        f"{first.mountpoint}: {first.state.value}{more}",
        first.why,
        hints.get(first.state, "its log says why, or another version made it"),
    )


def _keep_showing(look: Callable[[], list[View]], form: str, *, one: bool) -> None:
    """Shows what `look` sees again and again, until what was asked for is not mounted any more."""
    if form == "text" and sys.stdout.isatty():
        from rich.live import Live
        from rich.text import Text

        with Live(screen=True, auto_refresh=False) as live:
            _each(look, lambda views: live.update(Text("\n".join(_lines(views, form, one=one))), refresh=True), one=one)
        return

    def show(views: list[View]) -> None:
        lines = [_encoded(views, one=one).decode()] if form == "json" else map(summary, views)
        for line in lines:
            click.echo(line)
        sys.stdout.flush()

    _each(look, show, one=one)


def _each(look: Callable[[], list[View]], show: Callable[[list[View]], None], *, one: bool) -> None:
    while (views := look()) or not one:
        show(views)
        time.sleep(_PERIOD_SECONDS)
