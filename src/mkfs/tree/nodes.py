"""Nodes of a tree: files, directories and symbolic links, by inode number. Values; a tree's nodes never change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from msgspec import Struct


@final
class Extent(Struct, frozen=True):
    """`length` bytes of a file, from `file_offset` on, are the layer's bytes from `layer_offset` on (uncompressed)."""

    file_offset: int
    layer_offset: int
    length: int


@final
@dataclass(frozen=True, slots=True)
class File:
    """A regular file. Its `extents` are in order, tile `[0, size_bytes)` and are never empty; a file without bytes has none.

    `layer` is an index into the plan's layers; where it is None, the content is `data` and there are no extents.
    """

    number: int
    mode: int  # as the artifact has it, & 0o7777; what a mount shows of it is the vfs' business
    size_bytes: int
    layer: int | None
    extents: tuple[Extent, ...]
    data: bytes = field(default=b"", repr=False)
    mtime_ns: int | None = None  # its own time since the epoch; None where the artifact keeps none


@final
@dataclass(frozen=True, slots=True)
class Directory:
    """A directory. `children` maps names to inode numbers, sorted by name; the root is its own parent."""

    number: int
    parent: int
    mode: int
    children: Mapping[bytes, int] = field(hash=False)
    mtime_ns: int | None = None  # as for files


@final
class Symlink(Struct, frozen=True):
    """A symbolic link. Whoever follows `target`, which is relative, from the link's directory on never leaves the tree."""

    number: int
    target: bytes
    mtime_ns: int | None = None  # as for files


Node = File | Directory | Symlink
