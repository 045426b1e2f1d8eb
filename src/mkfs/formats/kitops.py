"""KitOps ModelKits, packed by kit 0.5 or newer: a Kitfile as config, and one layer for each thing it names.

Where a layer lands: the entries of a tar are relative to the kit's root, whatever path the Kitfile says; a raw layer is one file,
named by its annotation. Which layer belongs to which entry of the Kitfile, the digest in the entry says; where a digest stands
twice (the same bytes under two paths), kind and path decide, then the order of the manifest. Entries are unpacked in the order of
`generateUnpackPlan` (kit, `pkg/lib/filesystem/unpack/util.go`). A layer that no entry names is not unpacked by kit either.

Not here yet, and refused: compressed layers, kits from before 0.5, models that are a reference to another ModelKit. Data sets that
are somewhere else (S3, another ModelKit) are left out with a warning, as `kit unpack` does without `--include-remote`.
"""

import posixpath
import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from mkfs.errors import BadDocument, Unsupported
from mkfs.formats.kitfile import KITFILE_LIMIT_BYTES, KitEntry, Kitfile, read_kitfile
from mkfs.formats.plan import Documents, InlineFile, Need, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import KITOPS_CONFIG, KITOPS_MANIFEST
from mkfs.units import KIB

FILE_PATH: Final = "org.cncf.model.filepath"
FILE_METADATA: Final = "org.cncf.model.file.metadata+json"
CLI_VERSION: Final = "ml.kitops.modelkit.cli-version"

_METADATA_LIMIT_BYTES: Final = 64 * KIB  # name, mode, ids, size, time: kit needs 150 bytes
_LAYER_TYPE: Final = re.compile(r"application/vnd\.kitops\.modelkit\.(\w+)\.v1\.(\w+)(?:\+([\w-]+))?", re.ASCII)
_LAYER_KINDS: Final = {  # element of the Kitfile -> word in the media type of its layer
    "model": "model",
    "parts": "modelpart",
    "datasets": "dataset",
    "code": "code",
    "docs": "docs",
    "prompts": "code",
    "mcpServers": "mcpb",
}


def recognises(manifest: Manifest) -> bool:
    """Either type is enough, as for kit (`pkg/lib/constants/mediatype/artifacttype.go`); before 1.10 it wrote only the config's."""
    return manifest.artifact_type == KITOPS_MANIFEST or manifest.config.media_type == KITOPS_CONFIG


def plan(documents: Documents) -> Plan | Need:
    """Needs the config. See `formats.Format`."""
    manifest = documents.manifest
    config = manifest.config
    if config.size_bytes > KITFILE_LIMIT_BYTES:
        raise BadDocument(f"Kitfile: too large (got {config.size_bytes} bytes, expected at most {KITFILE_LIMIT_BYTES})")
    data = documents.blobs.get(config.digest, config.data)
    if data is None:
        return Need(config)
    kitfile = read_kitfile(data)
    present = [entry for entry in kitfile.entries if not entry.remote]
    _check_digests(present, manifest)
    numbers = _assign(present, manifest)
    layers = tuple(_planned(entry, number, manifest) for entry, number in zip(present, numbers, strict=True))
    return Plan(
        format_name="KitOps ModelKit",
        layers=layers,
        files=(InlineFile(b"Kitfile", kitfile.text()),),
        properties=_properties(kitfile, manifest),
        warnings=(*_elsewhere(kitfile.entries), *_unclaimed(set(numbers), manifest)),
    )


def _check_digests(entries: Sequence[KitEntry], manifest: Manifest) -> None:
    """Returns if every entry says which layer is its own; else raises what that means."""
    without = [entry for entry in entries if entry.digest is None]
    for entry in without:
        if entry.element == "model" and _refers_elsewhere(entry, manifest):
            raise Unsupported(
                f"the model of this ModelKit is a reference to another one: {_printable(entry.path)}",
                hint="mount the ModelKit it refers to by itself: references are not followed yet",
            )
    if not without:
        return
    if len(without) == len(entries) and manifest.layers:
        raise Unsupported(
            f"this ModelKit was packed by kit before 0.5: its Kitfile has no digest for any of the {len(manifest.layers)} layers",
            hint="unpack and pack it again with a newer kit: the old layout is not shown yet",
        )
    raise BadDocument(f"Kitfile: {without[0].at} has no digest, so none of the {len(manifest.layers)} layers is its own")


def _refers_elsewhere(model: KitEntry, manifest: Manifest) -> bool:
    """Whether the model's path is a reference: kit packs no layer for what looks like `repository:tag` or `…@digest`."""
    has_layer = any(_kind(layer) == _LAYER_KINDS["model"] for layer in manifest.layers)
    return not has_layer and any(mark in model.path for mark in ":@")


def _assign(entries: Sequence[KitEntry], manifest: Manifest) -> list[int]:
    """For each entry the number of its layer. Raises `BadDocument` for a digest the manifest does not have."""
    by_digest: dict[Digest | None, list[int]] = {}
    for number, layer in enumerate(manifest.layers):
        by_digest.setdefault(layer.digest, []).append(number)
    taken: set[int] = set()
    numbers = []
    for entry in entries:
        same = by_digest.get(entry.digest)
        if same is None:
            raise BadDocument(f"Kitfile: {entry.at} names a layer that the manifest does not have ({entry.digest})")
        numbers.append(_best(entry, same, taken, manifest))
        taken.add(numbers[-1])
    return numbers


def _best(entry: KitEntry, same: Sequence[int], taken: AbstractSet[int], manifest: Manifest) -> int:
    """Which of the layers with the entry's digest is meant. A taken one only where none is left: kit unpacks it twice then."""
    kind, path = _LAYER_KINDS[entry.element], posixpath.normpath(entry.path)

    def misfit(number: int) -> tuple[bool, bool, bool]:
        layer = manifest.layers[number]
        return number in taken, _kind(layer) != kind, layer.annotations.get(FILE_PATH) != path

    return min(same, key=misfit)  # the first of the best


def _planned(entry: KitEntry, number: int, manifest: Manifest) -> PlannedLayer:
    layer = manifest.layers[number]
    name = entry.name or entry.path
    label = f"layer {number + 1} of {len(manifest.layers)} ({entry.element} {_printable(name)}, {layer.media_type})"
    match = _LAYER_TYPE.fullmatch(layer.media_type)
    if match is None or match[1] not in _LAYER_KINDS.values():
        raise Unsupported(f"{label} is of a type that this version does not know", str(layer.digest))
    if match[3] not in (None, "none"):
        raise Unsupported(
            f"{label} is compressed with {match[3]}",
            str(layer.digest),
            "pack the kit again with --compression none: compressed layers are not shown yet",
        )
    match match[2]:
        case "tar":
            return PlannedLayer(layer, TarLayer(), entry.element, name)
        case "raw":
            return PlannedLayer(layer, _raw(layer, label), entry.element, name)
        case other:
            raise Unsupported(f"{label} is stored as {other!r}, which this version does not know", str(layer.digest))


def _raw(layer: Descriptor, label: str) -> RawLayer:
    """Path and mode of the one file (kit, `extractRawLayer`). A size in its annotation that is not the layer's fails there too."""
    path = layer.annotations.get(FILE_PATH, "")
    if not path:
        raise BadDocument(f"{label} is one file without a path (no annotation {FILE_PATH})", str(layer.digest))
    raw = RawLayer(path.encode("utf-8"))
    text = layer.annotations.get(FILE_METADATA, "")
    if not text:
        return raw
    metadata = decode_json(text.encode("utf-8"), _METADATA_LIMIT_BYTES, f"{label}: annotation {FILE_METADATA}")
    size_bytes, mode = metadata.get("size"), metadata.get("mode", raw.mode)
    if type(size_bytes) is not int or size_bytes != layer.size_bytes:
        raise BadDocument(
            f"{label}: the file's size is not the layer's (got {ascii(size_bytes)[:80]}, expected {layer.size_bytes})",
            str(layer.digest),
        )
    if type(mode) is not int or mode < 0:
        raise BadDocument(f"{label}: the file's mode is {ascii(mode)[:80]} (expected permission bits)", str(layer.digest))
    return RawLayer(raw.path, mode & 0o777)


def _properties(kitfile: Kitfile, manifest: Manifest) -> dict[str, str]:
    version = manifest.annotations.get(CLI_VERSION)
    return kitfile.properties() | ({"packed by": f"kit {version}"} if version else {})


def _elsewhere(entries: Iterable[KitEntry]) -> list[str]:
    return [
        f"{entry.element} {_printable(entry.name or entry.path)} is not shown: it is not in the ModelKit but referred to from it"
        for entry in entries
        if entry.remote
    ]


def _unclaimed(claimed: set[int], manifest: Manifest) -> list[str]:
    return [
        f"layer {number + 1} of {len(manifest.layers)} ({layer.media_type}) is not shown: nothing in the Kitfile names it"
        for number, layer in enumerate(manifest.layers)
        if number not in claimed
    ]


def _kind(layer: Descriptor) -> str:
    match = _LAYER_TYPE.fullmatch(layer.media_type)
    return match[1] if match else ""


def _printable(text: str) -> str:
    """A stranger's words for a message: one line, quoted where that matters, and not longer than a line bears."""
    return (text if text.isprintable() and text and not text.isspace() else repr(text))[:120]
