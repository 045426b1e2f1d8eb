"""KitOps ModelKits: a Kitfile as config, and one layer for each thing it names.

Where a layer lands. Since kit 0.5 the entries of a tar are relative to the kit's root, whatever path the Kitfile says; before, to
the parent of that path. A raw layer (kit since 2026) is one file, named by its annotation. Entries are unpacked in the order of
`generateUnpackPlan` (kit, `pkg/lib/filesystem/unpack/util.go`). What no entry names, and what is of a type that kit does not know,
is not unpacked by kit either: it is left out with a warning. So are data sets that are somewhere else (S3, another ModelKit), as
`kit unpack` does without `--include-remote`.

A model may be a reference to another ModelKit: see `parents`.
"""

import posixpath
from collections.abc import Iterable
from typing import Final

from mkfs.errors import BadDocument, Unsupported
from mkfs.formats.annotations import FILE_METADATA, FILE_PATHS, file_metadata, first
from mkfs.formats.kit_assignment import assign, lacking
from mkfs.formats.kitfile import KITFILE_LIMIT_BYTES, KitEntry, Kitfile, read_kitfile
from mkfs.formats.layer_types import LayerType, layer_type
from mkfs.formats.plan import Documents, InlineFile, Need, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.formats.properties import of_kitfile
from mkfs.formats.wording import layer_label, printable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import KITOPS_CONFIG, KITOPS_MANIFEST

CLI_VERSION: Final = "ml.kitops.modelkit.cli-version"


def recognises(manifest: Manifest) -> bool:
    """Either type is enough, as for kit (`pkg/lib/constants/mediatype/artifacttype.go`); before 1.10 it wrote only the config's."""
    return manifest.artifact_type == KITOPS_MANIFEST or manifest.config.media_type == KITOPS_CONFIG


def plan(documents: Documents) -> Plan | Need:
    """Needs the config. See `formats.Format`."""
    data = documents.read(documents.manifest.config, KITFILE_LIMIT_BYTES, "Kitfile")
    return data if isinstance(data, Need) else plan_kitfile(read_kitfile(data), documents.manifest, "KitOps ModelKit")


def plan_kitfile(kitfile: Kitfile, manifest: Manifest, format_name: str) -> Plan:
    """The plan of what `kitfile` says of the layers of `manifest`; a model that is a reference is its `parent`.

    Raises `BadDocument`, `Unsupported`.
    """
    present = [entry for entry in kitfile.entries if not entry.remote]
    parent = next((entry for entry in present if _refers_elsewhere(entry, manifest)), None)
    assignment = assign([entry for entry in present if entry is not parent], manifest)
    layers, unknown = [], []
    for entry, number in assignment.pairs:
        layer, count = manifest.layers[number], len(manifest.layers)
        label = layer_label(number, count, layer, f"{entry.element} {printable(entry.name or entry.path)}")
        kind = layer_type(layer)
        if kind is None:
            unknown.append(f"{label} is not shown: its type is not known")
        else:
            layers.append(_planned(entry, layer, kind, label, named=assignment.named))
    if unknown and not layers:
        raise Unsupported(f"no layer of this ModelKit is of a known type: {unknown[0].partition(' is not')[0]}")
    claimed = {number for _, number in assignment.pairs}
    return Plan(
        format_name=format_name,
        layers=tuple(layers),
        files=(InlineFile(b"Kitfile", kitfile.text()),),
        properties=_properties(kitfile, manifest),
        warnings=(*_elsewhere(kitfile.entries), *lacking(assignment), *unknown, *_unclaimed(claimed, manifest)),
        parent="" if parent is None else parent.path,
        claims=tuple(of_kitfile(kitfile.shown)),
    )


def _refers_elsewhere(entry: KitEntry, manifest: Manifest) -> bool:
    """Whether it is a model whose path is a reference: kit packs no layer for what looks like `repository:tag` or `…@digest`."""
    if entry.element != "model" or entry.digest is not None or not any(mark in entry.path for mark in ":@"):
        return False
    return not any(kind is not None and kind.element == "model" for kind in map(layer_type, manifest.layers))


def _planned(entry: KitEntry, layer: Descriptor, kind: LayerType, label: str, *, named: bool) -> PlannedLayer:
    reading: TarLayer | RawLayer
    if kind.form == "raw":
        reading = _raw(layer, kind, label)
    else:
        prefix = "" if named else posixpath.dirname(posixpath.normpath(entry.path))
        reading = TarLayer(prefix.encode("utf-8"), compression=kind.compression)
    return PlannedLayer(layer, reading, entry.element, entry.name or entry.path, entry.ids, entry.diff_id)


def _raw(layer: Descriptor, kind: LayerType, label: str) -> RawLayer:
    """Path and mode of the one file (kit, `extractRawLayer`). A size in its annotation that is not the file's fails there too."""
    path = first(layer, FILE_PATHS)
    if not path:
        raise BadDocument(f"{label} is one file without a path (no annotation {FILE_PATHS[0]})", str(layer.digest))
    raw = RawLayer(path.encode("utf-8"), compression=kind.compression)
    metadata = file_metadata(layer, label)
    if metadata is None:
        return raw
    size_bytes = metadata.size_bytes
    if size_bytes is None or (not kind.compression and size_bytes != layer.size_bytes):
        expected = "a size" if kind.compression else str(layer.size_bytes)
        what = f"{label}: the file's size is not the layer's (got {size_bytes}, expected {expected}, {FILE_METADATA[0]})"
        raise BadDocument(what, str(layer.digest))
    mode = raw.mode if metadata.mode is None else metadata.mode & 0o777
    return RawLayer(raw.path, mode, kind.compression, size_bytes if kind.compression else None)


def _properties(kitfile: Kitfile, manifest: Manifest) -> dict[str, str]:
    version = manifest.annotations.get(CLI_VERSION)
    return kitfile.properties() | ({"packed by": f"kit {version}"} if version else {})


def _elsewhere(entries: Iterable[KitEntry]) -> list[str]:
    return [
        f"{entry.element} {printable(entry.name or entry.path)} is not shown: it is not in the ModelKit but referred to from it"
        for entry in entries
        if entry.remote
    ]


def _unclaimed(claimed: set[int], manifest: Manifest) -> list[str]:
    return [
        f"{layer_label(number, len(manifest.layers), layer)} is not shown: nothing in the Kitfile names it"
        for number, layer in enumerate(manifest.layers)
        if number not in claimed
    ]
