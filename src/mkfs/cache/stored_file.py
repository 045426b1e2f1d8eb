"""The stored files of a layer: direct reads into private memory, and reads of what the page cache has of our writes.

Descriptors are the process's, and layers may be many: whoever gets none for a file closes those of all layers that only wait for
their next read, and tries once more.
"""

import errno
import mmap
import os
import threading
from collections.abc import Callable, Mapping
from typing import Final, final
from weakref import WeakSet

from cachetools import LRUCache

from mkfs.cache.abilities import ALIGNMENT, DIRECT, Abilities
from mkfs.cache.behind import Behind
from mkfs.cache.files import Buffer, OpenFile, is_our_file, made_anyway, open_to_read, write_at
from mkfs.cache.page_cache import Outcome
from mkfs.errors import CacheUnusable, IntegrityError
from mkfs.proof.grid import REST, Grid
from mkfs.ranges import ByteRange

_OPEN_FILES: Final = 32  # per layer, two descriptors each: what fits beside sockets into the usual limit of 1024
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})


def stored_name(file: int) -> str:
    """The name of stored file number `file` in its layer's directory."""
    return "rest" if file == REST else str(file)


def mended_name(file: int) -> str:
    """The name of the file that holds what was mended of stored file number `file`: see `cache.mending`."""
    return f"{stored_name(file)}.mended"


def bad_files(directory: OpenFile, grid: Grid) -> dict[int, str]:
    """Which stored files of `grid` do not stand in `directory` with their sizes, and what is wrong with each. Raises `OSError`."""
    bad: dict[int, str] = {}
    for file, size_bytes in grid.file_sizes.items():
        name = stored_name(file)
        try:
            status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            bad[file] = f"file {name} is missing"
            continue
        if not is_our_file(status, size_bytes):
            bad[file] = f"file {name} is not ours or has a wrong size (got {status.st_size} bytes, expected {size_bytes})"
    return bad


def chunks_of(grid: Grid, files: Mapping[int, str]) -> list[int]:
    """The numbers of the chunks that the stored `files` hold."""
    return [number for number in range(grid.count) if grid.place(number)[0] in files] if files else []


def make_hole(name: str, directory: OpenFile, size_bytes: int) -> None:
    """Makes sure that the file `name` is there, of ours and of that size: with nothing but a hole where there was none. What it
    holds stays as it is. Raises `OSError`.
    """
    made = made_anyway(name, directory)
    if os.fstat(made.fd).st_size != size_bytes:
        os.ftruncate(made.fd, size_bytes)


@final
class StoredFile:
    """An open file. Bytes that `read` gives are unproven until the caller has hashed them. Any thread may call."""

    __slots__ = ("_abilities", "_direct", "_plain")

    def __init__(self, directory: OpenFile, name: str, size_bytes: int, abilities: Abilities, *, writable: bool) -> None:
        """Opens `name` in `directory`. Raises `OSError`; `IntegrityError` for anything but a file of ours of `size_bytes`."""
        self._abilities = abilities
        self._plain = open_to_read(name, directory, os.O_RDWR if writable else os.O_RDONLY)
        self._direct = open_to_read(name, directory, DIRECT) if abilities.direct else self._plain
        status = os.fstat(self._plain.fd)
        if not is_our_file(status, size_bytes) or not os.path.samestat(status, os.fstat(self._direct.fd)):
            raise IntegrityError(f"not a file of ours, or of a wrong size (got {status.st_size} bytes, expected {size_bytes})")
        if abilities.page_cache is not None:
            os.posix_fadvise(self._plain.fd, 0, 0, os.POSIX_FADV_RANDOM)  # see `cache.page_cache`

    def read(self, offset: int, length: int) -> memoryview:
        """`length` bytes from `offset` on, fewer at the end of the file, in memory of their own. Blocks. Raises `OSError`."""
        skip = offset % ALIGNMENT
        blocks = -(-(skip + length) // ALIGNMENT)
        memory = memoryview(mmap.mmap(-1, blocks * ALIGNMENT, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        done = 0
        while done < skip + length:
            got = os.preadv(self._direct.fd, [memory[done:]], offset - skip + done)
            done += got
            if not got or got % ALIGNMENT:  # the end of the file; a direct read could not go on from here either
                break
        return memory[skip : max(skip, min(skip + length, done))].toreadonly()

    def write(self, data: Buffer, offset: int) -> None:
        """All of `data`, proven, from `offset` on; what `read` and `read_resident` see from now on. Blocks. Raises `OSError`."""
        write_at(self._plain, data, offset)

    def passed(self, stored: ByteRange, behind: Behind) -> None:
        """Says that all of `stored` has been answered from the page cache."""
        behind.passed(self._plain, stored)

    def read_resident(self, target: memoryview, offset: int) -> Outcome:
        """Fills `target` (not empty) from `offset` on if the page cache holds it all. Never waits. Raises `OSError`."""
        page_cache = self._abilities.page_cache
        return Outcome.ABSENT if page_cache is None else page_cache.read(self._plain, target, offset)


@final
class StoredFiles:
    """The files of one layer by number, opened when they are needed, the least recently used ones closed. Any thread may call.

    `name`: of each in `directory`; `writable`: whether they are opened to be written as well.
    """

    __slots__ = ("__weakref__", "_abilities", "_directory", "_files", "_lock", "_name", "_sizes", "_writable")

    def __init__(
        self,
        directory: OpenFile,
        sizes: Mapping[int, int],
        abilities: Abilities,
        *,
        writable: bool,
        name: Callable[[int], str] = stored_name,
    ) -> None:
        self._directory: OpenFile | None = directory
        self._sizes, self._abilities, self._writable, self._name = sizes, abilities, writable, name
        self._lock = threading.Lock()
        self._files: LRUCache[int, StoredFile] = LRUCache(_OPEN_FILES)
        with _all_lock:
            _all.add(self)

    def get(self, file: int) -> StoredFile | None:
        """File number `file` if it is open. Never waits."""
        with self._lock:
            return self._files.get(file)

    def open(self, file: int) -> StoredFile:
        """File number `file`. Blocks. Raises `OSError`, `IntegrityError`; `CacheUnusable` after `close`."""
        with self._lock:
            opened, directory = self._files.get(file), self._directory
        if opened is not None:
            return opened
        if directory is None:
            raise CacheUnusable("the cached layer is closed")
        try:
            opened = self._opened(file, directory)
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            close_idle()
            opened = self._opened(file, directory)
        with self._lock:
            if self._directory is not None:
                self._files[file] = opened
        return opened

    def _opened(self, file: int, directory: OpenFile) -> StoredFile:
        return StoredFile(directory, self._name(file), self._sizes[file], self._abilities, writable=self._writable)

    def close_idle(self) -> None:
        """Lets go of all files until they are opened again; who reads one goes on with it."""
        with self._lock:
            self._files.clear()

    def make(self, file: int) -> None:
        """Sees to it that file number `file` is there and can be written; see `make_hole`. Blocks. Raises `OSError`;
        `CacheUnusable` after `close`.
        """
        with self._lock:
            directory = self._directory
        if directory is None:
            raise CacheUnusable("the cached layer is closed")
        make_hole(self._name(file), directory, self._sizes[file])

    def close(self) -> None:
        """Lets go of all files; who reads one goes on with it."""
        with self._lock:
            self._directory = None
            self._files.clear()


_all: Final[WeakSet[StoredFiles]] = WeakSet()  # of the process, as its descriptors are
_all_lock: Final = threading.Lock()  # a set that is walked through may not grow


def close_idle() -> None:
    """Closes the files of all layers that nobody reads at this moment."""
    with _all_lock:
        everybody = list(_all)
    for files in everybody:
        files.close_idle()
