"""`mkfs umount DIR`."""

from pathlib import Path

import click

from mkfs.cli.options import verbosity_option
from mkfs.fuse import kernel


@click.command("umount")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-l", "--lazy", is_flag=True, help="Out of sight at once, ended when its last user leaves.")
@verbosity_option
def command(directory: Path, *, lazy: bool) -> None:
    """Unmount what mkfs mounted at DIR, and end its daemon. A dead mount (crashed daemon) is cleared too."""
    if not kernel.clear_dead_mount(directory):
        kernel.unmount(directory, lazy=lazy)
