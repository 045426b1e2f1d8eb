"""Small records about names, such as a grant or what a tag meant last: one file each, named by the sha256 of the name.

A file holds the sha256 of what follows, the name, and the record. So a damaged file, or one that stands in another's place, is
absence, and a name from a registry never becomes part of a path. Keeping a record is a favour, no duty.
"""

import hashlib
import logging
from collections.abc import Callable
from typing import Final, final

from mkfs.cache.files import OpenFile, is_not_ours, read_whole, remove
from mkfs.cache.layout import Place, put
from mkfs.cache.shared import Shared
from mkfs.errors import CacheUnusable
from mkfs.units import KIB

logger = logging.getLogger(__name__)

LIMIT_BYTES: Final = 4 * KIB  # a reference has at most some 500 characters


@final
class Records:
    """The records of one kind. Any thread may ask; blocks for a small file's time; raises nothing."""

    __slots__ = ("_directory", "_shared", "_what")

    def __init__(self, shared: Shared, what: str, directory: Callable[[], OpenFile]) -> None:
        """`what`: one of them, for messages; `directory`: where they are, asked anew each time as the cache may be closed."""
        self._shared, self._what, self._directory = shared, what, directory

    def get(self, name: str) -> bytes | None:
        """The record of `name`, as it was kept. What is not right is removed."""
        try:
            place = Place(self._directory(), _file_name(name))
            try:
                content: bytes | None = read_whole(place.name, place.directory, LIMIT_BYTES)
            except FileNotFoundError:
                return None
            except OSError as error:
                if not is_not_ours(error):
                    raise
                content = None
            head = _head(name)
            if content is not None and content == _sealed(body := content[_SEAL_BYTES:]) and body.startswith(head):
                return body[len(head) :]
            remove(place.name, place.directory)
        except (OSError, CacheUnusable) as error:
            logger.warning("cannot read the %s of %s in the cache, going on without it: %s", self._what, name, error)
            return None
        self._shared.counters.add(damaged=1)
        logger.info("the %s of %s in the cache was damaged and is removed", self._what, name)
        return None

    def drop(self, name: str) -> None:
        """Forgets the record of `name`."""
        try:
            remove(_file_name(name), self._directory())
        except (OSError, CacheUnusable) as error:
            logger.warning("cannot remove the %s of %s from the cache: %s", self._what, name, error)

    def keep(self, name: str, record: bytes) -> None:
        """Keeps `record`, of less than `LIMIT_BYTES` with its name, in place of what was kept before."""
        content = _sealed(_head(name) + record)
        try:
            self._shared.room.require(len(content), 1, f"{self._what} of {name} in {self._shared.layout.path}")
            put(content, Place(self._directory(), _file_name(name)), self._shared.layout.staging)
        except CacheUnusable as error:
            logger.info("the %s of %s is not kept: %s", self._what, name, error)
        except OSError as error:
            logger.warning("cannot keep the %s of %s in the cache: %s", self._what, name, error)


def opened(file_name: str, content: bytes) -> tuple[str, bytes] | None:
    """Name and record in `content`, if it is a whole one that belongs in the file `file_name`."""
    body = content[_SEAL_BYTES:]
    name, end, record = body.partition(b"\n")
    right = content == _sealed(body) and bool(end) and hashlib.sha256(name).hexdigest() == file_name
    return (name.decode(errors="replace"), record) if right else None


_SEAL_BYTES: Final = 2 * hashlib.sha256().digest_size + 1


def _file_name(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _head(name: str) -> bytes:
    return name.encode() + b"\n"


def _sealed(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body
