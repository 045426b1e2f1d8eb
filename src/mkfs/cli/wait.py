"""`mkfs wait DIR`."""

from pathlib import Path
from typing import Final

import click

from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.cli.shells import complete_mounts
from mkfs.cli.status import sockets_of
from mkfs.fuse.kernel import resolve
from mkfs.service.waiting import Until, wait

EXIT_STATUS: Final = """\b
EXIT STATUS
  0 it is so · 12 not within --timeout · 20 it was unmounted meanwhile
  24 its process died or does not answer, or it has no control socket
"""


@click.command("wait", cls=SettingCommand, epilog=EXIT_STATUS)
# DIR is no click.Path: that asks the file system, and a stuck one never answers.
@click.argument("directory", metavar="DIR", type=Path, shell_complete=complete_mounts)
@setting_options("wait")
def command(directory: Path, *, until: str, patience: int | None) -> None:
    """Return when DIR is mounted, warm, or proven. It need not be mounted yet.

    Waiting fetches nothing: what makes a mount warm is its readers, --fill, or `kitfs warmup`.

    \b
    EXAMPLES
      kitfs wait /mnt/llama --timeout 1min && exec my-server
      kitfs wait /mnt/llama --until warm
    """  # noqa: D301 - click's mark for lines that stay lines
    wait(resolve(directory), Until(until), None if patience is None else float(patience), sockets_of)
