"""Models of Docker Model Runner, as the bundle it makes of them: `model/` with the files, and `config.json` beside it.

Rules (docker/model-runner, `pkg/distribution/internal/bundle/unpack.go`). Version 0.2 of the config: every layer is one file at the
path its annotation says, whatever its type; one without a path is left out, and so is a path that stands a second time. Version
0.1: weights of one format only, under names of their own (safetensors under their annotation, where they have one); projector and
template; archives unpacked beside them; other files at their annotation. Licences are not unpacked.

Where the tool repairs a path that leads upwards, and where one of its archives writes over a file, we refuse.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadDocument, Unsupported
from mkfs.formats.annotations import FILE_PATHS, first
from mkfs.formats.go_json import go_json
from mkfs.formats.plan import Documents, InlineFile, Need, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.formats.properties import of_model_config
from mkfs.formats.wording import layer_label, printable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.json import decode_json, section, shown
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import DOCKER_MODEL_CONFIG_PREFIX
from mkfs.units import MIB

CONFIG_LIMIT_BYTES: Final = 4 * MIB  # it repeats the metadata of a GGUF file, without its vocabulary

_LEGACY, _LAYER_PER_FILE = "v0.1+json", "v0.2+json"
_TYPE: Final = "application/vnd.docker.ai."
_GGUF, _SAFETENSORS, _DDUF = "gguf.v3", "safetensors", "dduf"
_ARCHIVES: Final = ("vllm.config.tar", "dir.tar")
_FIXED: Final = {  # what there is one of
    "mmproj": "model.mmproj",
    "gguf.v3.mmproj": "model.mmproj",  # its name in the specification
    "chat.template.jinja": "template.jinja",
}
_ELEMENTS: Final = {_GGUF: "model", _SAFETENSORS: "model", _DDUF: "model", "license": "docs"}  # all others: parts
_RUNTIME_FIELDS: Final = ("format", "quantization", "parameters", "architecture", "size")
_RUNTIME_MAPS: Final = ("gguf", "safetensors", "diffusers")
_LINKS: Final = frozenset({EntryKind.SYMLINK, EntryKind.HARDLINK})


def recognises(manifest: Manifest) -> bool:
    """By the type of the config, which only Docker writes."""
    return manifest.config.media_type.startswith(DOCKER_MODEL_CONFIG_PREFIX)


def plan(documents: Documents) -> Plan | Need:
    """Needs the config. See `formats.Format`."""
    manifest = documents.manifest
    version = manifest.config.media_type.removeprefix(DOCKER_MODEL_CONFIG_PREFIX)
    if version not in (_LEGACY, _LAYER_PER_FILE):
        raise Unsupported(f"cannot show a Docker model of version {version.partition('+')[0]} (expected v0.1 or v0.2)")
    data = documents.read(manifest.config, CONFIG_LIMIT_BYTES, "config")
    if isinstance(data, Need):
        return data
    document = decode_json(data, CONFIG_LIMIT_BYTES, "config")
    runtime = InlineFile(b"config.json", _runtime_config(document))
    layers, left_out = _by_annotation(manifest) if version == _LAYER_PER_FILE else _by_type(manifest)
    return Plan("Docker model", tuple(layers), (runtime,), warnings=tuple(left_out), claims=tuple(of_model_config(document)))


def _by_annotation(manifest: Manifest) -> tuple[list[PlannedLayer], list[str]]:
    layers: list[PlannedLayer] = []
    left_out: list[str] = []
    seen: set[str] = set()
    for number, layer in enumerate(manifest.layers):
        path = first(layer, FILE_PATHS)
        if not path or path in seen:
            why = "its path stands already" if path else "it has no path"
            left_out.append(f"{layer_label(number, len(manifest.layers), layer)} is not shown: {why}")
            continue
        seen.add(path)
        layers.append(_file(layer, path))
    return layers, left_out


def _by_type(manifest: Manifest) -> tuple[list[PlannedLayer], list[str]]:
    kinds: dict[str, list[Descriptor]] = {}
    for layer in manifest.layers:
        kinds.setdefault(_kind(layer), []).append(layer)
    weights = next((kind for kind in (_GGUF, _SAFETENSORS, _DDUF) if kind in kinds), None)
    if weights is None:
        raise Unsupported("this Docker model has no weights that its own tool knows (expected GGUF, safetensors or DDUF)")
    layers = [_file(layer, name) for layer, name in zip(kinds[weights], _NAMES[weights](kinds[weights]), strict=False)]
    for kind, name in _FIXED.items():
        if len(kinds.get(kind, ())) == 1:  # of several, the tool takes none
            layers.append(_file(kinds[kind][0], name))
    for kind in _ARCHIVES:
        layers += [_archive(layer) for layer in kinds.get(kind, ())]
    layers += [_file(layer, path) for layer in kinds.get("model.file", ()) if (path := first(layer, FILE_PATHS))]
    taken = {id(planned.descriptor) for planned in layers}
    left_out = [
        f"{layer_label(number, len(manifest.layers), layer)} is not shown: Docker's own tool does not unpack it"
        for number, layer in enumerate(manifest.layers)
        if id(layer) not in taken
    ]
    return layers, left_out


def _kind(layer: Descriptor) -> str:
    """The media type without what all of Docker's begin with; "" for another's."""
    return layer.media_type.removeprefix(_TYPE) if layer.media_type.startswith(_TYPE) else ""


def _gguf_names(layers: Sequence[Descriptor]) -> list[str]:
    return _shards(len(layers), "gguf")


def _safetensors_names(layers: Sequence[Descriptor]) -> list[str]:
    return [first(layer, FILE_PATHS) or name for layer, name in zip(layers, _shards(len(layers), "safetensors"), strict=True)]


def _dduf_names(layers: Sequence[Descriptor]) -> list[str]:
    """The first alone, under the name of its blob."""
    return [f"{layers[0].digest.hex}.dduf"]


def _shards(count: int, ending: str) -> list[str]:
    if count == 1:
        return [f"model.{ending}"]
    return [f"model-{number:05}-of-{count:05}.{ending}" for number in range(1, count + 1)]


_NAMES: Final[Mapping[str, Callable[[Sequence[Descriptor]], list[str]]]] = {
    _GGUF: _gguf_names,
    _SAFETENSORS: _safetensors_names,
    _DDUF: _dduf_names,
}


def _file(layer: Descriptor, path: str) -> PlannedLayer:
    if path.startswith("/"):  # below `model/` nobody would see it any more
        raise BadDocument(f"path {printable(path)} is absolute", f"layer {layer.digest}")
    return PlannedLayer(layer, RawLayer(f"model/{path}".encode()), _ELEMENTS.get(_kind(layer), "parts"), path, ("", path))


def _archive(layer: Descriptor) -> PlannedLayer:
    return PlannedLayer(layer, TarLayer(b"model", skipped=_LINKS), "parts", _kind(layer), ("",))


def _runtime_config(document: Mapping[str, object]) -> bytes:
    """The bundle's `config.json`: the section `config` as Go writes it again, without what its struct does not have."""
    fields = section(document, "config", "config")
    kept: dict[str, object] = {}
    for key in _RUNTIME_FIELDS:
        if (value := fields.get(key)) is not None:
            if not isinstance(value, str):
                raise BadDocument(f"config: config.{key} is {shown(value)} (expected a string)")
            kept[key] = value
    for key in _RUNTIME_MAPS:
        if (value := fields.get(key)) is not None:
            if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
                raise BadDocument(f"config: config.{key} is {shown(value)} (expected an object of strings)")
            kept[key] = dict(sorted(value.items()))
    context_size = fields.get("context_size")
    if context_size is not None:
        if type(context_size) is not int:
            raise BadDocument(f"config: config.context_size is {shown(context_size)} (expected a whole number)")
        kept["context_size"] = context_size
    return go_json({key: value for key, value in kept.items() if value not in ("", cast(object, {}))}) + b"\n"
