"""Filters: `type[,type…][:id[,id…]]`, the grammar of `kit unpack --filter` (kit, `pkg/lib/kitfile/filter.go`), no more and no less.

A filter wants what is of one of its types and, if it has ids, goes by one of them: the name in the Kitfile, or the path as written
there, compared as they are. `model` means its parts as well. Several filters want what any of them wants; none, everything. Types
are the Kitfile's words, so for artifacts of other producers they mean what stands nearest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, final

from msgspec import Struct

from mkfs.errors import UsageError
from mkfs.formats.plan import Plan

MODEL_ELEMENTS: Final = frozenset({"model", "parts"})
KITFILE: Final = "kitfile"

_TYPES: Final[Mapping[str, frozenset[str]]] = {
    KITFILE: frozenset({KITFILE}),
    "model": MODEL_ELEMENTS,
    "datasets": frozenset({"datasets"}),
    "code": frozenset({"code"}),
    "prompts": frozenset({"prompts"}),
    "docs": frozenset({"docs"}),
    "mcpservers": frozenset({"mcpServers"}),
}


@final
class Filter(Struct, frozen=True):
    """What one filter wants. `ids` are None where it has none; an empty id goes by what has no name, as for kit."""

    elements: frozenset[str]
    ids: frozenset[str] | None = None

    def wants(self, element: str, ids: Sequence[str]) -> bool:
        """Whether it wants what is an `element` and goes by `ids`."""
        return element in self.elements and (self.ids is None or not self.ids.isdisjoint(ids))


def parse_filter(text: str) -> Filter:
    """Reads what a person typed. Raises `UsageError`."""
    types, colon, ids = text.partition(":")
    if ":" in ids:
        hint = "write type[,type…][:id[,id…]]: an id has no colon"
        raise UsageError(f"a filter has one colon at most (got {ascii(text)[:200]})", hint=hint)
    elements: set[str] = set()
    for word in types.split(","):
        if word not in _TYPES:
            raise UsageError(f"no type of a filter: {ascii(word)[:80]} (expected {', '.join(_TYPES)})")
        elements |= _TYPES[word]
    return Filter(frozenset(elements), frozenset(ids.split(",")) if colon else None)


def filtered(plan: Plan, filters: Sequence[Filter]) -> Plan:
    """What of `plan` any of the filters wants; all of it where there is none. What leaves nothing is a warning, as kit goes on."""
    if not filters:
        return plan
    layers = tuple(layer for layer in plan.layers if any(each.wants(layer.element, layer.ids) for each in filters))
    files = tuple(file for file in plan.files if any(KITFILE in each.elements for each in filters))
    left = replace(plan, layers=layers, files=files)
    if layers or files:
        return left
    has = ", ".join(dict.fromkeys(layer.element for layer in plan.layers)) or "no layers"
    return left.warned(f"the filter leaves nothing of this artifact, which has {has}")
