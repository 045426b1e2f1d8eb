"""Paths out of archives and annotations are hostile until they went through here; from here on they are tuples of names."""

from typing import Final

from mkfs.archive.extended import PATH_LIMIT_BYTES
from mkfs.archive.names import show_name
from mkfs.errors import BadArchive

NAME_LIMIT_BYTES: Final = 255  # NAME_MAX of Linux and of FUSE: a longer name could be listed but never opened


def components(path: bytes) -> tuple[bytes, ...]:
    """The names along a clean relative path; `()` for the place it is relative to (`.`, `./`).

    Empty and `.` components are dropped, as every unpacker does. Raises `BadArchive` without a place (the caller knows layer and
    entry): empty, absolute, `..` anywhere, NUL, over 4096 bytes, or a name
    over 255 bytes. Any other byte is part of a name.
    """
    names = tuple(name for name in path.split(b"/") if name not in (b"", b"."))
    problem = ""
    if not path:
        problem = "is empty"
    elif path.startswith(b"/"):
        problem = "is absolute"
    elif b".." in names:
        problem = "leads upwards"
    elif b"\0" in path:
        problem = "holds a NUL"
    elif len(path) > PATH_LIMIT_BYTES:
        problem = f"is longer than {PATH_LIMIT_BYTES} bytes"
    elif max(map(len, names), default=0) > NAME_LIMIT_BYTES:
        problem = f"has a component longer than {NAME_LIMIT_BYTES} bytes"
    if problem:
        raise BadArchive(f"path {show_name(path)} {problem}")
    return names
