"""Which files of an artifact have tensors, and which follow each other: shards of one model, in the natural order of their names.

One file that is read does not pull the next; two that were read in their order do. Then the next one is fetched, behind what
anybody waits for.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final, final

import trio

from mkfs.content.layer import Layer
from mkfs.content.readahead import ModelFile
from mkfs.ranges import ByteRange
from mkfs.tree.nodes import Directory, File
from mkfs.tree.tree import ROOT, Tree

# Files with a header of tensors (`mkfs.tensors`), and others that weights are cut into shards of.
_WITH_HEADER: Final = frozenset({b"safetensors", b"gguf"})
_WEIGHTS: Final = _WITH_HEADER | {b"bin", b"pt", b"pth"}
_NUMBERS: Final = re.compile(rb"([0-9]+)")


@final
@dataclass(frozen=True, slots=True)
class _Shard:
    layer: Layer
    file: ModelFile


@final
class _Shards:
    """Files of one directory and kind, in order."""

    def __init__(self, nursery: trio.Nursery, shards: Sequence[_Shard]) -> None:
        self._nursery, self._shards = nursery, shards
        self._read: set[int] = set()
        for number, shard in enumerate(shards):
            shard.file.on_read = partial(self._was_read, number)

    def _was_read(self, number: int) -> None:
        self._read.add(number)
        if number - 1 in self._read and number + 1 < len(self._shards):
            following = self._shards[number + 1]
            self._nursery.start_soon(following.layer.expect, following.file.range.start)


def foresee(nursery: trio.Nursery, tree: Tree, layers: Sequence[Layer]) -> None:
    """Tells `layers`, which are parallel to the plan's, what model files they have. What these have fetched runs in `nursery`."""
    known: dict[Layer, list[ModelFile]] = {}
    for shards in _weights(tree, layers):
        _Shards(nursery, shards)
        for shard in shards:
            known.setdefault(shard.layer, []).append(shard.file)
    for layer, files in known.items():
        layer.readahead.know(files)


def _weights(tree: Tree, layers: Sequence[Layer]) -> Iterator[list[_Shard]]:
    """The files that belong together, each group in order."""
    for node in map(tree.node, range(ROOT, ROOT + len(tree))):
        if not isinstance(node, Directory):
            continue
        weights = [
            (kind, natural_key(name), tree.node(number))
            for name, number in node.children.items()
            if (kind := _kind(name)) in _WEIGHTS  # first: there may be a million names, and few are weights
        ]
        weights.sort(key=lambda each: each[:2])
        for kind, group in groupby(weights, key=lambda each: each[0]):
            yield [
                _Shard(layers[file.layer], ModelFile(_place(file), kind in _WITH_HEADER))
                for _, _, file in group
                if isinstance(file, File) and file.layer is not None and len(file.extents) == 1
            ]


def _place(file: File) -> ByteRange:
    (extent,) = file.extents
    return ByteRange(extent.layer_offset, extent.layer_offset + extent.length)


def _kind(name: bytes) -> bytes:
    return name.rpartition(b".")[2]


def natural_key(name: bytes) -> tuple[tuple[bytes, int], ...]:
    """Sorts names as people count: `part-2` comes before `part-10`."""
    pieces = _NUMBERS.split(name)
    return tuple((text, int(digits)) for text, digits in zip(pieces[::2], [*pieces[1::2], b"0"], strict=True))
