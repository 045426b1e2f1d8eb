"""Where log lines go, and how they look. One handler at the root; modules log with plain `logging.getLogger(__name__)`.

A record passes `log_lines.Clean` (whole text, no secrets), `repetition.Repetition`, and a formatter of `log_lines` or `json_lines`:
one line comes of it. docs/LOGS.md is for people.
"""

import io
import logging
import os
import sys
from pathlib import Path
from typing import IO, Final

from mkfs.errors import MkfsError, UsageError
from mkfs.service.log_lines import CONSOLE, JOURNALD, Clean, Lines
from mkfs.service.repetition import Repetition

FORMATS: Final = ("auto", "console", "json", "journald")
LEVELS: Final = ("debug", "info", "warning", "error")
# These libraries narrate every connection at their information level.
_QUIETER: Final = ("httpx2", "httpcore2")


def open_log(path: Path) -> IO[bytes]:
    """A log file to append to, made with its directory where they are missing: 0600, never through a link. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def start(verbosity: int, log_file: str | None, *, form: str = "auto", level: str | None = None, journal_stream: str = "") -> None:
    """Sends log lines to `log_file` (appended to, made with its directory, 0600), or to stderr. Raises `UsageError`.

    `form` is one of `FORMATS`; `level` one of `LEVELS`, else `verbosity` decides. `journal_stream`: `JOURNAL_STREAM` of the
    environment, by which `auto` knows the journal.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if log_file is not None:
        try:
            handler = logging.StreamHandler(
                io.TextIOWrapper(open_log(Path(log_file)), "utf-8", "backslashreplace", line_buffering=True)
            )
        except OSError as error:
            raise UsageError(f"log file cannot be written: {error.strerror}", log_file) from error
    if form == "auto":
        form = "journald" if log_file is None and is_journal(journal_stream, sys.stderr.fileno()) else "console"
    handler.setFormatter(formatter(form))
    handler.addFilter(Clean())
    handler.addFilter(Repetition())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    meant = "warning" if verbosity < 0 else "debug" if verbosity > 0 else "info"
    root.setLevel((level or meant).upper())
    for name in _QUIETER:
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """What writes lines of `form`, which is not `auto`."""
    if form == "json":
        from mkfs.service.json_lines import json_formatter

        return json_formatter()
    return Lines(JOURNALD if form == "journald" else CONSOLE)


def is_journal(journal_stream: str, descriptor: int) -> bool:
    """Whether what is written to `descriptor` goes to the journal: systemd.exec(5), `JOURNAL_STREAM`, is its device and inode.

    Whoever redirects stderr inherits the variable all the same, so it is compared.
    """
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


def failure(error: MkfsError, logger: logging.Logger) -> None:
    """Logs an error that ends the process, with the traceback only when debugging."""
    logger.error("%s", " / ".join(error.lines()), exc_info=logger.isEnabledFor(logging.DEBUG))
