"""Models of Ollama: blobs without paths, in layers that say what they are for (ollama, `server/images.go`, `manifest/layer.go`).

Ollama itself never lays them out: it reads each blob where it keeps it, by its role. So names are ours: a layer that has a name
(tensors and the JSON beside them, in newer models) is a file of that name; any other has the name of its role, numbered from the
second on, with the ending that loaders go by. Its config says which format the weights have; its type is Docker's for images.
"""

from collections.abc import Mapping
from typing import Final

from mkfs.errors import BadDocument
from mkfs.formats.plan import Documents, Need, Plan, PlannedLayer, RawLayer
from mkfs.formats.properties import of_ollama_config
from mkfs.formats.wording import layer_label
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.json import decode_json, shown
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import OLLAMA_LAYER_PREFIX
from mkfs.units import MIB

CONFIG_LIMIT_BYTES: Final = MIB  # a few fields, and the digests of its layers

_WEIGHTS: Final = "{}.gguf"
_ROLES: Final[Mapping[str, tuple[str, str]]] = {  # element, and the name with its ending
    "model": ("model", _WEIGHTS),
    "draft": ("model", _WEIGHTS),
    "projector": ("parts", _WEIGHTS),
    "adapter": ("parts", _WEIGHTS),
    "template": ("prompts", "{}"),
    "prompt": ("prompts", "{}"),  # what templates were called
    "system": ("prompts", "{}"),
    "messages": ("prompts", "{}.json"),
    "params": ("parts", "{}.json"),
    "license": ("docs", "{}"),
    "embed": ("parts", "{}"),
    "tensor": ("model", "{}"),
    "json": ("parts", "{}.json"),
}


def recognises(manifest: Manifest) -> bool:
    """By any layer's type: the config's is that of a container image."""
    return any(layer.media_type.startswith(OLLAMA_LAYER_PREFIX) for layer in manifest.layers)


def plan(documents: Documents) -> Plan | Need:
    """Needs the config. See `formats.Format`."""
    manifest = documents.manifest
    data = documents.read(manifest.config, CONFIG_LIMIT_BYTES, "config")
    if isinstance(data, Need):
        return data
    document = decode_json(data, CONFIG_LIMIT_BYTES, "config")
    stored_as = document.get("model_format", "")
    if not isinstance(stored_as, str):
        raise BadDocument(f"config: model_format is {shown(stored_as)} (expected a string)")
    layers, left_out = [], []
    counts: dict[str, int] = {}
    for number, layer in enumerate(manifest.layers):
        role = layer.media_type.removeprefix(OLLAMA_LAYER_PREFIX)
        if role not in _ROLES or not layer.media_type.startswith(OLLAMA_LAYER_PREFIX):
            left_out.append(f"{layer_label(number, len(manifest.layers), layer)} is not shown: its type is not known")
            continue
        name = _own_name(layer, layer_label(number, len(manifest.layers), layer))
        if not name:
            counts[role] = counts.get(role, 0) + 1
            name = _name(role, counts[role], stored_as)
        layers.append(PlannedLayer(layer, RawLayer(name.encode("utf-8")), _ROLES[role][0], name, ("", name)))
    return Plan("Ollama model", tuple(layers), warnings=tuple(left_out), claims=tuple(of_ollama_config(document)))


def _own_name(layer: Descriptor, label: str) -> str:
    name = layer.others.get("name", "")
    if not isinstance(name, str):
        raise BadDocument(f"{label}: its name is {shown(name)} (expected a string)", str(layer.digest))
    return name


def _name(role: str, number: int, stored_as: str) -> str:
    _, form = _ROLES[role]
    if form == _WEIGHTS and stored_as not in ("", "gguf"):
        form = f"{{}}.{stored_as}" if stored_as.isalnum() else "{}"
    return form.format(role if number == 1 else f"{role}-{number}")
