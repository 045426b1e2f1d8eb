"""`mkfs umount DIR`."""

import os
from collections.abc import Callable
from pathlib import Path

import click

from mkfs.cli.report import say_error
from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.cli.shells import complete_mounts
from mkfs.errors import MkfsError, printable
from mkfs.fuse import unmounting


@click.command("umount", cls=SettingCommand)
# DIR is no click.Path: that asks the file system, and a stuck one never answers.
@click.argument("directories", metavar="DIR...", type=Path, nargs=-1, shell_complete=complete_mounts)
@setting_options("umount")
def command(directories: tuple[Path, ...], *, lazy: bool, force: bool, everything: bool) -> None:
    """Unmount what mkfs mounted at each DIR, and end its daemon. A dead mount (crashed daemon) is cleared too.

    A mount in use is left alone (22), and who uses it is named. Of several that fail, the exit status is the first one's.
    """
    if everything == bool(directories):
        raise click.UsageError("name a DIR, or --all" if not everything else "--all takes no DIR")
    if lazy and force:
        raise click.UsageError("--lazy and --force are two ways: choose one")
    way = unmounting.unmount_by_force if force else unmounting.unmount_lazily if lazy else unmounting.unmount_in_order
    places = unmounting.places_of_user(os.geteuid()) if everything else list(directories)
    if codes := [code for place in places if (code := _unmount(way, place))]:
        raise SystemExit(codes[0])


def _unmount(way: Callable[[Path], str], place: Path) -> int:
    """The exit code; what there is to say was said."""
    try:
        notice = way(place)
    except MkfsError as error:
        say_error(error.lines())
        return error.exit_code
    if notice:
        click.echo(printable(notice), err=True)
    return 0
