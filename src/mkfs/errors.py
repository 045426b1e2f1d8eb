"""One tree of errors: every failure a person or a reader can meet has its place here.

    MkfsError                  1   EIO     unexpected
    ├── UsageError             2   EINVAL  the words on the command line or in the config file are off
    │   └── BadReference       2   EINVAL  text that names no artifact
    ├── NotFound              10   EIO     the registry has no such repository, tag or blob
    ├── NotAuthorised         11   EIO     the registry refuses these credentials
    ├── Unreachable           12   EIO     no answer, or none that makes sense, within the deadline
    ├── IntegrityError        13   EIO     bytes or documents are not what a digest promised
    │   ├── Mismatch          13   EIO     got one digest or size, expected another
    │   └── BadDigest         13   EIO     text that is no digest, or of an algorithm we cannot check
    ├── Unsupported           14   EIO     a well-formed artifact of a kind we cannot show (or not yet)
    │   ├── BadDocument       14   EIO     a manifest, index or config that breaks its format's rules
    │   └── BadArchive        14   EIO     a layer whose archive breaks its format's rules
    ├── MountpointUnusable    20   EINVAL  missing, a file, not empty
    ├── FuseUnavailable       21   EIO     no /dev/fuse, no permission, not Linux
    ├── Busy                  22   EBUSY   already a mount, or in use
    ├── CacheUnusable         23   EIO     the cache directory cannot be used or is full
    ├── NotServing            24   EIO     a mount whose process is dead, or does not answer
    ├── Closing                1   EIO     the mount is going away
    └── FileSystemError        1   (own)   what a file system answers: no such name, not a directory, read-only …

Rules of this file: a class says whose fault it is and what to do; errors of libraries are mapped at the lowest seam (the call
that raised them); `errno` is read only in `fuse/`, `exit_code` only in `cli/` and `service/`. A message is three lines at most:
what (got X, expected Y), where it came from, what to do. Many hold names that strangers gave: whatever of a message cannot be
printed is escaped here, and no line is endless, so that none breaks a line of a log or speaks to a terminal. `args` rebuild the
error (`copy.copy` calls the class with them). No secret may enter a text.
"""

import errno as _errno
from typing import ClassVar, Final

LINE_LIMIT: Final = 5000  # characters of a line of a message: a path may have 4096


class MkfsError(Exception):
    """The root. `what` is one line for a person; `where` names host, file or layer; `hint` says what to do about it."""

    exit_code: ClassVar[int] = 1
    errno: int = _errno.EIO
    default_hint: ClassVar[str] = ""

    def __init__(self, what: str, where: str = "", hint: str = "") -> None:
        what, where, hint = _line(what), _line(where), _line(hint)
        super().__init__(what, where, hint)
        self.what, self.where, self.hint = what, where, hint or self.default_hint

    def lines(self) -> list[str]:
        """The message for a person: one to three lines, without trailing newlines."""
        return [line for line in (self.what, self.where, self.hint) if line]

    def __str__(self) -> str:
        return f"{self.what} ({self.where})" if self.where else self.what


def printable(text: str) -> str:
    """`text` on one line that no terminal and no log can be fooled by: control characters and undecodable bytes are escaped."""
    return text if text.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, as surrogateescape keeps it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _line(text: str) -> str:
    line = printable(text[: LINE_LIMIT + 1])
    return line if len(line) <= LINE_LIMIT else f"{line[: LINE_LIMIT - 1]}…"


class UsageError(MkfsError):
    """The caller's words are off. Nothing was tried; correct them and call again."""

    exit_code = 2
    errno = _errno.EINVAL


class BadReference(UsageError):
    """Text that names no artifact (registry/repository:tag or @digest). The fault is with whoever wrote it."""


class NotFound(MkfsError):
    """The registry answered that it has no such thing. Check the name; a retry will not help."""

    exit_code = 10


class NotAuthorised(MkfsError):
    """The registry refuses what we may show it. Log in, or ask for access."""

    exit_code = 11


class Unreachable(MkfsError):
    """No usable answer within the deadline: refused, reset, stalled, 5xx, or not HTTP at all. May pass; try again later."""

    exit_code = 12


class IntegrityError(MkfsError):
    """Bytes or documents that contradict a digest, a size or each other. They were not and will not be served."""

    exit_code = 13


class Mismatch(IntegrityError):
    """Bytes that are not what their digest or size promised. Fetch them again elsewhere; never serve them."""


class BadDigest(IntegrityError):
    """Text that is no digest, or one of an algorithm we cannot check. The fault is with whoever wrote the text."""


class Unsupported(MkfsError):
    """The artifact is what its digest says, but of a kind we do not show (a chart, an image without models, a format to come)."""

    exit_code = 14


class BadDocument(Unsupported):
    """A manifest, index or config that is what its digest says, but breaks the rules of its kind. The fault is with who wrote
    it.
    """


class BadArchive(Unsupported):
    """A layer that breaks the rules of its archive format, or uses a part of it that has no place in a model."""


class MountpointUnusable(MkfsError):
    """The directory to mount on is missing, is no directory, or is not empty."""

    exit_code = 20
    errno = _errno.EINVAL


class FuseUnavailable(MkfsError):
    """This machine cannot mount: no /dev/fuse, no permission, or not Linux."""

    exit_code = 21


class Busy(MkfsError):
    """The place is taken: something is mounted there, or somebody uses what should be unmounted."""

    exit_code = 22
    errno = _errno.EBUSY


class CacheUnusable(MkfsError):
    """The cache directory is not ours, not private, of another version, or has no room."""

    exit_code = 23


class NotServing(MkfsError):
    """A mount of ours that is there and not served: its process is dead, stopped, or stuck. Mount it again."""

    exit_code = 24


class Closing(MkfsError):
    """The owner of the work is closing; nobody will do it any more. Give up, do not retry."""


class FileSystemError(MkfsError):
    """An ordinary answer of a file system (no such name, not a directory, read-only). `errno` is the instance's own."""

    def __init__(self, errno: int, what: str, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.args = (errno, self.what, self.where, self.hint)
        self.errno = errno
