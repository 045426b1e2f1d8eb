"""A partial layer: chunks stored one by one under a chunk index that is trusted, in sparse files that every process may fill.

Theory. A chunk is checked in private memory and then written, by whoever has it; two who write the same chunk write the same bytes,
early or late. Then its byte in the ledger is set. Neither is synchronised: after a crash the ledger may be behind the chunks, or
ahead of them over a hole of zeros. Both are harmless, as a chunk's first use in each process hashes it; what is wrong is noted as
missing and fetched again. A hole is never answered: not from the disk, where its hash is wrong, and not from memory, which answers
only for chunks that this process hashed or received.

The directory is made whole in `staging/` and appears by one rename; or it was published, and came here when it was damaged
(`cache.mending`). Who reads it holds a shared lock on it (flock): a pin, which keeps others from removing it.
"""

import errno
import logging
import os
from typing import Final, Self, final

from mkfs.cache.chunk_reads import ChunkReads, Damaged
from mkfs.cache.claims import bury, claim_directory
from mkfs.cache.files import Buffer, OpenFile, create, discard, is_not_ours, open_directory, write_at
from mkfs.cache.layout import Place
from mkfs.cache.ledger import NAME, Ledger, empty_ledger
from mkfs.cache.pins import grip, open_pinned, pin
from mkfs.cache.shared import Report, Shared
from mkfs.cache.space import unusable
from mkfs.cache.stored_file import bad_files, chunks_of, make_hole, stored_name
from mkfs.errors import CacheUnusable, IntegrityError, MkfsError
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.ranges import ByteRange

logger = logging.getLogger(__name__)

_OPEN_TRIES: Final = 5  # once or twice is the rule; again when others make or remove the same layer at that moment
_TAKEN: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
_EXTRA_INODES: Final = 2  # the directory and the ledger


class Missing(MkfsError):
    """Chunks that are wanted are not stored. `numbers` says which; fetch them."""

    def __init__(self, what: str, where: str = "", hint: str = "", numbers: tuple[int, ...] = ()) -> None:
        super().__init__(what, where, hint)
        self.args = (what, where, hint, numbers)
        self.numbers = numbers


@final
class PartialLayer:
    """Reads and fills one layer chunk by chunk. Any thread may call. Close it when done; others go on with theirs.

    `identity` is the status of its directory. It stays readable after it was removed, as far as its files are open.
    """

    __slots__ = ("_ledger", "_pin", "_reads", "_shared", "identity", "index")

    def __init__(self, shared: Shared, index: ChunkIndex, directory: OpenFile, ledger: Ledger) -> None:
        """`directory` with a shared lock on it, which lasts until `close`."""
        self.index = index
        self.identity = os.fstat(directory.fd)
        self._shared, self._ledger = shared, ledger
        self._pin: OpenFile | None = directory
        self._reads = ChunkReads(shared, index, directory, growing=True, mending=ledger.mending)

    @classmethod
    def open(cls, shared: Shared, index: ChunkIndex) -> Self:
        """What is stored of the layer of `index`, made where there is nothing. Blocks.

        What stands in its place and is of another index is removed, and what of it is damaged is missing. Raises `CacheUnusable`,
        for want of room, too.
        """
        where = f"layer {index.layer} in {shared.layout.path}"
        try:
            place = shared.layout.partial(index.layer)
            for _ in range(_OPEN_TRIES):
                opened = cls._find(shared, index, place) or cls._make(shared, index, place, where)
                if opened is not None:
                    return opened
        except OSError as error:
            raise unusable(error, 0, where) from error
        raise CacheUnusable("the cache cannot be written: somebody keeps removing what we make", where)

    @classmethod
    def find(cls, shared: Shared, index: ChunkIndex, report: Report) -> Self | None:
        """What is stored of the layer of `index`; nothing is made. What cannot be used is removed and reported.

        Raises `OSError`.
        """
        return cls._find(shared, index, shared.layout.partial(index.layer), report)

    @classmethod
    def _find(cls, shared: Shared, index: ChunkIndex, place: Place, report: Report | None = None) -> Self | None:
        """What is there; None if nothing is, or not any more. Raises `OSError`."""
        try:
            identity = os.stat(place.name, dir_fd=place.directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None
        try:
            directory = open_pinned(place.name, place.directory)
            if directory is None:
                return None
            ledger = Ledger.open(directory, index)
            if not ledger.mending:
                _heal(shared, index, directory, ledger, report)
            return cls(shared, index, directory, ledger)
        except BlockingIOError:  # somebody is taking it away: we help
            pass
        except (IntegrityError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) and not is_not_ours(error):
                raise
            shared.counters.add(damaged=1)
            if report is not None:
                report(str(error))
            logger.info("stored chunks of layer %s cannot be used and are removed: %s", index.layer, error)
        bury(place.name, place.directory, shared.layout.staging, only=identity)
        return None

    @classmethod
    def _make(cls, shared: Shared, index: ChunkIndex, place: Place, where: str) -> Self | None:
        """An empty one; None if somebody else was first. Raises `OSError`, `CacheUnusable`."""
        staging = shared.layout.staging
        shared.room.require(0, len(index.grid.file_sizes) + _EXTRA_INODES, where)
        claim = claim_directory(staging)
        try:
            for file, size_bytes in index.grid.file_sizes.items():
                make_hole(stored_name(file), claim.file, size_bytes)
            write_at(create(NAME, claim.file), empty_ledger(index), 0)
            pin(claim.file)  # before it appears, so that nobody finds it without
            os.rename(claim.name, place.name, src_dir_fd=staging.fd, dst_dir_fd=place.directory.fd)
            return cls(shared, index, claim.file, Ledger.open(claim.file, index))
        except OSError as error:
            if error.errno not in _TAKEN and not isinstance(error, BlockingIOError | FileNotFoundError):  # a sweeper's, both
                raise
            return None
        finally:
            discard(claim.name, staging)  # nothing there any more if it went well

    def has(self, number: int) -> bool:
        """Whether chunk `number` is stored, as far as is known without hashing it. Costs one read of a byte at most."""
        return self._reads.is_trusted(number) or not self.missing(range(number, number + 1))

    def missing(self, chunks: range) -> list[int]:
        """Which of the chunks numbered `chunks` are not stored, as `has`. Costs one small read. Where it fails: all are missing."""
        try:
            noted = self._ledger.missing(chunks)
        except OSError as error:
            logger.info("the ledger of layer %s cannot be read: %s", self.index.layer, error)
            noted = list(chunks)
        return [number for number in noted if not self._reads.is_trusted(number)]

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` (within the layer) if they are in memory and known to be right, else None. Never blocks."""
        return self._reads.read_now(wanted)

    def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted` (within the layer). Blocks: call it in a thread.

        Raises `Missing` where chunks are not stored; `Damaged` where one is not right or not readable (it is noted as missing by
        then); `CacheUnusable` where the process is short of something or the layer is closed.
        """
        missing = self.missing(self.index.grid.chunks(wanted))
        if missing:
            raise Missing(f"{len(missing)} chunks are not in the cache", f"layer {self.index.layer}", numbers=tuple(missing))
        try:
            return self._reads.read(wanted)
        except Damaged as error:
            if error.number is not None:
                self.mark_missing(error.number)
            raise

    def put(self, number: int, data: Buffer) -> None:
        """Publishes chunk `number`: checks `data`, which nobody may change meanwhile, stores it and notes it. Blocks.

        The same chunk may be put by many at once and again. Raises `Mismatch` for wrong bytes, `CacheUnusable` where there is no
        room or the disk fails; then the chunk is missing, or what it was before.
        """
        self.index.check(number, data)
        where = f"layer {self.index.layer} in {self._shared.layout.path}"
        try:
            if not self._reads.is_trusted(number):
                self._shared.room.require(len(data), int(self._ledger.mending), where)
                self._reads.write(number, data)
                self._shared.counters.add(stored_chunks=1, stored_bytes=len(data))
            self._ledger.set(number, stored=True)
        except OSError as error:
            raise unusable(error, len(data), where) from error
        except IntegrityError as error:
            raise CacheUnusable(f"the cache cannot be written: {error}", where) from error

    def verify(self, number: int) -> None:
        """Reads chunk `number` from the disk and hashes it. Blocks. Raises as `read`; a damaged chunk is noted as missing."""
        try:
            self._reads.verify(number)
        except Damaged:
            self.mark_missing(number)
            raise

    def mark_missing(self, number: int) -> None:
        """Notes that chunk `number` has to be fetched again. Raises nothing."""
        self._reads.distrust(number)
        try:
            self._ledger.set(number, stored=False)
        except OSError as error:  # its hash will say it again
            logger.info("the ledger of layer %s cannot be written: %s", self.index.layer, error)

    def close(self) -> None:
        """Lets go of files and pin. Calls under way in other threads end well, later ones raise `CacheUnusable`. Twice is fine."""
        self._reads.close()
        self._pin = None


def _heal(shared: Shared, index: ChunkIndex, directory: OpenFile, ledger: Ledger, report: Report | None) -> None:
    """Makes holes of the stored files that are not what they should be, and notes their chunks as missing. Raises `OSError`."""
    bad = bad_files(directory, index.grid)
    for number in chunks_of(index.grid, bad):
        ledger.set(number, stored=False)
    for file, what in bad.items():
        make_hole(stored_name(file), directory, index.grid.file_sizes[file])
        shared.counters.add(damaged=1)
        if report is not None:
            report(what)
        logger.info("stored chunks of layer %s are lost and will be fetched again: %s", index.layer, what)


def remove_partial(shared: Shared, index: ChunkIndex) -> None:
    """Removes the stored chunks of a layer that nobody reads; for whoever has published it whole. Blocks, raises nothing."""
    try:
        place = shared.layout.partial(index.layer)
        directory = open_directory(place.name, place.directory)
        if grip(directory):
            bury(place.name, place.directory, shared.layout.staging, only=os.fstat(directory.fd))
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.info("stored chunks of layer %s cannot be removed: %s", index.layer, error)
