"""What a check says: one line, and the remedy where there is something to mend."""

from enum import Enum
from typing import final

from msgspec import Struct

from mkfs.errors import MkfsError


@final
class Status(Enum):
    """How bad it is. People and programs are shown the values."""

    OK = "ok"
    WARN = "warn"  # mounts work; slower, for fewer users, or not everywhere
    FAIL = "fail"  # a mount would fail


@final
class Finding(Struct, frozen=True):
    """`text` is what was found, in one line without a secret. `remedy` is a command or a setting, "" only where all is well;
    `exit_code` is that of the error a mount would end with, 0 where none.
    """

    status: Status
    text: str
    remedy: str = ""
    exit_code: int = 0


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, text)


def warn(text: str, remedy: str) -> Finding:
    """It works, and could work better."""
    return Finding(Status.WARN, text, remedy)


def fail(kind: type[MkfsError], text: str, remedy: str) -> Finding:
    """A mount would end with an error of this `kind`."""
    return Finding(Status.FAIL, text, remedy, kind.exit_code)


def failed(error: MkfsError, remedy: str = "") -> Finding:
    """`error` is what a mount would end with. Its own hint is the remedy, where it has one."""
    return Finding(Status.FAIL, str(error), error.hint or remedy or "see the text of the error", error.exit_code)
