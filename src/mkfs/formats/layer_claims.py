"""What annotations, names and types say of single layers: which are a readme, a licence, a configuration, weights, and their paths.

These were annotations of layers; later a file's name or the layer's media type said the same (the RFC's last rows).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mkfs.formats.annotations import FILE_PATHS, first
from mkfs.formats.plan import PlannedLayer
from mkfs.formats.properties import Claim

_PREFIX: Final = "org.cnai.model."
_SHOWN_LAYERS: Final = 10  # of a property, in one line


def _name(layer: PlannedLayer) -> str:
    return layer.name.rpartition("/")[2].upper()


# How a layer is told without an annotation, and what tells it.
_BY_ITSELF: Final[Mapping[str, tuple[Callable[[PlannedLayer], bool], str]]] = {
    "readme": (lambda layer: _name(layer).startswith("README"), "file name"),
    "license": (lambda layer: _name(layer).startswith("LICENSE"), "file name"),
    "config": (lambda layer: layer.element == "parts", "layer type"),
    "model": (lambda layer: layer.element == "model", "layer type"),
}


def of_layers(layers: Sequence[PlannedLayer]) -> list[Claim]:
    """The claims about these layers, each with the names of those it is true of."""
    claims = []
    for name, (is_one, what) in _BY_ITSELF.items():
        key = f"{_PREFIX}{name}"
        if any(key in layer.descriptor.annotations for layer in layers):
            said = [layer for layer in layers if layer.descriptor.annotations.get(key) == "true"]
            claims.append(Claim(name, _names(said), f"annotation {key}"))
        found = [layer for layer in layers if is_one(layer)]
        if found:
            claims.append(Claim(name, _names(found), what))
    paths = [path for layer in layers if (path := first(layer.descriptor, FILE_PATHS))]
    if paths:
        claims.append(Claim("filepath", _joined(paths), f"annotation {FILE_PATHS[0]}"))
    return claims


def _names(layers: Sequence[PlannedLayer]) -> str:
    return _joined([layer.name for layer in layers]) or "none"


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_LAYERS]) + (f" and {len(names) - _SHOWN_LAYERS} more" if names[_SHOWN_LAYERS:] else "")
