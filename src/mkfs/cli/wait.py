"""`mkfs wait DIR`."""

from pathlib import Path
from typing import Final

import click

from mkfs.cli.options import reads, verbosity_option
from mkfs.cli.status import sockets_of
from mkfs.fuse.kernel import resolve
from mkfs.service.waiting import Until, wait
from mkfs.units import parse_duration

EXIT_STATUS: Final = """\b
EXIT STATUS
  0 it is so · 12 not within --timeout · 20 it was unmounted meanwhile
  24 its process died or does not answer, or it has no control socket
"""


@click.command("wait", epilog=EXIT_STATUS)
@click.argument("directory", metavar="DIR", type=Path)  # not click.Path: that asks the file system, and a stuck one never answers
@click.option(
    "--until",
    type=click.Choice([each.value for each in Until]),
    default=Until.MOUNTED.value,
    show_default=True,
    help="mounted: DIR is readable. warm: every byte of every layer is in the cache, so that no read needs the registry. proven: "
    "every layer's bytes passed by once on this node and had its digest, so that names and bytes rest on nobody's word.",
)
@click.option(
    "--timeout",
    metavar="DURATION",
    callback=reads(parse_duration),
    help="Give up (12) after so long, e.g. 90s, 5min. [default: however long it takes]",
)
@verbosity_option
def command(directory: Path, *, until: str, timeout: int | None) -> None:
    """Return when DIR is mounted, warm, or proven. It need not be mounted yet.

    Waiting fetches nothing: what makes a mount warm is its readers, --fill, or `kitfs warmup`.

    \b
    EXAMPLES
      kitfs wait /mnt/llama --timeout 1min && exec my-server
      kitfs wait /mnt/llama --until warm
    """  # noqa: D301 - click's mark for lines that stay lines
    wait(resolve(directory), Until(until), None if timeout is None else float(timeout), sockets_of)
