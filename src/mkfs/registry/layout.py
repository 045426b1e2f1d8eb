"""An OCI layout directory, read as a repository is (image-spec, image-layout.md): skopeo, oras and kit write them.

The names in `index.json` are its tags. Some tools write a whole reference there: what stands behind its last colon counts as well.
A blob is the file of its digest, and no more believed than a registry's: whoever reads it proves it. Files are read in threads; a
directory that changes while it is read is a registry whose blobs change.
"""

import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias, final

import trio

from mkfs.errors import BadDocument, Mismatch, MkfsError, NotAuthorised, NotFound, Unreachable, Unsupported
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES, Index, decode_manifest
from mkfs.oci.media_types import OCI_INDEX
from mkfs.oci.reference import Reference, is_tag
from mkfs.oci.referrers import artifact_type_of
from mkfs.proof.proven import Proven, prove
from mkfs.ranges import ByteRange
from mkfs.registry.manifests import ResolvedManifest
from mkfs.registry.repository import DOCUMENT_LIMIT_BYTES, Repository
from mkfs.units import MIB

REFERENCE_NAME: Final = "org.opencontainers.image.ref.name"

_PIECE_BYTES: Final = MIB
_SHOWN_TAGS: Final = 12
_REFERRERS_LOOKED_AT: Final = 1000  # manifests, as many as of a registry's list
_READ_ONLY: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in the place of a blob must not hold us up


@final
class Layout:
    """Implements `registry.ranges.RangeReader`, and what else is asked of a `Repository`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.registry, self.name = "", str(root)

    async def resolve(self, reference: Reference) -> ResolvedManifest:
        """The manifest that `reference` names: by digest, by tag, or the only one there is.

        Raises `NotFound`, `Unsupported` (none is named and there are several), `BadDocument`, `Mismatch`, `NotAuthorised`.
        """
        entry = await trio.to_thread.run_sync(self._entry, reference)
        data = await trio.to_thread.run_sync(self._read, entry.digest, MANIFEST_LIMIT_BYTES)
        try:
            prove(Descriptor(entry.media_type, entry.digest, len(data)), data)
        except Mismatch as error:
            raise Mismatch(error.what, f"manifest of {reference}") from error
        return ResolvedManifest(entry.digest, data, entry.media_type)

    async def digest_of(self, reference: Reference) -> Digest:
        """What a tag means now, by the word of the index. Raises as `resolve`."""
        return (await trio.to_thread.run_sync(self._entry, reference)).digest

    async def tags(self) -> tuple[str, ...]:
        """All names that are tags, or end in one, in the order of the index. Raises as `resolve`."""
        index = await trio.to_thread.run_sync(self._index)
        names = (entry.annotations.get(REFERENCE_NAME, "").rpartition(":")[2] for entry in index.manifests)
        return tuple(dict.fromkeys(name for name in names if is_tag(name)))

    async def has_several(self) -> bool:
        """Whether its tags name several artifacts, so that the layout's own name says none. Raises as `resolve`."""
        index = await trio.to_thread.run_sync(self._index)
        return len({entry.digest for entry in index.manifests if any(map(is_tag, _tags(entry)))}) > 1

    async def referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        """The manifests in its index that say they are about `subject`, where `oras cp -r` puts them: a hint, as a registry's list.

        Raises as `resolve`.
        """
        return await trio.to_thread.run_sync(self._referrers, subject)

    async def read_blob(self, blob: Descriptor, limit_bytes: int = DOCUMENT_LIMIT_BYTES) -> Proven:
        """All of a small blob, proven. Raises as `Repository.read_blob`."""
        if blob.data is not None or not blob.size_bytes:
            return prove(blob, blob.data or b"")
        data = await trio.to_thread.run_sync(self._read, blob.digest, limit_bytes)
        try:
            return prove(blob, data)
        except Mismatch as error:
            raise Mismatch(error.what, f"{self._root}, {blob.media_type}") from error

    async def head_blob(self, blob: Descriptor) -> None:
        """Returns if the directory has `blob`. Raises as `Repository.head_blob`."""
        if blob.data is not None or not blob.size_bytes:
            prove(blob, blob.data or b"")
            return
        os.close(await trio.to_thread.run_sync(self._open, blob))

    @asynccontextmanager
    async def open_range(self, blob: Descriptor, wanted: ByteRange, *, fresh: bool = False) -> AsyncGenerator["FileStream", None]:  # noqa: ARG002 - nothing is on the way
        """See `registry.ranges.RangeReader`. Raises `Mismatch` where the file has another size than the blob."""
        if not wanted.length or not ByteRange(0, blob.size_bytes).covers(wanted):
            raise ValueError(f"{wanted} is no range to ask for in a blob of {blob.size_bytes} bytes")
        descriptor = await trio.to_thread.run_sync(self._open, blob)
        try:
            yield FileStream(descriptor, wanted, f"{self._root}, blob {blob.digest}")
        finally:
            os.close(descriptor)

    def _index(self) -> Index:
        index = decode_manifest(self._read_file(self._root / "index.json", MANIFEST_LIMIT_BYTES), OCI_INDEX)
        if not isinstance(index, Index):
            raise BadDocument("index.json is a manifest, not an index", str(self._root))
        return index

    def _referrers(self, subject: Digest) -> tuple[Descriptor, ...]:
        found = []
        for entry in self._index().manifests[:_REFERRERS_LOOKED_AT]:
            try:
                document = decode_manifest(self._read(entry.digest, MANIFEST_LIMIT_BYTES), entry.media_type)
            except (MkfsError, ValueError):  # whoever wants that one is told
                continue
            if document.subject is not None and document.subject.digest == subject:
                found.append(replace(entry, artifact_type=artifact_type_of(document), annotations=document.annotations))
        return tuple(found)

    def _entry(self, reference: Reference) -> Descriptor:
        index = self._index()
        found = index.manifests
        if reference.digest is not None:
            same = [entry for entry in found if entry.digest == reference.digest]
            return same[0] if same else Descriptor("", reference.digest, 0)  # of an index within, perhaps
        if reference.tag is not None:
            found = tuple(entry for entry in found if reference.tag in _tags(entry))
        if len({entry.digest for entry in found}) == 1:
            return found[0]
        tags = sorted({entry.annotations.get(REFERENCE_NAME, "") or f"@{entry.digest}" for entry in index.manifests})
        has = f"it has {', '.join(tags[:_SHOWN_TAGS])}{', …' if tags[_SHOWN_TAGS:] else ''}" if tags else "it has none"
        if reference.tag is not None:
            raise NotFound(f"the layout has no artifact {reference.tag!a}", str(self._root), has)
        raise Unsupported(f"the layout has {len(index.manifests)} artifacts: name one, oci:{self._root}:TAG", "", has)

    def _open(self, blob: Descriptor) -> int:
        """A descriptor of the blob's file, which has its size."""
        descriptor = self._open_file(self._blob_path(blob.digest))
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes != blob.size_bytes:
            os.close(descriptor)
            what = f"blob {blob.digest} has another size than its descriptor says (got {size_bytes}, expected {blob.size_bytes})"
            raise Mismatch(what, str(self._root))
        return descriptor

    def _read(self, digest: Digest, limit_bytes: int) -> bytes:
        return self._read_file(self._blob_path(digest), limit_bytes)

    def _read_file(self, path: Path, limit_bytes: int) -> bytes:
        with os.fdopen(self._open_file(path), "rb") as file:
            try:
                data = file.read(limit_bytes + 1)
            except OSError as error:
                raise self._failure(error, path) from error
        if len(data) > limit_bytes:
            raise BadDocument(f"{path.name} is too large (expected at most {limit_bytes} bytes)", str(self._root))
        return data

    def _open_file(self, path: Path) -> int:
        try:
            descriptor = os.open(path, _READ_ONLY)
        except OSError as error:
            raise self._failure(error, path) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotFound(f"{path.relative_to(self._root)} is no file", str(self._root))
        return descriptor

    def _blob_path(self, digest: Digest) -> Path:
        return self._root / "blobs" / digest.algorithm / digest.hex

    def _failure(self, error: OSError, path: Path) -> MkfsError:
        name = str(path.relative_to(self._root))
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            hint = "an OCI layout directory has an index.json" if path.name == "index.json" else ""
            return NotFound(f"there is no {name}", str(self._root), hint)
        if error.errno in (errno.EACCES, errno.EPERM):
            return NotAuthorised(f"{name} may not be read", str(self._root))
        return Unreachable(f"{name} cannot be read: {error.strerror}", str(self._root))


AnyRepository: TypeAlias = Repository | Layout


@final
class FileStream:
    """A `registry.ranges.BlobStream` over an open file."""

    def __init__(self, descriptor: int, promised: ByteRange, label: str) -> None:
        self.range = promised
        self.host = label
        self._descriptor = descriptor
        self._at = promised.start

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes. Raises `Unreachable` where the file ends too early or cannot be read."""
        if self._at == self.range.stop:
            raise StopAsyncIteration
        room = bytearray(min(_PIECE_BYTES, self.range.stop - self._at))
        count = await self.receive_into(memoryview(room))
        return bytes(memoryview(room)[:count])

    async def receive_into(self, target: memoryview, follow: Callable[[int], None] | None = None) -> int:  # noqa: ARG002 - may be told nothing
        """See `registry.ranges.BlobStream`. Raises as iterating does."""
        wanted = target[: self.range.stop - self._at]
        if not wanted:
            return 0
        try:
            count = await trio.to_thread.run_sync(os.preadv, self._descriptor, (wanted,), self._at)
        except OSError as error:
            raise Unreachable(f"the file cannot be read: {error.strerror}", self.host) from error
        if not count:
            raise Unreachable(f"the file ended {self.range.stop - self._at} bytes early", self.host)
        self._at += count
        return count


def _tags(entry: Descriptor) -> set[str]:
    name = entry.annotations.get(REFERENCE_NAME, "")
    return {name, name.rpartition(":")[2]} - {""}
