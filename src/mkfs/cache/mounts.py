"""Which file system a descriptor lies on, as the kernel's mount table tells it (proc(5), /proc/pid/mountinfo)."""

from pathlib import Path
from typing import Final

from mkfs.cache.files import OpenFile

OUR_FILE_SYSTEM: Final = "fuse.kitfs"
_SELF: Final = Path("/proc/self")


def file_system_of(place: OpenFile) -> str:
    """The file system's type with its subtype, "" where the kernel does not tell. Looks nothing up on that file system."""
    try:
        info = (_SELF / "fdinfo" / str(place.fd)).read_text()
        table = (_SELF / "mountinfo").read_text(errors="replace")
    except OSError:  # no /proc: not Linux, or a bare container
        return ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return type_of_mount(table, fields.get("mnt_id", "").strip())


def type_of_mount(table: str, mount_id: str) -> str:
    """The type in the row of `table` (text of mountinfo) that `mount_id` names, "" if there is none."""
    for row in table.splitlines():
        if row.partition(" ")[0] == mount_id:
            return row.partition(" - ")[2].partition(" ")[0]  # " - " ends the optional fields; blanks in paths are escaped
    return ""
