"""`mkfs handover …`: the privileged side of a mount that a process without privileges serves, and how that one gets in."""

import sys
from pathlib import Path

import click

from mkfs.cli.settings.options import SettingCommand, setting_options, verbosity
from mkfs.fuse.handover import Handed


@click.group("handover", no_args_is_help=True)
def command() -> None:
    """Mount for a process that may not mount, and hand it the descriptor of /dev/fuse as number 3.

    \b
    EXAMPLES
      kitfs handover exec /mnt/llama --user 65532 -- kitfs mount ghcr.io/acme/llama:7b /dev/fd/3 --foreground
      kitfs handover offer /mnt/llama /run/kitfs/llama.sock --user 65532       # privileged, one container
      kitfs handover take /run/kitfs/llama.sock -- kitfs mount ghcr.io/acme/llama:7b /dev/fd/3 --foreground
    """  # noqa: D301 - click's mark for lines that stay lines


@command.command("exec", cls=SettingCommand)
@click.argument("directory", metavar="DIR", type=Path)  # not click.Path: that asks the file system
@click.argument("words", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@setting_options("handover exec")
def execute(*, directory: Path, user: tuple[int, int], name: str, others: bool, words: tuple[str, ...]) -> None:
    """Mount at DIR and run COMMAND as UID, without capabilities or a way to them. Needs CAP_SYS_ADMIN.

    Ends with COMMAND, by its exit code. SIGTERM unmounts, and ends COMMAND.
    """
    from mkfs.service.handover import run_served

    _say_what_happens()
    sys.exit(run_served(Handed(directory, *user, name, others), words))


@command.command("offer", cls=SettingCommand)
@click.argument("directory", metavar="DIR", type=Path)  # not click.Path: that asks the file system
@click.argument("socket", metavar="SOCKET", type=Path)
@setting_options("handover offer")
def offer(*, directory: Path, socket: Path, user: tuple[int, int], name: str, others: bool) -> None:
    """Mount at DIR for each who comes to the Unix socket SOCKET as UID, one after another. Needs CAP_SYS_ADMIN.

    Unmounts on SIGTERM. Who came and ended leaves a mount that answers ENOTCONN, until the next one comes.
    """
    from mkfs.service.handover import offer as offer_at

    _say_what_happens()
    offer_at(Handed(directory, *user, name, others), socket)


@command.command("take", cls=SettingCommand)
@click.argument("socket", metavar="SOCKET", type=Path)
@click.argument("words", metavar="COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
@setting_options("handover take")
def take(*, socket: Path, words: tuple[str, ...]) -> None:
    """Run COMMAND with what is offered at SOCKET as descriptor 3. Needs no privilege."""
    from mkfs.service.handover import take as take_from

    take_from(socket, words)


def _say_what_happens() -> None:
    from mkfs.service import logs

    logs.start(verbosity(click.get_current_context()), None)
