"""An index: which of its artifacts is meant. By labels, as `kit` has them (kit, `pkg/lib/index/select.go`), else by platform.

Labels of an entry are those of its `modelMetadata` (a field of kit's own, of any JSON) and its platform (`os`, `architecture`,
`variant`). The labels that were asked for must all be there, and one entry must be left. Where several are and nobody asked for a
platform, the one for Linux on this machine's architecture is taken: images of models come for each, and hold the same. Entries of
`unknown` platforms are attestations, not artifacts.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from mkfs.errors import BadDocument, Unsupported, UsageError
from mkfs.formats.wording import printable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.json import shown
from mkfs.oci.manifest import Index

Labels: TypeAlias = tuple[tuple[str, str], ...]

ORIGINAL_TAG: Final = "ml.kitops.modelkit.original-tag"

_METADATA, _PLATFORM = "modelMetadata", "platform"
_PLATFORM_KEYS: Final = ("os", "architecture", "variant")
_SHOWN_ENTRIES: Final = 12  # of an index, in a message
_GO_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}


def architecture_of(machine: str) -> str:
    """What an index calls the architecture that `uname -m` calls `machine`."""
    return _GO_NAMES.get(machine, machine)


def parse_labels(words: Sequence[str]) -> Labels:
    """Reads `key=value` words. Raises `UsageError`: without a key, or a key twice."""
    labels: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f"no label: {ascii(word)[:80]} (expected key=value)")
        if key in labels:
            raise UsageError(f"the label {ascii(key)[:80]} is given twice")
        labels[key] = value
    return tuple(labels.items())


def choose(index: Index, labels: Labels, architecture: str) -> Descriptor:
    """The entry that is meant, on a machine of this `architecture` ("" where that says nothing).

    Raises `Unsupported` where none or several are, with what there is to choose from; `BadDocument` for entries of wrong types.
    """
    found = [(entry, _labels(entry, f"manifests[{number}]")) for number, entry in enumerate(index.manifests)]
    left = [(entry, its) for entry, its in found if all(its.get(key) == value for key, value in labels)]
    left = [(entry, its) for entry, its in left if its.get("os") != "unknown"] or left
    if len({entry.digest for entry, _ in left}) > 1 and not any(key in _PLATFORM_KEYS for key, _ in labels):
        here = [(entry, its) for entry, its in left if (its.get("os"), its.get("architecture")) == ("linux", architecture)]
        left = here or left
    if len({entry.digest for entry, _ in left}) == 1:
        return left[0][0]
    if not found:
        raise Unsupported("the index holds no artifacts")
    what = f"this is an index of {len(found)} artifacts"
    if labels:
        asked = ", ".join(f"{key}={printable(value)}" for key, value in labels)
        what = f"{len(left) or 'none'} of the {len(found)} artifacts in this index have {asked}"
    raise Unsupported(what, _choices(left or found), "choose one: --select KEY=VALUE, as often as needed, or its digest")


def _labels(entry: Descriptor, at: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for field in (_METADATA, _PLATFORM):
        value = entry.others.get(field, {})
        if not isinstance(value, dict):
            raise BadDocument(f"manifest: {at}.{field} is {shown(value)} (expected an object)")
        keys = value if field == _METADATA else [key for key in _PLATFORM_KEYS if key in value]
        labels |= {key: _text(value[key]) for key in keys}
    return labels


def _text(value: object) -> str:
    """A label's value as a person writes it: strings as they are, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _choices(entries: Sequence[tuple[Descriptor, Mapping[str, str]]]) -> str:
    """One line: each entry by the tag it had, or its digest, with its labels."""
    lines = [
        f"{printable(entry.annotations.get(ORIGINAL_TAG, '') or str(entry.digest))} "
        f"({', '.join(f'{key}={printable(value)}' for key, value in sorted(its.items())) or 'no labels'})"
        for entry, its in entries[:_SHOWN_ENTRIES]
    ]
    return "; ".join(lines) + ("; …" if entries[_SHOWN_ENTRIES:] else "")
