"""A log record as one line, whatever is in it.

    console   2026-01-31 12:00:00 INFO mkfs.service.showing: mounted …
    journald  <6>mkfs.service.showing: mounted …          sd-daemon(3): the journal has the time, and takes the priority
    json      see `json_lines`

Names, errors and answers come from strangers. So line breaks, control characters and what turns the direction of text are shown
escaped: nobody can write a line of his own into a log, or to the terminal that shows it. A traceback follows its message on the
same line; `printf '%b'` shows it as it was.
"""

import logging
import re
import traceback
from typing import Final, final

from mkfs.service.redaction import redacted

# Characters of a message, and of a traceback: the journal cuts lines at 48 KiB (journald.conf(5), LineMax=).
LONGEST: Final = 16_384
CONSOLE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JOURNALD: Final = "%(priority)s%(name)s: %(message)s"
TIME: Final = "%Y-%m-%d %H:%M:%S"

# C0, DEL, C1; line and paragraph separators; marks that turn text around; halves of surrogates.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def one_line(text: str) -> str:
    """`text` without a character that a terminal or a reader of lines obeys."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or (f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}")


def shortened(text: str) -> str:
    """`text`, or its beginning and how much is missing."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text) - LONGEST} characters more)"


@final
class Clean(logging.Filter):
    """Makes a record's text whole, and takes secrets out of it: message, traceback, and what else was given along (`extra`).

    At a handler, and the first of its filters: what follows finds `msg` complete, and `exc_text` where there was an exception.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record. Raises nothing, whatever the arguments are."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a wrong format must not take a line away, let alone end what logs
            message = f"{record.msg} {record.args!r} ({type(error).__name__})"
        record.msg, record.args = redacted(shortened(message)), None
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
        record.exc_info = None
        if record.exc_text:
            record.exc_text = redacted(shortened(record.exc_text))
        if record.stack_info:
            record.stack_info = redacted(shortened(record.stack_info))
        for name, value in fields(record).items():
            if not isinstance(value, int | float | None):
                setattr(record, name, redacted(shortened(str(value))))
        return True


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given with `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _USUAL}


_USUAL: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "priority"})
# sd-daemon(3): SD_DEBUG, SD_INFO, SD_WARNING, SD_ERR, SD_CRIT.
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


@final
class Lines(logging.Formatter):
    """One line a record, after `format`; `CONSOLE` or `JOURNALD`. For records that `Clean` has seen."""

    def __init__(self, format: str) -> None:  # noqa: A002 - logging's own name for it
        super().__init__(format, TIME)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        level = max((level for level in _PRIORITIES if level <= record.levelno), default=logging.DEBUG)
        record.priority = f"<{_PRIORITIES[level]}>"
        return one_line(super().format(record))
