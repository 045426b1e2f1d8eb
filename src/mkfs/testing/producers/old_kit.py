"""kit before 0.5: no digests in the Kitfile, paths in archives relative to the parent of the entry's."""

import posixpath
from collections.abc import Iterator, Sequence
from typing import Final

from mkfs.formats.go_json import go_json
from mkfs.oci.media_types import KITOPS_CONFIG, KITOPS_LAYER_PREFIX
from mkfs.testing.artifacts import Part, artifact, tar
from mkfs.testing.kit_documents import ELEMENTS
from mkfs.testing.kit_layers import gzipped
from mkfs.testing.producers import Files, Made

_ORDER: Final = ("model", "parts", "code", "datasets", "docs")


def kit_before_0_5(files: Files, entries: Sequence[tuple[str, str]], *, compressed: bool = True) -> Made:
    """A ModelKit as kit 0.4 packs it (`pkg/lib/kitfile/layer.go`). `entries` are elements (`model`, `docs` …) with their paths."""
    kitfile: dict[str, list[dict[str, str]]] = {}
    for element, path in entries:
        kitfile.setdefault(element, []).append({"path": path} | ({"description": ""} if element == "docs" else {}))
    model = {**(kitfile.pop("model", None) or [{}])[0], **({"parts": parts} if (parts := kitfile.pop("parts", None)) else {})}
    config = {"manifestVersion": "1.0.0", "package": {"name": "old"}, **({"model": model} if model else {}), **kitfile}
    layers: list[Part] = []
    written: dict[str, bytes] = {}
    for element, path in sorted(entries, key=lambda entry: _ORDER.index(entry[0])):
        others = [posixpath.normpath(other) for _, other in entries if posixpath.normpath(other) != posixpath.normpath(path)]
        content = {name: data for name, data in _below(files, path) if not _within(name, others, posixpath.normpath(path))}
        parent = posixpath.dirname(posixpath.normpath(path))
        data = tar(_with_directories({posixpath.relpath(name, parent or "."): each for name, each in content.items()}))
        media_type = f"{KITOPS_LAYER_PREFIX}{ELEMENTS[element].kind}.v1.tar"
        layers.append(Part(f"{media_type}+gzip", gzipped(data)) if compressed else Part(media_type, data))
        written |= content
    return Made(artifact(Part(KITOPS_CONFIG, go_json(config)), layers), written)


def _below(files: Files, path: str) -> Iterator[tuple[str, bytes]]:
    """The file at `path`, or all that is below it."""
    place = posixpath.normpath(path)
    for name, data in files.items():
        if place in (".", name) or name.startswith(f"{place}/"):
            yield name, data


def _within(name: str, others: Sequence[str], place: str) -> bool:
    """Whether another layer, further down than `place`, has it."""
    return any(
        other != "." and (name == other or name.startswith(f"{other}/")) and (place == "." or other.startswith(f"{place}/"))
        for other in others
    )


def _with_directories(files: Files) -> dict[str, bytes | None]:
    """The files with an entry for each directory before the first thing in it."""
    members: dict[str, bytes | None] = {}
    for name in sorted(files):
        for place, character in enumerate(name):
            if character == "/":
                members.setdefault(name[:place], None)
        members[name] = files[name]
    return members
