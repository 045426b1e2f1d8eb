"""The way in, kept light: a formatter's command line goes on to util-linux's mkfs before anything else is imported, and a mount's
daemon is started before its words are read.

`mkfs` is also the name of the formatter that every Linux has. Where our script shadows it, a line that can only be the formatter's
(`mkfs -t ext4 /dev/sdx1`) must reach it; where there is none, it must fail and touch nothing.
"""

import gc
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

FORMATTERS: Final = ("/usr/sbin/mkfs", "/sbin/mkfs")
# util-linux mkfs.c: `mkfs [-t|--type fstype] [fs-options] device [size]`; `-V` and `-c`, `-l` are its own too.
_FORMATTER_OPTIONS: Final = ("-t", "--type", "-V", "-c", "-l")
_USAGE: Final = 2
_NO_DAEMON: Final = frozenset(("-f", "--foreground", "-h", "--help"))


def is_formatting(arguments: Sequence[str]) -> bool:
    """Whether this is a command line of the formatter: its options first, or a device."""
    if not arguments:
        return False
    first = arguments[0]
    return first.startswith(("-t", "--type=", "/dev/")) or first in _FORMATTER_OPTIONS


def main() -> NoReturn:
    """Runs the command line; does not return."""
    arguments = sys.argv[1:]
    if is_formatting(arguments):
        _format(arguments)
    if arguments[2:3] == ["-o"]:
        from mkfs.cli import mount_helper

        if mount_helper.is_from_mount_fuse(arguments):
            mount_helper.run(arguments)
    if arguments[:1] == ["mount"] and _NO_DAEMON.isdisjoint(arguments):
        gc.disable()  # imports make no garbage, and looking for some costs a twentieth of them
        import mkfs.service.launch  # noqa: F401 - before the fork: what both processes need is imported once
        from mkfs.service.process import DaemonProcess

        with DaemonProcess() as daemon:  # ended again if the words turn out to be off
            _run(daemon)
    _run(None)


def _run(daemon: object) -> NoReturn:
    """Runs the command. `daemon` is for `mount`, which starts one where there is none yet."""
    from mkfs.cli.app import app

    try:
        app.main(obj=daemon)
    finally:
        gc.freeze()  # all of it goes with the process: looking for garbage in it first would take 10 ms
        gc.enable()


def _format(arguments: Sequence[str]) -> NoReturn:
    us = os.path.realpath(sys.argv[0])
    for path in FORMATTERS:
        if os.access(path, os.X_OK) and os.path.realpath(path) != us:
            os.execv(path, [path, *arguments])  # noqa: S606 - fixed paths, the user's own arguments, no shell
    sys.stderr.write(
        "Error: this looks like a command line of util-linux's mkfs, which is not installed here; nothing was touched\n"
        "  kitfs mounts model artifacts: kitfs mount REGISTRY/REPOSITORY:TAG DIR\n"
    )
    sys.exit(_USAGE)
