"""What annotations say of one layer's file: its path, and its attributes as JSON. ModelPack's keys, which kit writes as well.

The keys were `org.cnai…` before model-spec 0.0.7, and the attributes' key had no `+json` in 0.0.4. The first that says something
counts. Values are hints of strangers: a path is checked where the tree is built, attributes here.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, final

from msgspec import Struct

from mkfs.errors import BadDocument
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.json import decode_json, shown
from mkfs.units import KIB

FILE_PATHS: Final = ("org.cncf.model.filepath", "org.cnai.model.filepath")
FILE_METADATA: Final = (
    "org.cncf.model.file.metadata+json",
    "org.cnai.model.file.metadata+json",
    "org.cnai.model.file.metadata",
)
TITLE: Final = "org.opencontainers.image.title"  # oras names files with it, and so do ModelPacks made by hand

_METADATA_LIMIT_BYTES: Final = 64 * KIB  # name, mode, ids, size, time: kit needs 150 bytes
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)  # RFC 3339
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@final
class FileMetadata(Struct, frozen=True):
    """Attributes of a file; None where nothing (that means something) is said."""

    name: str = ""
    mode: int | None = None  # as it stands: a tool takes of it what it wants
    size_bytes: int | None = None
    mtime_ns: int | None = None  # since the epoch; never 0, which the tools that keep no times write


def first(layer: Descriptor, keys: tuple[str, ...]) -> str:
    """The first of these annotations that is not empty, or ""."""
    return next((text for key in keys if (text := layer.annotations.get(key, ""))), "")


def file_metadata(layer: Descriptor, label: str) -> FileMetadata | None:
    """The attributes of the layer's file; None where it has no such annotation. Raises `BadDocument`, starting with `label`."""
    key = next((key for key in FILE_METADATA if layer.annotations.get(key)), None)
    if key is None:
        return None
    fields = decode_json(layer.annotations[key].encode("utf-8"), _METADATA_LIMIT_BYTES, f"{label}: annotation {key}")
    name, mode, size_bytes, mtime = (fields.get(each) for each in ("name", "mode", "size", "mtime"))
    for what, value in (("mode", mode), ("size", size_bytes)):
        if value is not None and (type(value) is not int or value < 0):
            raise BadDocument(f"{label}: the file's {what} is {shown(value)} (expected a whole number)", str(layer.digest))
    return FileMetadata(
        name if isinstance(name, str) else "",
        mode if isinstance(mode, int) else None,
        size_bytes if isinstance(size_bytes, int) else None,
        _nanoseconds(mtime) if isinstance(mtime, str) else None,
    )


def _nanoseconds(text: str) -> int | None:
    """A time of RFC 3339 in nanoseconds since the epoch. None where it is none, or says nothing: the epoch, the years before."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    except ValueError:
        return None
    seconds = (whole - _EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int((match[2] or "0").ljust(9, "0")) if seconds > 0 else None
