"""The cache's directory and its disk, without making one: where there is nothing yet, what is above it is looked at."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mkfs.cache.abilities import ALIGNMENT, NOTHING, probe
from mkfs.cache.claims import claim_file
from mkfs.cache.eviction import Disk, Limits
from mkfs.cache.files import OpenFile, discard
from mkfs.cache.layout import Layout, refuse_our_mounts
from mkfs.cache.mounts import type_above
from mkfs.cache.survey import disk_from, survey
from mkfs.errors import CacheUnusable
from mkfs.service.doctor.judging.storage import Abilities, CacheDirectory, Directory, FileSystem, Space, State
from mkfs.service.doctor.situation import Situation

_TRIED: Final = ".kitfs-doctor-"
_MAY_WRITE: Final = os.W_OK | os.X_OK


def cache_directory(situation: Situation) -> CacheDirectory:
    """Opened as a mount opens it, if there is something in it; so the verdict and its words are those of a mount."""
    path = Path(situation.source.cache_dir)
    try:
        refuse_our_mounts(path)
    except CacheUnusable as error:  # and nothing is asked there: it may be one that is stuck
        return CacheDirectory(str(path), State.UNUSABLE, "", may_write=False, error=error)
    above = nearest(path)
    may_write = os.access(above, _MAY_WRITE)
    try:
        if not os.path.lexists(path):
            return CacheDirectory(str(path), State.MISSING, str(above), may_write)
        if path.is_dir() and not path.is_symlink() and _is_empty(path) and _is_private(path):
            return CacheDirectory(str(path), State.EMPTY, str(above), may_write)
        Layout.open(path).close()
    except CacheUnusable as error:
        return CacheDirectory(str(path), State.UNUSABLE, str(above), may_write, error)
    except OSError as error:
        refused = CacheUnusable(f"cache directory cannot be used: {error.strerror}", str(path))
        return CacheDirectory(str(path), State.UNUSABLE, str(above), may_write, refused)
    return CacheDirectory(str(path), State.CACHE, str(above), may_write)


def file_system(situation: Situation) -> FileSystem:
    """By the mount table: nothing is asked of that file system, which may be one that answers no more."""
    path = situation.source.cache_dir
    table = situation.machine.text("/proc/self/mountinfo") or ""
    return FileSystem(path, type_above(table.encode("utf-8", "surrogateescape"), os.fsencode(os.path.normpath(path))))


def abilities(situation: Situation) -> Abilities:
    """Tried with a file of two blocks, in the cache's staging or, without a cache, in a directory that is removed at once."""
    path = Path(situation.source.cache_dir)
    try:
        with _place_to_try(path) as place:
            found = probe(place)
    except (OSError, CacheUnusable):
        return Abilities(str(path), tried=False, direct=False, page_cache=False)
    return Abilities(
        str(path), tried=found != NOTHING or _takes_files(path), direct=found.direct, page_cache=found.page_cache is not None
    )


def space(situation: Situation) -> Space:
    """Of the file system that the cache is on, or will be."""
    return Space(situation.source.cache_dir, disk_below(Path(situation.source.cache_dir)), limits_of(situation))


def log_directory(situation: Situation) -> Directory:
    """Where daemons log."""
    return _directory("logs of mounts", situation.log_dir, "--log-file PATH")


def runtime_directory(situation: Situation) -> Directory:
    """Where sockets of mounts are."""
    return _directory("sockets of mounts", situation.runtime_dir, "MKFS_RUNTIME_DIR=PATH")


def limits_of(situation: Situation) -> Limits:
    """The cache's limits, as given."""
    source = situation.source
    return Limits(source.min_free_ratio, source.min_free_bytes, source.cache_size_bytes)


def disk_below(path: Path) -> Disk:
    """The file system of `path`, or of what is above it where there is nothing. Raises `OSError`."""
    return disk_from(os.statvfs(nearest(path)))


def used_bytes(path: Path) -> int:
    """What the cache at `path` occupies; 0 where there is none that can be used."""
    try:
        if not path.is_dir() or path.is_symlink() or _is_empty(path):
            return 0
        layout = Layout.open(path)
    except (CacheUnusable, OSError):
        return 0
    try:
        return survey(layout).total.size_bytes
    finally:
        layout.close()


def nearest(path: Path) -> Path:
    """`path`, or the nearest directory above it that exists."""
    return next((each for each in (path, *path.parents) if os.path.isdir(each)), Path("/"))  # noqa: PTH112 - False where we may not look


@contextmanager
def _place_to_try(path: Path) -> Iterator[OpenFile]:
    if path.is_dir() and not _is_empty(path):
        layout = Layout.open(path)
        try:
            yield layout.staging
        finally:
            layout.close()
        return
    with tempfile.TemporaryDirectory(prefix=_TRIED, dir=nearest(path)) as name:
        yield OpenFile(os.open(name, os.O_RDONLY | os.O_DIRECTORY))


def _takes_files(path: Path) -> bool:
    """Whether bytes can be written there: then it was tried, and has no abilities."""
    with _place_to_try(path) as place:
        try:
            claim = claim_file(place)
        except OSError:
            return False
        try:
            os.pwrite(claim.file.fd, bytes(ALIGNMENT), 0)
        except OSError:
            return False
        finally:
            discard(claim.name, place)
    return True


def _directory(what: str, path: str, option: str) -> Directory:
    place = Path(path)
    above = nearest(place)
    trouble = "" if os.access(above, _MAY_WRITE) else f"no write permission in {above}"
    if os.path.lexists(place) and not place.is_dir():
        trouble = "it is no directory"
    return Directory(what, path, place.is_dir(), trouble, option)


def _is_empty(path: Path) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is None


def _is_private(path: Path) -> bool:
    """Whether `Layout.open` would take it: who owns it, and that nobody else may write. It says why not better than we can."""
    status = path.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022
