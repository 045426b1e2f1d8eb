"""CNCF ModelPacks, by whoever packs them: kit (`--use-model-pack`), modctl, AIKit, Docker; and `cnai`, their name before 0.0.7.

Where a layer lands. A ModelPack of kit carries its Kitfile as an annotation and is read as a ModelKit is. Any other: a raw layer is
one file at the path its annotation says; the entries of a tar have paths of their own, whatever annotations say (modctl,
`pkg/codec`, `pkg/archiver`). Modes and times are restored as modctl does. AIKit alone puts a weight's bare name into its tar and
the path into the annotations, which say so by a `name` that is that path (`pkg/packager/build_templates.go`).

Layers may have an image's media types (the RFC; model-spec before 0.0.3): an archive, or with a title what `oras push` makes of a
file. Links in archives are left out, as modctl does; devices are refused, which it leaves out too: nobody packs them in good faith.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadDocument, Unsupported
from mkfs.formats import kitops, oras
from mkfs.formats.annotations import FILE_PATHS, TITLE, FileMetadata, file_metadata, first
from mkfs.formats.image_layers import image_compression
from mkfs.formats.kitfile import read_kitfile
from mkfs.formats.layer_types import LayerType, layer_type
from mkfs.formats.model_config import ModelConfig, find_config, unusable_diff_ids
from mkfs.formats.plan import Documents, Need, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.formats.properties import of_model_config
from mkfs.formats.wording import layer_label
from mkfs.oci import media_types
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest

KITFILE: Final = "ml.kitops.modelkit.kitfile"  # of a manifest: the Kitfile as JSON

_LINKS: Final = frozenset({EntryKind.SYMLINK, EntryKind.HARDLINK})
_NAMED_BY_KIT: Final = frozenset({"model", "parts", "datasets"})  # the elements that could have a name in a Kitfile


def recognises(manifest: Manifest) -> bool:
    """By the manifest's type or its config's; and where a layer is of its types, whatever config that has."""
    config = manifest.config.media_type
    if manifest.artifact_type in media_types.MODELPACK_MANIFESTS or config.startswith(media_types.MODELPACK_CONFIG_PREFIXES):
        return True
    return any(layer.media_type.startswith(media_types.MODELPACK_LAYER_PREFIXES) for layer in manifest.layers)


def plan(documents: Documents) -> Plan | Need:
    """Needs the config, or the layer that holds it. See `formats.Format`."""
    config = find_config(documents)
    if isinstance(config, Need):
        return config
    manifest = documents.manifest
    text = manifest.annotations.get(KITFILE, "")
    if text:
        planned = kitops.plan_kitfile(read_kitfile(text.encode("utf-8")), manifest, "CNCF ModelPack")
        claims = (*of_model_config(config.document, config.origin), *planned.claims)
        said = {layer.digest: config.diff_id(number) for number, layer in enumerate(manifest.layers)}
        layers = tuple(replace(each, diff_id=said[each.descriptor.digest] or each.diff_id) for each in planned.layers)
        return replace(planned, layers=layers, claims=claims, doubts=unusable_diff_ids(config, documents))
    return _by_layers(documents, config)


def _by_layers(documents: Documents, config: ModelConfig) -> Plan:
    manifest = documents.manifest
    layers, unknown = [], []
    for number, layer in enumerate(manifest.layers):
        label = layer_label(number, len(manifest.layers), layer)
        planned = _planned(layer, label, config.diff_id(number))
        if planned is None:
            unknown.append(f"{label} is not shown: its type is not known")
        else:
            layers.append(planned)
    if unknown and not layers:
        raise Unsupported(f"no layer of this ModelPack is of a known type: {unknown[0].partition(' is not')[0]}")
    return Plan(
        format_name=_name(manifest),
        layers=tuple(layers),
        warnings=tuple(unknown),
        doubts=unusable_diff_ids(config, documents),
        overlay=_is_snapshot(manifest, layers),
        claims=tuple(of_model_config(config.document, config.origin)),
    )


def _is_snapshot(manifest: Manifest, layers: Sequence[PlannedLayer]) -> bool:
    """Whether a runtime would make one file system of it: with an image's config the order of the layers means something."""
    return manifest.config.media_type in media_types.IMAGE_CONFIGS and all(isinstance(layer.reading, TarLayer) for layer in layers)


def _name(manifest: Manifest) -> str:
    types = (manifest.artifact_type, manifest.config.media_type, *(layer.media_type for layer in manifest.layers))
    old = any(media_types.CNAI in text for text in types)
    return "ModelPack from before it was CNCF's (cnai)" if old else "CNCF ModelPack"


def _planned(layer: Descriptor, label: str, diff_id: Digest | None) -> PlannedLayer | None:
    """Where a layer lands; None where its type is not known."""
    kind = layer_type(layer)
    if kind is None:
        compression = image_compression(layer.media_type)
        if compression is None:
            return None
        if title := layer.annotations.get(TITLE, ""):
            return oras.titled(layer, title, "model")
        kind = LayerType("model", "tar", compression)
    metadata = file_metadata(layer, label)
    path = first(layer, FILE_PATHS) or layer.annotations.get(TITLE, "")
    reading = _file(layer, kind, path, metadata, label) if kind.form == "raw" else _archive(kind, path, metadata)
    ids = ("", path) if kind.element in _NAMED_BY_KIT else (path,)
    return PlannedLayer(layer, reading, kind.element, path, ids, diff_id)


def _file(layer: Descriptor, kind: LayerType, path: str, metadata: FileMetadata | None, label: str) -> RawLayer:
    if not path:
        raise BadDocument(f"{label} is one file without a path (no annotation {FILE_PATHS[0]})", str(layer.digest))
    mode = 0 if metadata is None or metadata.mode is None else metadata.mode & 0o777
    mtime_ns = None if metadata is None else metadata.mtime_ns
    return RawLayer(path.encode("utf-8"), mode or 0o644, kind.compression, mtime_ns=mtime_ns)


def _archive(kind: LayerType, path: str, metadata: FileMetadata | None) -> TarLayer:
    by_aikit = metadata is not None and "/" in metadata.name and metadata.name == path
    prefix = posixpath.dirname(path) if by_aikit else ""
    return TarLayer(prefix.encode("utf-8"), compression=kind.compression, skipped=_LINKS, keeps_times=True)
