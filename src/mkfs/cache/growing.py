"""Staging of a layer whose size is known at its end only: its stored files are appended to, in the order of the layer.

Theory. As `cache.staging`: private to one owner, in a claimed directory, until one rename publishes it. But nothing can be reserved
beforehand. So room is asked for in steps while the layer grows, before the bytes of a step are written: what is evicted for a layer
is never much more than what has come of it. Whoever expects a size asks for it at once, so that what cannot fit is refused before
it is fetched.

One thread at a time.
"""

from contextlib import suppress
from typing import Final, Self, final

from mkfs.cache.claims import Claim, claim_directory
from mkfs.cache.files import Buffer, OpenFile, create, discard, write_at
from mkfs.cache.publishing import publish
from mkfs.cache.shared import Shared
from mkfs.cache.space import unusable
from mkfs.cache.stored import StoredLayer
from mkfs.cache.stored_file import stored_name
from mkfs.errors import CacheUnusable
from mkfs.oci.digest import Digest
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import OWN_FILE_BYTES, REST
from mkfs.units import MIB, format_size

# A step is as much as there is already, within these: a small layer needs little room, and of a large one a limit on the cache is
# looked at every half second (each look walks over the cache).
_FIRST_STEP_BYTES: Final = MIB
_STEP_BYTES: Final = 64 * MIB
_STEP_INODES: Final = _STEP_BYTES // OWN_FILE_BYTES + 3  # so many files end in a step at most; the directory, rest, index
_NO_ROOM: Final = "no room in the cache: "  # how the complaints about room begin


@final
class GrowingStaging:
    """Receives the content of layer `digest`. End it with `publish` or `discard`; a process that dies leaves it to the next sweep.

    `size_bytes`: how much is in it.
    """

    __slots__ = ("_claim", "_closed", "_digest", "_files", "_room_bytes", "_shared", "_sizes", "size_bytes")

    def __init__(self, shared: Shared, digest: Digest, claim: Claim) -> None:
        self._shared, self._digest, self._claim = shared, digest, claim
        self._files: dict[int, OpenFile] = {}  # that may grow: the rest, and the last one beside it
        self._sizes: dict[int, int] = {}
        self._room_bytes = 0  # asked for so far
        self._closed = False
        self.size_bytes = 0

    @classmethod
    def begin(cls, shared: Shared, digest: Digest, expected_bytes: int) -> Self:
        """Makes room for `expected_bytes` of layer `digest`; more may come. Blocks. Raises `CacheUnusable`; leaves nothing then."""
        try:
            staging = cls(shared, digest, claim_directory(shared.layout.staging))
        except OSError as error:
            raise unusable(error, expected_bytes, f"layer {digest} in {shared.layout.path}") from error
        try:
            staging.expect(expected_bytes)
        except CacheUnusable:
            staging.discard()
            raise
        return staging

    def expect(self, size_bytes: int) -> None:
        """Makes room for `size_bytes` in all; more may come. Blocks. Raises `CacheUnusable`."""
        if size_bytes <= self._room_bytes:
            return
        try:
            self._shared.room.require(size_bytes - self.size_bytes, _STEP_INODES, self._where)
        except CacheUnusable as error:
            what = f"{_NO_ROOM}a layer decompresses to {format_size(size_bytes)} at least; {error.what.removeprefix(_NO_ROOM)}"
            raise CacheUnusable(what, error.where, error.hint) from error
        except OSError as error:
            raise unusable(error, size_bytes, self._where) from error
        self._room_bytes = size_bytes

    def _make_room(self, size_bytes: int) -> None:
        """Makes room for `size_bytes` in all, and for a step more where that can be had."""
        if size_bytes > self._room_bytes:
            with suppress(CacheUnusable):
                self.expect(size_bytes + min(max(self.size_bytes, _FIRST_STEP_BYTES), _STEP_BYTES))
            self.expect(size_bytes)

    def append(self, file: int, data: Buffer) -> None:
        """Adds `data` (items of one byte) to stored file `file`: the rest, the one before, or a new one. Blocks.

        Raises `CacheUnusable` where there is no room or the disk fails; this can only be discarded then. Raises `ValueError` after
        its end.
        """
        if self._closed:
            raise ValueError(f"staging of layer {self._digest} has ended")
        grown_bytes = self.size_bytes + len(data)
        self._make_room(grown_bytes)
        try:
            if file not in self._files:
                self._files = {each: opened for each, opened in self._files.items() if each == REST}
                self._files[file] = create(stored_name(file), self._claim.file)
            size_bytes = self._sizes.get(file, 0)
            write_at(self._files[file], data, size_bytes)
        except OSError as error:
            raise unusable(error, grown_bytes, self._where) from error
        self._sizes[file], self.size_bytes = size_bytes + len(data), grown_bytes

    def publish(self, index: ChunkIndex) -> StoredLayer:
        """Makes the layer readable, under `index`; the caller has proven that what it added is the layer. Blocks.

        Somebody else may have published the layer meanwhile: then this is discarded and theirs is the answer. Raises
        `CacheUnusable` where the disk fails: then this is discarded, too. Raises `ValueError` where `index` is of something else:
        then this goes on.
        """
        if self._closed:
            raise ValueError(f"staging of layer {self._digest} has ended")
        if index.layer != self._digest or index.grid.file_sizes != self._sizes:
            raise ValueError(f"{index!r} is not that of this staging")
        self._end()
        try:
            return publish(self._shared, self._claim, index, ())
        except OSError as error:
            raise unusable(error, self.size_bytes, self._where) from error

    def discard(self) -> None:
        """Ends this staging and removes what is in it. Does nothing after `publish` or a second time; raises nothing. Blocks."""
        if not self._closed:
            self._end()
            discard(self._claim.name, self._shared.layout.staging)

    def _end(self) -> None:
        self._closed = True
        self._files.clear()  # nobody writes to a published file

    @property
    def _where(self) -> str:
        return f"layer {self._digest} in {self._shared.layout.path}"
