"""Models that are a reference to another ModelKit: their chain, and what of each kit comes along.

Of a parent the model and its parts are shown, nothing else, before the child's own layers (kit, `unpackRemote` in
`pkg/lib/filesystem/unpack/core.go`). A parent may have a parent, ten at most. Whether a reference may be followed at all is decided
by whoever resolves it (`registry.hosts.check_parent`): here it is only said which one is needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mkfs.errors import BadReference, Unsupported
from mkfs.formats.filters import MODEL_ELEMENTS, Filter
from mkfs.formats.plan import Documents, Need, Plan
from mkfs.formats.wording import printable
from mkfs.oci.reference import Reference

CHAIN_LIMIT: Final = 10  # parents above one child: kit's own limit (MaxModelRefChain)


def with_parents(
    child: Plan, documents: Documents, filters: Sequence[Filter], plan_kit: Callable[[Documents], Plan | Need]
) -> Plan | Need:
    """`child` with the models of its parents. `plan_kit` plans one ModelKit.

    Where no filter wants models, parents are not asked for. Raises `Unsupported` for a reference that names no registry, for a loop
    and for a chain that is too long.
    """
    if filters and not any(each.elements & MODEL_ELEMENTS for each in filters):
        return replace(child, parent="")
    layers, warnings = list(child.layers), list(child.warnings)
    chain: list[Reference] = []
    text = child.parent
    while text:
        reference = _reference(text, chain)
        chain.append(reference)
        parent = documents.parents.get(reference)
        if parent is None:
            return Need(reference)
        try:
            answer = plan_kit(Documents(parent.manifest, documents.blobs))
        except Unsupported as error:  # its class is kept: what is wrong with the parent is wrong with the whole
            raise type(error)(
                error.what, f"{parent.reference}, which this ModelKit refers to. {error.where}".strip(), error.hint
            ) from error
        if isinstance(answer, Need):
            return replace(answer, origin=parent.reference)
        own = [replace(layer, origin=parent.reference) for layer in answer.layers if layer.element in MODEL_ELEMENTS]
        layers[:0] = own
        warnings += (f"{parent.reference}: {warning}" for warning in answer.warnings)
        text = answer.parent
    parents = tuple(documents.parents[reference].reference for reference in chain)
    uncovered = tuple(documents.parents[reference].reference for reference in chain if reference.digest is None)
    return replace(child, layers=tuple(layers), warnings=tuple(warnings), parent="", parents=parents, uncovered_parents=uncovered)


def _reference(text: str, chain: Sequence[Reference]) -> Reference:
    """What the Kitfile's words name, as the next link of `chain`."""
    shown = printable(text)
    try:
        reference = Reference.parse(text)
    except BadReference as error:
        raise Unsupported(
            f"the model of this ModelKit is a reference that cannot be followed: {shown}",
            error.what,
            "kit itself looks for a reference without a registry on its own disk only",
        ) from error
    way = " → ".join(str(each) for each in (*chain, reference))
    if reference in chain:
        raise Unsupported("the ModelKits refer to one another in a circle", way)
    if len(chain) == CHAIN_LIMIT:
        raise Unsupported(f"more than {CHAIN_LIMIT} ModelKits refer to one another in a row", way)
    return reference
