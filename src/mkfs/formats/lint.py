"""Where an artifact departs from what model-spec and its RFC ask for. Nothing here keeps an artifact from being shown.

The config's rules are those of model-spec's `schema/config-schema.json` (0.0.7), said here as types: which keys an object may have
and must have, and what each value must be. Layers: "no more than two annotations" (the RFC), media types of `docs/spec.md`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, cast

from mkfs.formats import modelpack
from mkfs.formats.layer_types import layer_type
from mkfs.formats.model_config import find_config
from mkfs.formats.plan import Documents, Need
from mkfs.formats.wording import layer_label, printable
from mkfs.oci.json import shown
from mkfs.oci.manifest import Manifest

ANNOTATIONS_LIMIT: Final = 2  # of a layer: the RFC's recommendation

_MANIFEST: Final = "application/vnd.cncf.model.manifest.v1+json"
_CONFIG: Final = "application/vnd.cncf.model.config.v1+json"
_CNCF_LAYER: Final = "application/vnd.cncf.model."

Check: TypeAlias = "Callable[[object], str] | _Object | _List"  # a callable answers what was expected, "" where that is what it got


@dataclass(frozen=True, slots=True)
class _Object:
    fields: "Mapping[str, Check]"
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _List:
    item: "Callable[[object], str]"
    at_least: int = 0


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "a string"


def _some_text(value: object) -> str:
    return "" if isinstance(value, str) and value else "a string that is not empty"


def _flag(value: object) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _time(value: object) -> str:
    try:
        whole = datetime.fromisoformat(cast(str, value))
    except (TypeError, ValueError):
        return "a date and time of RFC 3339"
    return "" if whole.tzinfo is not None else "a date and time of RFC 3339"


def _one_of(*values: str) -> Callable[[object], str]:
    return lambda value: "" if value in values else f"one of {', '.join(values)}"


def _language(value: object) -> str:
    return "" if isinstance(value, str) and re.fullmatch("[a-z]{2}", value) else "two lower-case letters"


_MODALITY: Final = _one_of("text", "image", "audio", "video", "embedding", "other")
_CAPABILITIES: Final = _Object(
    {
        "inputTypes": _List(_MODALITY),
        "outputTypes": _List(_MODALITY),
        "knowledgeCutoff": _time,
        "reasoning": _flag,
        "toolUsage": _flag,
        "reward": _flag,
        "languages": _List(_language),
    }
)
_SCHEMA: Final = _Object(
    {
        "descriptor": _Object(
            {
                "createdAt": _time,
                "authors": _List(_text),
                "family": _text,
                "name": _some_text,
                "docURL": _text,
                "sourceURL": _text,
                "datasetsURL": _List(_text),
                "version": _text,
                "revision": _text,
                "vendor": _text,
                "licenses": _List(_text),
                "title": _text,
                "description": _text,
            }
        ),
        "modelfs": _Object({"type": _one_of("layers"), "diffIds": _List(_text, at_least=1)}, required=("type", "diffIds")),
        "config": _Object(
            dict.fromkeys(("architecture", "format", "paramSize", "precision", "quantization"), _text)
            | {"capabilities": _CAPABILITIES}
        ),
    },
    required=("descriptor", "config", "modelfs"),
)


def lint(documents: Documents) -> list[str]:
    """What there is to say, one line each. `documents` are those that a plan was made of."""
    manifest = documents.manifest
    findings = list(_layers(manifest))
    if modelpack.recognises(manifest):
        findings += _types(manifest)
        config = find_config(documents)
        if not isinstance(config, Need):
            findings += _checked(config.document, "", _SCHEMA, config.origin)
    return findings


def _types(manifest: Manifest) -> Iterator[str]:
    if manifest.artifact_type != _MANIFEST:
        yield f"manifest: artifactType is {printable(manifest.artifact_type)} (expected {_MANIFEST})"
    if manifest.config.media_type != _CONFIG:
        yield f"manifest: the config's mediaType is {printable(manifest.config.media_type)} (expected {_CONFIG})"
    for number, layer in enumerate(manifest.layers):
        if layer_type(layer) is None or not layer.media_type.startswith(_CNCF_LAYER):
            yield f"{layer_label(number, len(manifest.layers), layer)}: the type is not one of the specification"


def _layers(manifest: Manifest) -> Iterator[str]:
    for number, layer in enumerate(manifest.layers):
        if len(layer.annotations) > ANNOTATIONS_LIMIT:
            label = layer_label(number, len(manifest.layers), layer)
            yield f"{label}: {len(layer.annotations)} annotations (at most {ANNOTATIONS_LIMIT} are recommended)"


def _checked(value: object, at: str, check: Check, what: str) -> Iterator[str]:
    """What is wrong with `value`, which stands `at` in the document `what`."""
    if isinstance(check, _Object):
        if not isinstance(value, dict):
            yield f"{what}: {at or 'the document'} is {shown(value)} (expected an object)"
            return
        prefix = f"{at}." if at else ""
        yield from (f"{what}: {prefix}{key} is missing" for key in check.required if key not in value)
        for key, item in value.items():
            if key in check.fields:
                yield from _checked(item, f"{prefix}{key}", check.fields[key], what)
            else:
                yield f"{what}: {prefix}{printable(key)} is not in the specification"
    elif isinstance(check, _List):
        if not isinstance(value, list) or len(value) < check.at_least:
            yield f"{what}: {at} is {shown(value)} (expected a list{' that is not empty' if check.at_least else ''})"
            return
        for number, item in enumerate(value):
            yield from _checked(item, f"{at}[{number}]", check.item, what)
    elif expected := check(value):
        yield f"{what}: {at} is {shown(value)} (expected {expected})"
