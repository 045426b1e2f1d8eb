"""Where log lines go. One handler at the root; modules log with plain `logging.getLogger(__name__)`.

Lines are `2026-01-31 12:00:00 INFO registry: text`: on stderr of a terminal, in the journal and in a file alike.
"""

import io
import logging
import os
import sys
from pathlib import Path
from typing import IO, Final

from mkfs.errors import MkfsError, UsageError

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TIME: Final = "%Y-%m-%d %H:%M:%S"
# These libraries narrate every connection at their information level.
_QUIETER: Final = ("httpx2", "httpcore2")


def open_log(path: Path) -> IO[bytes]:
    """A log file to append to, made with its directory where they are missing: 0600, never through a link. Raises `OSError`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "ab")


def start(verbosity: int, log_file: str | None) -> None:
    """Sends log lines to `log_file` (appended to, made with its directory, 0600), or to stderr. Raises `UsageError`."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if log_file is not None:
        try:
            handler = logging.StreamHandler(
                io.TextIOWrapper(open_log(Path(log_file)), "utf-8", "backslashreplace", line_buffering=True)
            )
        except OSError as error:
            raise UsageError(f"log file cannot be written: {error.strerror}", log_file) from error
    handler.setFormatter(logging.Formatter(_FORMAT, _TIME))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if verbosity < 0 else logging.DEBUG if verbosity > 0 else logging.INFO)
    for name in _QUIETER:
        logging.getLogger(name).setLevel(logging.WARNING)


def failure(error: MkfsError, logger: logging.Logger) -> None:
    """Logs an error that ends the process, with the traceback only when debugging."""
    logger.error("%s", " / ".join(error.lines()), exc_info=logger.isEnabledFor(logging.DEBUG))
