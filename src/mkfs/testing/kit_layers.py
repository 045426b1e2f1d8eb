"""Layers of ModelKits: what a test says they hold, and how kit packs that.

kit walks its context directory and keeps what is on the way to, or below, the layer's path (`writeLayerToTar` in
`pkg/lib/filesystem/tar.go`): parents come along, each layer repeats them, the root itself has no entry.
"""

import gzip
import posixpath
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias, final

from mkfs.archive.entry import EntryKind
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, MemoryBody, SeededBody, as_body, digest_of
from mkfs.testing.tars import END, JoinedBody, header, padding
from mkfs.units import MIB

Content: TypeAlias = bytes | int | BlobBody  # the bytes of a file, how many of them to make from the seed, or a body
Node: TypeAlias = "Directory | File | Content"

PARENT_MODE: Final = 0o755  # of directories that nobody said anything about

_SEEDED_IN_MEMORY_BYTES: Final = MIB  # a `SeededBody` costs as much itself
_NEVER_PACKED: Final = frozenset({"Kitfile", "kitfile", ".kitfile", ".kitignore"})  # at the root (kit, `ignore.go`)


@final
@dataclass(frozen=True, slots=True)
class File:
    """A file with permission bits of its own."""

    content: Content
    mode: int = 0o644


@final
@dataclass(frozen=True, slots=True)
class Directory:
    """Files and directories by name."""

    entries: Mapping[str, Node] = field(default_factory=dict)
    mode: int = 0o755


@final
@dataclass(frozen=True, slots=True)
class Wanted:
    """What a layer shall hold. `element` is the Kitfile's key for it, `path` as written there, `fields` the rest of the entry."""

    element: str
    path: str
    content: Node
    raw: bool
    fields: Mapping[str, object]

    @property
    def clean_path(self) -> str:
        """The path without `./` and trailing slash."""
        return posixpath.normpath(self.path)


class Member(NamedTuple):
    """One path of a layer, from the root of the kit. `body` is None for directories."""

    path: bytes
    kind: EntryKind
    mode: int
    body: BlobBody | None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A packed layer: what was wanted, the paths it holds in their order, its bytes. `diff_id` is of these before compression."""

    wanted: Wanted
    members: tuple[Member, ...]
    body: BlobBody
    digest: Digest
    diff_id: Digest
    compression: str = ""


def pack(everything: Sequence[Wanted], seed: int, compression: str = "") -> tuple[Layer, ...]:
    """The layers, in the same order. Contents given as a size are made from `seed` and their path, where they are read.

    With `compression` (gzip, zstd) each layer is in memory as a whole.
    """
    modes = {
        path: node.mode for each in everything for path, node in _walk(each.clean_path, each.content) if isinstance(node, Directory)
    }
    paths = {each.clean_path for each in everything}
    layers = (_pack(each, modes, paths - {each.clean_path}, lambda path, size: _seeded(seed, path, size)) for each in everything)
    return tuple(
        layer if each.element == "mcpServers" else compressed(layer, compression)
        for each, layer in zip(everything, layers, strict=True)
    )


def compressed(layer: Layer, compression: str) -> Layer:
    """`layer` with its bytes compressed; itself where `compression` is ""."""
    if not compression:
        return layer
    pack = {"gzip": gzipped, "zstd": zstandard}.get(compression)
    if pack is None:
        raise ValueError(f"{compression} is not packed here")
    body = MemoryBody(pack(layer.body.read(ByteRange(0, layer.body.size_bytes))))
    return replace(layer, body=body, digest=digest_of(body), compression=compression)


def gzipped(data: bytes) -> bytes:
    """`data` as gzip, without a time in its header, as Go writes it."""
    return gzip.compress(data, mtime=0)


def zstandard(data: bytes) -> bytes:
    """`data` as zstd, as Go's writer leaves it: with a checksum, without its size, and nothing at all where there is no data."""
    from backports import zstd

    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})
    return compressor.compress(data) + compressor.flush() if data else b""


def parents(path: bytes) -> list[bytes]:
    """The directories on the way to `path`, the root not counted."""
    return [path[:place] for place, byte in enumerate(path) if byte == ord("/")]


def _pack(wanted: Wanted, modes: Mapping[str, int], nested: AbstractSet[str], make: Callable[[str, int], BlobBody]) -> Layer:
    members = []
    for path, node in _walk(wanted.clean_path, wanted.content, nested):
        if isinstance(node, Directory):
            members.append(Member(_bytes(path), EntryKind.DIRECTORY, node.mode, None))
            continue
        file = node if isinstance(node, File) else File(node)
        body = make(path, file.content) if isinstance(file.content, int) else as_body(file.content)
        members.append(Member(_bytes(path), EntryKind.FILE, file.mode, body))
    if wanted.raw:
        (member,) = members
        body = member.body or MemoryBody(b"")
        return _layer(wanted, (member,), body)
    above = [
        Member(path, EntryKind.DIRECTORY, modes.get(path.decode("utf-8", "surrogateescape"), PARENT_MODE), None)
        for path in parents(_bytes(wanted.clean_path))
    ]
    return _layer(wanted, (*above, *members), _tar(above + members))


def _layer(wanted: Wanted, members: tuple[Member, ...], body: BlobBody) -> Layer:
    digest = digest_of(body)
    return Layer(wanted, members, body, digest, digest)


def _walk(path: str, node: Node, nested: AbstractSet[str] = frozenset()) -> Iterator[tuple[str, Node]]:
    """`node` and what is below, depth first by name as Go's `filepath.Walk`; what is `nested` there is a layer of its own."""
    if path in _NEVER_PACKED or path in nested:
        return
    if path != ".":
        yield path, node
    if isinstance(node, Directory):
        for name in sorted(node.entries, key=_bytes):
            yield from _walk(posixpath.join("" if path == "." else path, name), node.entries[name], nested)


def _tar(members: Sequence[Member]) -> BlobBody:
    parts: list[BlobBody | bytes] = []
    for path, kind, mode, body in members:
        if body is None:
            parts.append(header(path, kind, mode))
        else:
            parts += (header(path, kind, mode, body.size_bytes), body, padding(body.size_bytes))
    return JoinedBody((*parts, END))


def _seeded(seed: int, path: str, size_bytes: int) -> BlobBody:
    own = int.from_bytes(sha256(b"%d/%b" % (seed, _bytes(path))).digest()[:8], "big")
    if size_bytes > _SEEDED_IN_MEMORY_BYTES:
        return SeededBody(own, size_bytes)
    return MemoryBody(random.Random(own).randbytes(size_bytes))  # noqa: S311 - test data has to repeat


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
