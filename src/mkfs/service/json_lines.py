"""Log records as lines of JSON. Imports structlog, which takes its time: only where `--log-format json` asks for it.

A line is one object of ASCII characters, its keys in this order:

    time       RFC 3339, UTC, to the millisecond
    level      debug, info, warning, error, critical
    logger     the module that says it
    event      what it says
    exception  the traceback, where there is one
    …          fields of this event alone, by their own names
"""

import json
import logging
from datetime import UTC, datetime
from typing import Final

# ruff: noqa: TID253 - see above
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, WrappedLogger

from mkfs.service.log_lines import fields

KEYS: Final = ("time", "level", "logger", "event", "exception")


def json_formatter() -> logging.Formatter:
    """For records that `log_lines.Clean` has seen."""
    return ProcessorFormatter(foreign_pre_chain=[_told], processors=[_written])


def _told(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    told: EventDict = {"time": time, "level": record.levelname.lower(), "logger": record.name, "event": event["event"]}
    exception = "\n".join(part for part in (record.exc_text, record.stack_info) if part)
    if exception:
        told["exception"] = exception
    told.update({name: value for name, value in fields(record).items() if name not in KEYS})
    return told


def _written(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return json.dumps(event, ensure_ascii=True, default=str)  # DEL is escaped, too
