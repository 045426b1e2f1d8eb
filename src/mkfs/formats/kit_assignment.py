"""Which layer of the manifest belongs to which entry of a Kitfile.

Since kit 0.5 the entry names the digest of its layer. Where a digest stands twice (the same bytes under two paths), kind and path
decide, then the order of the manifest: layers are counted, never digests. (kit 1.16 itself takes the last of them each time.)
Before 0.5 nothing is named: layers of each kind come in the Kitfile's order (kit, `legacyUnpackLayers`).
"""

import posixpath
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import final

from msgspec import Struct

from mkfs.errors import BadDocument
from mkfs.formats.annotations import FILE_PATHS, first
from mkfs.formats.kitfile import KitEntry
from mkfs.formats.layer_types import layer_type
from mkfs.formats.wording import layer_label, printable
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest


@final
class Assignment(Struct, frozen=True):
    """Entries with the numbers of their layers, in the order in which kit unpacks them; `named` by digest, or by their order."""

    pairs: tuple[tuple[KitEntry, int], ...]
    named: bool
    without_layer: tuple[KitEntry, ...] = ()


def assign(entries: Sequence[KitEntry], manifest: Manifest) -> Assignment:
    """Gives every entry its layer. `entries` are those that have one: not data sets elsewhere, not a model that is a reference.

    Raises `BadDocument` where some entries have digests and others not, for a digest that the manifest does not have, and for a
    layer of a kind of which the Kitfile names fewer.
    """
    without = [entry for entry in entries if entry.digest is None]
    if not without:
        return Assignment(tuple(_by_digest(entries, manifest)), named=True)
    if len(without) < len(entries):
        raise BadDocument(f"Kitfile: {without[0].at} has no digest, and other entries have one")
    return _by_order(entries, manifest)


def _by_digest(entries: Sequence[KitEntry], manifest: Manifest) -> Iterator[tuple[KitEntry, int]]:
    numbers: dict[Digest | None, list[int]] = {}
    for number, layer in enumerate(manifest.layers):
        numbers.setdefault(layer.digest, []).append(number)
    taken: set[int] = set()
    for entry in entries:
        same = numbers.get(entry.digest)
        if same is None:
            raise BadDocument(f"Kitfile: {entry.at} names a layer that the manifest does not have ({entry.digest})")
        number = _best(entry, same, taken, manifest)
        taken.add(number)
        yield entry, number


def _best(entry: KitEntry, same: Sequence[int], taken: AbstractSet[int], manifest: Manifest) -> int:
    """Which of the layers with the entry's digest is meant. A taken one only where none is left: kit unpacks it twice then."""
    path = posixpath.normpath(entry.path)

    def misfit(number: int) -> tuple[bool, bool, bool, bool]:
        layer = manifest.layers[number]
        kind = layer_type(layer)
        element = "" if kind is None else kind.element
        return (
            number in taken,
            _stored(element) != _stored(entry.element),
            first(layer, FILE_PATHS) != path,
            element != entry.element,
        )

    return min(same, key=misfit)  # the first of the best


def _stored(element: str) -> str:
    """The element whose media type `element` is stored under: a prompt is a code layer with a mark, which some lack."""
    return "code" if element == "prompts" else element


def _by_order(entries: Sequence[KitEntry], manifest: Manifest) -> Assignment:
    waiting: dict[str, list[KitEntry]] = {}
    for entry in entries:
        waiting.setdefault(entry.element, []).append(entry)
    found: dict[KitEntry, int] = {}
    for number, layer in enumerate(manifest.layers):
        kind = layer_type(layer)
        if kind is None:  # kit counts only what it knows
            continue
        same = waiting.get(kind.element)
        if not same:
            label = layer_label(number, len(manifest.layers), layer)
            raise BadDocument(f"{label}: the Kitfile names fewer {kind.element} than the manifest has layers of them")
        found[same.pop(0)] = number
    pairs = tuple((entry, found[entry]) for entry in entries if entry in found)
    return Assignment(pairs, named=False, without_layer=tuple(entry for entry in entries if entry not in found))


def lacking(assignment: Assignment) -> list[str]:
    """A warning for each entry that has no layer."""
    return [f"{entry.at} ({printable(entry.name or entry.path)}) has no layer" for entry in assignment.without_layer]
