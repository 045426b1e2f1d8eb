"""A plan: which layer of an artifact lands where, and how to read it. The answer of every module in this room."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, final

from msgspec import Struct

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadDocument
from mkfs.formats.properties import Claim
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest
from mkfs.oci.reference import Reference

Compression: TypeAlias = Literal["", "gzip", "zstd"]  # "": stored as it is


@final
class Parent(Struct, frozen=True):
    """Another artifact that this one refers to: its manifest, and the reference with the digest it had when it was resolved."""

    reference: Reference
    manifest: Manifest


@final
@dataclass(frozen=True, slots=True)
class Documents:
    """What has been read so far: the manifest, the proven bytes of small blobs by digest, artifacts that are referred to by their
    reference as written. Grows by what `Need` asked for.
    """

    manifest: Manifest
    blobs: Mapping[Digest, bytes] = field(default_factory=dict, hash=False)
    parents: Mapping[Reference, Parent] = field(default_factory=dict, hash=False)

    def read(self, blob: Descriptor, limit_bytes: int, what: str) -> "bytes | Need":
        """The bytes of a small blob, or that they are needed. Raises `BadDocument` for one too large to be `what`."""
        if blob.size_bytes > limit_bytes:
            raise BadDocument(f"{what}: too large (got {blob.size_bytes} bytes, expected at most {limit_bytes})")
        data = self.blobs.get(blob.digest, blob.data)
        return Need(blob) if data is None else data


@final
@dataclass(frozen=True, slots=True)
class Need:
    """Ask again with the bytes of this blob in `Documents.blobs`, or with this artifact in `Documents.parents`, if it may be
    followed. `origin` is the artifact whose repository has the blob; None: the one that is planned.
    """

    wanted: Descriptor | Reference
    origin: Reference | None = None


@final
class TarLayer(Struct, frozen=True):
    """A tar. Its entries land below `prefix` (b"" is the root). All of them must be at or below `within`, a directory that is there
    before the first of them.

    Of its entries, those of `kinds` are shown, those of `skipped` are left out as by the producer's tool, and any other is the
    producer's error. `keeps_times`: their times are the files' own, not what every archive of the producer says.
    `compression` is how the blob is stored; tables and extents count the bytes of the tar itself.
    """

    prefix: bytes = b""
    kinds: frozenset[EntryKind] = frozenset({EntryKind.FILE, EntryKind.DIRECTORY})
    compression: Compression = ""
    skipped: frozenset[EntryKind] = frozenset()
    keeps_times: bool = False
    within: bytes = b""


@final
class RawLayer(Struct, frozen=True):
    """The layer is the content of one file at `path` (relative, `/` between components, not yet checked).

    `compression` is how the blob is stored; the file's size is the descriptor's only where there is none. `size_bytes` is what the
    artifact says of a compressed file, None where it is silent: content of another size is not what was packed. `mtime_ns` is the
    file's own time since the epoch, None where the producer keeps none.
    """

    path: bytes
    mode: int = 0o644
    compression: Compression = ""
    size_bytes: int | None = None
    mtime_ns: int | None = None


@final
@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One layer and its place.

    `element` says what it is, in the Kitfile's words wherever they fit (`model`, `parts`, `datasets`, `code`, `docs` …); `name` is
    what its producer calls it; `ids` are all words by which a filter may name it. `diff_id` is what the artifact says the digest
    of the uncompressed layer is. It proves nothing and real tools write wrong ones: to be compared where a layer was decompressed.
    `origin` is the artifact whose repository has it; None: the one that was planned.
    """

    descriptor: Descriptor
    reading: TarLayer | RawLayer
    element: str
    name: str = ""
    ids: tuple[str, ...] = ()
    diff_id: Digest | None = None
    origin: Reference | None = None


@final
class InlineFile(Struct, frozen=True):
    """A file that the producer's tool writes from the config, not from a layer (the Kitfile)."""

    path: bytes
    data: bytes
    mode: int = 0o644


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the directory will hold. `layers` are in the order the producer's tool unpacks them; a digest may stand twice.

    `overlay`: they lie over one another as an image's layers do, all of them archives, and the directory holds what is below `top`
    then. Else they come together, each file claimed once.

    `parents` are the artifacts that some of the layers come from, the nearest first, with their digests. Of these, the digest of
    the planned artifact does not cover `uncovered_parents`: it names them by tag. `parent` is one that is still to be followed, in
    the artifact's words: no plan that leaves this room has one.
    """

    format_name: str  # for a person: "KitOps ModelKit"
    layers: tuple[PlannedLayer, ...]
    files: tuple[InlineFile, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)  # for `inspect`: name, version, description …
    warnings: tuple[str, ...] = ()  # what of the artifact is not shown, one line each
    doubts: tuple[str, ...] = ()  # what looks wrong and changes nothing of what is shown, one line each
    overlay: bool = False
    top: bytes = b""
    parent: str = ""
    parents: tuple[Reference, ...] = ()
    uncovered_parents: tuple[Reference, ...] = ()
    claims: tuple[Claim, ...] = ()  # what it says of its model, in the order of trust: see `properties`

    def warned(self, *warnings: str) -> "Plan":
        """The same plan with further warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))
