"""Which file system a descriptor or a path lies on, as the kernel's mount table tells it (proc(5), /proc/pid/mountinfo)."""

import os
import re
from pathlib import Path
from typing import Final

from mkfs.cache.files import OpenFile

OUR_FILE_SYSTEM: Final = "fuse.kitfs"
_SELF: Final = Path("/proc/self")
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")  # space, tab, newline and backslash are written so


def file_system_of(place: OpenFile) -> str:
    """The file system's type with its subtype, "" where the kernel does not tell. Looks nothing up on that file system."""
    try:
        info = (_SELF / "fdinfo" / str(place.fd)).read_text()
        table = (_SELF / "mountinfo").read_text(errors="replace")
    except OSError:  # no /proc: not Linux, or a bare container
        return ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return type_of_mount(table, fields.get("mnt_id", "").strip())


def file_system_above(path: Path) -> str:
    """The same for `path` (absolute) by its words alone: what hides behind symbolic links is not seen, but nothing is asked of a
    file system, which may be a mount that answers no more.
    """
    try:
        table = (_SELF / "mountinfo").read_bytes()
    except OSError:
        return ""
    return type_above(table, os.fsencode(path))


def type_above(table: bytes, path: bytes) -> str:
    """The type of the mount in `table` that `path` lies on: the one with the longest place, of several the last."""
    found, longest = b"", -1
    for row in table.splitlines():
        before, _, after = row.partition(b" - ")
        fields = before.split(b" ")
        place = _OCTAL.sub(lambda octal: bytes([int(octal[1], 8)]), fields[4]) if len(fields) > 4 else b""
        if len(place) >= longest and (path + b"/").startswith(place.rstrip(b"/") + b"/"):
            found, longest = after.partition(b" ")[0], len(place)
    return found.decode(errors="replace")


def type_of_mount(table: str, mount_id: str) -> str:
    """The type in the row of `table` (text of mountinfo) that `mount_id` names, "" if there is none."""
    for row in table.splitlines():
        if row.partition(" ")[0] == mount_id:
            return row.partition(" - ")[2].partition(" ")[0]  # " - " ends the optional fields; blanks in paths are escaped
    return ""
