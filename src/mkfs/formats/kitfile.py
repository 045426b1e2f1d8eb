"""The Kitfile: what a ModelKit's config says, and the text `kit unpack` makes of it.

The config is the Kitfile as JSON (kit, `pkg/artifact/kitfile.go`), each entry with the digest of its layer since kit 0.5. It is
read strictly where its shape is known: a field of the wrong type is an error that names it. A field nobody here knows is kept and
shown, last in its object: a newer kit wrote it for a reason. (kit itself drops what its own version does not know.)

Go matches JSON keys without regard to case. A key that only Go would take for a known one would make us show another directory than
kit, so it is refused.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias, cast, final

from msgspec import Struct

from mkfs.errors import BadDigest, BadDocument
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json, shown
from mkfs.units import MIB

KITFILE_LIMIT_BYTES: Final = MIB  # some 4,600 entries with their digests; its text takes 0.3 s then, 3 s at worst (measured)

Json: TypeAlias = Mapping[str, object]


@final
class _Leaf(Enum):
    TEXT = auto()  # a string, left out of the text when empty
    ALWAYS = auto()  # a string that stands even when empty
    SAID = auto()  # a string that stands where the config has it, even empty: kit before 1.0 wrote it so, there and here
    HIDDEN = auto()  # a string for machines, never in the text
    TEXTS = auto()  # strings on one line
    ANYTHING = auto()  # the packer's own


@final
class _Record(Struct, frozen=True):
    """One object, or with `many` a list of them; `fields` in the order kit writes them. A single one may stand empty or not."""

    fields: "Mapping[str, _Leaf | _Record]"
    many: bool = False
    may_be_empty: bool = False


def _texts(*names: str) -> dict[str, "_Leaf | _Record"]:
    return dict.fromkeys(names, _Leaf.TEXT)


_LAYER: Final = {"digest": _Leaf.HIDDEN, "diffId": _Leaf.HIDDEN}
_PACKAGE: Final = _Record(_texts("name", "version", "description", "license") | {"authors": _Leaf.TEXTS})
_PARTS: Final = _Record(_texts("name", "path", "license", "type") | _LAYER, many=True)
_MODEL: Final = _Record(
    _texts("name", "path", "license", "framework", "format", "version", "description")
    | {"parts": _PARTS, "parameters": _Leaf.ANYTHING}
    | _LAYER,
    may_be_empty=True,
)
_CODE: Final = _Record(_texts("path", "description", "license") | _LAYER, many=True)
_DATASETS: Final = _Record(
    _texts("name", "path", "remotePath", "remoteHash", "description", "license") | {"parameters": _Leaf.ANYTHING} | _LAYER,
    many=True,
)
_DOCS: Final = _Record({"path": _Leaf.ALWAYS, "description": _Leaf.SAID} | _LAYER, many=True)
_NAMED: Final = _Record(_texts("name", "path", "description") | _LAYER, many=True)
_KITFILE: Final = _Record(
    {
        "manifestVersion": _Leaf.ALWAYS,
        "package": _PACKAGE,
        "model": _MODEL,
        "code": _CODE,
        "datasets": _DATASETS,
        "docs": _DOCS,
        "prompts": _NAMED,
        "mcpServers": _NAMED,
    },
)
_NAMELESS: Final = frozenset({"code", "docs"})  # a filter knows these by their path alone
_UNPACKED: Final = ("datasets", "code", "docs", "prompts", "mcpServers")  # kit's order after the model and its parts


@final
class KitEntry(Struct, frozen=True):
    """One thing the Kitfile names. `element` is the Kitfile's key for it (`model`, `parts`, `datasets` …), `at` where it stands."""

    element: str
    at: str  # "datasets[1]"
    name: str
    path: str  # as written: may start with ./, end with /, be "." or a reference to another ModelKit
    digest: Digest | None  # of its layer; None in kits packed before 0.5
    diff_id: Digest | None = None  # of its layer uncompressed, as kit says; None where it says nothing that could be one
    remote: bool = False  # a dataset that is not in the kit but somewhere else (S3, another ModelKit)

    @property
    def ids(self) -> tuple[str, ...]:
        """The words by which `kit unpack --filter` knows it."""
        return (self.path,) if self.element in _NAMELESS else (self.name, self.path)


@final
@dataclass(frozen=True, slots=True)
class Kitfile:
    """A config that has been checked. `entries` are in the order in which kit unpacks them; not all need have a layer."""

    entries: tuple[KitEntry, ...]
    shown: Json = field(repr=False, hash=False)  # what the text says, in its order

    def text(self) -> bytes:
        """The file `Kitfile` as `kit unpack` writes it: YAML, UTF-8, without digests and empty values."""
        from mkfs.formats.kitfile_yaml import dump

        return dump(self.shown)

    def properties(self) -> dict[str, str]:
        """What a person wants to know of the kit, flat: package fields by their name, the model's under `model.`.

        Values are the packer's own words and may hold line breaks and control characters.
        """
        model = {key: value for key, value in _record(self.shown.get("model")).items() if key != "parts"}
        return dict(_flat(_record(self.shown.get("package")), "")) | dict(_flat(model, "model."))


def read_kitfile(data: bytes) -> Kitfile:
    """Reads a ModelKit's config. Raises `BadDocument`, naming the field."""
    document = decode_json(data, KITFILE_LIMIT_BYTES, "Kitfile")
    shown = _shown(document, _KITFILE, "")
    return Kitfile(tuple(_entries(document)), shown)


def _shown(value: object, kind: _Record, at: str) -> dict[str, object]:
    """The object as its text shows it: known fields in kit's order, then the others. Checks all of it on the way."""
    if not isinstance(value, dict):
        raise _wrong(at, value, "an object")
    prefix = f"{at}." if at else ""
    shown: dict[str, object] = {}
    for key, field_kind in kind.fields.items():
        item = _field(value.get(key), field_kind, f"{prefix}{key}")
        if item is not None:
            shown[key] = item
    known = {key.casefold() for key in kind.fields}
    for key, item in value.items():
        if key not in kind.fields:
            if key.casefold() in known:
                raise BadDocument(f"Kitfile: {prefix}{key!a} differs only in case from a field that kit knows")
            shown[key] = item
    return shown


def _field(value: object, kind: _Leaf | _Record, at: str) -> object:
    """What the text says for one known field; None where it says nothing. A null is an absent field, as for Go."""
    match kind:
        case _Leaf.ANYTHING:
            return _sorted(value)
        case _Leaf.TEXTS:
            texts = [] if value is None else value
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise _wrong(at, value, "a list of strings")
            return tuple(texts) or None
        case _Leaf():
            text = "" if value is None else value
            if not isinstance(text, str):
                raise _wrong(at, value, "a string")
            stands = kind is _Leaf.ALWAYS or (kind is _Leaf.SAID and value is not None) or (text and kind is not _Leaf.HIDDEN)
            return text if stands else None
    if value is None:
        return None
    if kind.many:
        if not isinstance(value, list):
            raise _wrong(at, value, "a list")
        return [_shown(item, kind, f"{at}[{number}]") for number, item in enumerate(value)] or None
    record = _shown(value, kind, at)
    return record if record or kind.may_be_empty else None


def _sorted(value: object) -> object:
    """A value of the packer's own with the keys of its objects in order, as Go writes maps."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=_natural)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _natural(key: str) -> list[tuple[int, int]]:
    """Sorts as Go's YAML does: numbers by value (layer2 before layer10), and before letters; everything else before both."""
    order: list[tuple[int, int]] = []
    for character in key:
        if "0" <= character <= "9":
            digit = ord(character) - ord("0")
            if order and order[-1][0] == 1:
                order[-1] = (1, order[-1][1] * 10 + digit)
            else:
                order.append((1, digit))
        else:
            order.append((2 if character.isalpha() else 0, ord(character)))
    return order


def _entries(document: Json) -> list[KitEntry]:
    """Everything the checked `document` names, in the order in which kit unpacks it."""
    found: list[KitEntry] = []
    model = _record(document.get("model"))
    if _text(model, "path") or _text(model, "digest"):  # else it is a name for its parts
        found.append(_entry(model, "model", "model"))
    found += [_entry(part, "parts", f"model.parts[{number}]") for number, part in enumerate(_records(model, "parts"))]
    for element in _UNPACKED:
        found += [_entry(item, element, f"{element}[{number}]") for number, item in enumerate(_records(document, element))]
    return found


def _entry(item: Json, element: str, at: str) -> KitEntry:
    text = _text(item, "digest")
    try:
        digest = Digest.parse(text) if text else None
    except BadDigest as error:
        raise BadDocument(f"Kitfile: {at}.digest: {error.what}") from error
    name, path, remote = _text(item, "name"), _text(item, "path"), bool(_text(item, "remotePath"))
    return KitEntry(element, at, name, path, digest, Digest.found_in(_text(item, "diffId")), remote)


def _record(value: object) -> Json:
    return cast(Json, value or {})


def _records(item: Json, key: str) -> Sequence[Json]:
    return cast(Sequence[Json], item.get(key) or ())


def _text(item: Json, key: str) -> str:
    return cast(str, item.get(key) or "")


def _flat(item: Json, prefix: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in item.items():
        if isinstance(value, dict) and value:
            flat += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, tuple):
            flat.append((f"{prefix}{key}", ", ".join(value)))
        else:
            flat.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
    return flat


def _wrong(at: str, value: object, expected: str) -> BadDocument:
    return BadDocument(f"Kitfile: {at or 'the document'} is {shown(value)} (expected {expected})")
