"""What the media type of a layer says: what the layer is, whether it is an archive, and how it is compressed.

KitOps and ModelPack name layers by one pattern, `application/vnd.<vendor>.<kind>.v1.<form>[+<compression>]` (kit,
`pkg/lib/constants/mediatype/mediatype.go`; model-spec, `docs/spec.md` and its history). ModelPack's prefix was `cnai` before
version 0.0.7, and before 0.0.3 the kind stood in the descriptor's artifactType beside an image layer's media type. Whatever is not
here is unknown: nothing is guessed from a part of a type.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, final

from msgspec import Struct

from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor

LAYER_SUBTYPE: Final = "ml.kitops.modelkit.layer-subtype"

_PROMPT: Final = "prompt"  # a code layer that is a prompt (kit >= 1.11)
_PATTERN: Final = re.compile(
    r"application/vnd\.(kitops\.modelkit|cncf\.model|cnai\.model)\.([a-z.]+)\.v1\.(\w+)(?:\+([\w-]+))?", re.ASCII
)
_KITOPS: Final = "kitops.modelkit"
_KITOPS_KINDS: Final[Mapping[str, str]] = {  # word in the media type -> element of the Kitfile
    "model": "model",
    "modelpart": "parts",
    "dataset": "datasets",
    "code": "code",
    "docs": "docs",
    "mcpb": "mcpServers",
}
_MODELPACK_KINDS: Final[Mapping[str, str]] = {
    "weight": "model",
    "weight.config": "parts",
    "doc": "docs",
    "code": "code",
    "dataset": "datasets",
    "layer": "model",  # the only kind before 0.0.1
    "config": "parts",  # configuration files, before 0.0.1
}
_COMPRESSIONS: Final[Mapping[str | None, Compression]] = {
    None: "",
    "none": "",
    "gzip": "gzip",
    "gzip-fastest": "gzip",  # a level of gzip; kit reads it and never writes it
    "zstd": "zstd",
}
_FILES: Final = frozenset({"raw", "gguf", "safetensors"})  # the last two by Docker, for single uncompressed files

Form: TypeAlias = Literal["tar", "raw"]


@final
class LayerType(Struct, frozen=True):
    """What a layer is. `element` is the Kitfile's word for it; `raw` is the content of one file."""

    element: str
    form: Form
    compression: Compression


def layer_type(layer: Descriptor) -> LayerType | None:
    """What `layer` says it is; None where that is nothing known here."""
    for text in (layer.media_type, layer.artifact_type):
        match = _PATTERN.fullmatch(text)
        if match is not None:
            return _known(match, is_prompt=layer.annotations.get(LAYER_SUBTYPE) == _PROMPT)
    return None


def _known(match: re.Match[str], *, is_prompt: bool) -> LayerType | None:
    vendor, kind, form, suffix = match.groups()
    element = (_KITOPS_KINDS if vendor == _KITOPS else _MODELPACK_KINDS).get(kind)
    if element is None or suffix not in _COMPRESSIONS:
        return None
    if element == "code" and is_prompt:
        element = "prompts"
    compression = _COMPRESSIONS[suffix]
    if form == "tar":
        return LayerType(element, "tar", compression)
    is_file = form == "raw" if vendor == _KITOPS else form in _FILES and not compression  # model-spec: raw is uncompressed
    return LayerType(element, "raw", compression) if is_file else None
