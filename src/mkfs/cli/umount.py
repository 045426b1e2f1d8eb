"""`mkfs umount DIR`."""

from pathlib import Path

import click

from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.cli.shells import complete_mounts
from mkfs.errors import Busy
from mkfs.fuse import kernel


@click.command("umount", cls=SettingCommand)
# DIR is no click.Path: that asks the file system, and a stuck one never answers.
@click.argument("directory", metavar="DIR", type=Path, shell_complete=complete_mounts)
@setting_options("umount")
def command(directory: Path, *, lazy: bool) -> None:
    """Unmount what mkfs mounted at DIR, and end its daemon. A dead mount (crashed daemon) is cleared too."""
    try:
        kernel.unmount(directory, lazy=lazy)
    except Busy:  # a dead mount whose files are still open says so too
        if not kernel.clear_dead_mount(directory):
            raise
