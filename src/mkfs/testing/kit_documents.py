"""Config and manifest of a ModelKit, byte for byte as kit 1.11 marshals them; with raw layers as kit does since 2026."""

import posixpath
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from mkfs.formats.go_json import go_json
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import KITOPS_CONFIG, KITOPS_LAYER_PREFIX, KITOPS_MANIFEST, OCI_MANIFEST
from mkfs.testing.kit_layers import Layer

_EPOCH: Final = "1970-01-01T00:00:00Z"
_LAYER_INFO: Final = ("digest", "diffId")
_PACKAGE_FIELDS: Final = ("name", "version", "description", "license", "authors")
_MODEL_FIELDS: Final = ("name", "path", "license", "framework", "format", "version", "description", "parts", "parameters")


class Element(NamedTuple):
    """A key of the Kitfile: its word in media types, and the fields of its entries in kit's order."""

    kind: str
    fields: Sequence[str]


ELEMENTS: Final[Mapping[str, Element]] = {  # in the order of their layers
    "model": Element("model", (*_MODEL_FIELDS, *_LAYER_INFO)),
    "parts": Element("modelpart", ("name", "path", "license", "type", *_LAYER_INFO)),
    "code": Element("code", ("path", "description", "license", *_LAYER_INFO)),
    "datasets": Element("dataset", ("name", "path", "description", "license", "parameters", *_LAYER_INFO)),
    "docs": Element("docs", ("path", "description", *_LAYER_INFO)),
    "prompts": Element("code", ("name", "path", "description", *_LAYER_INFO)),
    "mcpServers": Element("mcpb", ("name", "path", "description", *_LAYER_INFO)),
}


def config(package: Mapping[str, object], layers: Sequence[Layer]) -> bytes:
    """The Kitfile as JSON, with digests. A kit may have parts without a model."""
    entries: dict[str, list[dict[str, object]]] = {}
    for layer in layers:
        element = layer.wanted.element
        info = {"path": layer.wanted.path, "digest": str(layer.digest), "diffId": str(layer.diff_id)}
        entries.setdefault(element, []).append(_ordered({**layer.wanted.fields, **info}, ELEMENTS[element].fields))
    parts = entries.pop("parts", [])
    models = entries.pop("model", [])
    document: dict[str, object] = {"manifestVersion": "1.0.0", "package": _ordered(package, _PACKAGE_FIELDS)}
    if models or parts:
        model = {**(models or [{}])[0], **({"parts": parts} if parts else {})}
        document["model"] = _ordered(model, ELEMENTS["model"].fields)
    return go_json(document | entries)


def manifest(config_bytes: bytes, layers: Sequence[Layer]) -> bytes:
    """The manifest of these layers, which stand in the order of the manifest."""
    newer = any(layer.wanted.raw for layer in layers)
    annotations = {"ml.kitops.modelkit.cli-version": "1.16.0" if newer else "1.11.0"}
    if newer:
        annotations["org.opencontainers.image.created"] = _EPOCH
    document = {
        "schemaVersion": 2,
        **({"mediaType": OCI_MANIFEST} if newer else {}),
        "artifactType": KITOPS_MANIFEST,
        "config": {"mediaType": KITOPS_CONFIG, "digest": str(Digest.of(config_bytes)), "size": len(config_bytes)},
        "layers": [_descriptor(layer) for layer in layers] or None,
        "annotations": annotations,
    }
    return go_json(document)


def _descriptor(layer: Layer) -> dict[str, object]:
    wanted = layer.wanted
    annotations = {"org.cncf.model.filepath": wanted.clean_path}
    if wanted.element == "prompts":
        annotations["ml.kitops.modelkit.layer-subtype"] = "prompt"
    if wanted.raw:
        annotations["org.cncf.model.file.metadata+json"] = go_json(_file_metadata(layer)).decode()
    form = ("raw" if wanted.raw else "tar") + (f"+{layer.compression}" if layer.compression else "")
    return {
        "mediaType": f"{KITOPS_LAYER_PREFIX}{ELEMENTS[wanted.element].kind}.v1.{form}",
        "digest": str(layer.digest),
        "size": layer.body.size_bytes,
        "annotations": dict(sorted(annotations.items())),
    }


def _file_metadata(layer: Layer) -> dict[str, object]:
    body = layer.members[0].body
    return {
        "name": posixpath.basename(layer.wanted.clean_path),
        "mode": layer.members[0].mode & 0o777,
        "uid": 0,
        "gid": 0,
        "size": 0 if body is None else body.size_bytes,
        "mtime": _EPOCH,
        "typeflag": 0,
    }


def _ordered(values: Mapping[str, object], order: Sequence[str]) -> dict[str, object]:
    return {key: values[key] for key in order if key in values}
