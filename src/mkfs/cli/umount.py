"""`mkfs umount DIR`."""

from pathlib import Path

import click

from mkfs.cli.options import verbosity_option
from mkfs.errors import Busy
from mkfs.fuse import kernel


@click.command("umount")
@click.argument("directory", metavar="DIR", type=Path)  # not click.Path: that asks the file system, and a stuck one never answers
@click.option("-l", "--lazy", is_flag=True, help="Out of sight at once, ended when its last user leaves.")
@verbosity_option
def command(directory: Path, *, lazy: bool) -> None:
    """Unmount what mkfs mounted at DIR, and end its daemon. A dead mount (crashed daemon) is cleared too."""
    try:
        kernel.unmount(directory, lazy=lazy)
    except Busy:  # a dead mount whose files are still open says so too
        if not kernel.clear_dead_mount(directory):
            raise
