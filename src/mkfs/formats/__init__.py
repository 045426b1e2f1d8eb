"""What a producer means: one module per producer, each answering `plan(documents)` with a `Plan` or what it still needs. Pure.

A new format is one new file with `recognises` and `plan`, and its name in `FORMATS`. The first that recognises a manifest answers
for it (those behind it are not even imported), so modules rest on marks that no other producer leaves (config type, artifact type,
layer types), never on guesses.
"""

import importlib
from typing import Final, Protocol, cast

from mkfs.formats.choice import EVERYTHING, Choice
from mkfs.formats.filters import filtered
from mkfs.formats.layer_claims import of_layers
from mkfs.formats.parents import with_parents
from mkfs.formats.plan import Documents, Need, Plan
from mkfs.formats.properties import Answer, Claim, of_annotations, settle
from mkfs.oci.manifest import Manifest


class Format(Protocol):
    """What a module of this room offers."""

    def recognises(self, manifest: Manifest) -> bool:
        """Whether this producer made it. Decided by the manifest alone."""

    def plan(self, documents: Documents) -> Plan | Need:
        """What the directory holds, or which blob must be read first; asked again until it is a `Plan`.

        Raises `BadDocument` for documents that break the producer's rules and `Unsupported` for what cannot be shown (yet). Never a
        plan that leaves out something the producer's own tool would write, unless one of its warnings says so.
        """


KITS: Final = ("kitops", "modelpack")  # what a ModelKit may refer to, as for kit
FORMATS: Final = ("kitops", "modelpack", "docker_model", "ollama", "modelcar", "oras")


def plan(documents: Documents, choice: Choice = EVERYTHING) -> Plan | Need:
    """Detects the producer and lets it plan, then leaves what `choice` wants.

    Raises `Unsupported`, saying what was found, where nobody recognises the manifest.
    """
    answer = _plan(documents, FORMATS)
    if isinstance(answer, Plan) and answer.parent:
        answer = with_parents(answer, documents, choice.filters, lambda of: _plan(of, KITS))
    return filtered(answer, choice.filters) if isinstance(answer, Plan) else answer


def answers(plan: Plan, manifest: Manifest, tag: str | None = None) -> tuple[Answer, ...]:
    """One answer for each property that the artifact says something of. `tag` is the one it was asked for by."""
    named = [Claim("ref.name", tag, "the tag asked for")] if tag else []
    return settle((*plan.claims, *of_annotations(manifest.annotations), *of_layers(plan.layers), *named))


def _plan(documents: Documents, formats: tuple[str, ...]) -> Plan | Need:
    for name in formats:
        each = cast(Format, importlib.import_module(f"{__name__}.{name}"))
        if each.recognises(documents.manifest):
            return each.plan(documents)
    from mkfs.formats import unsupported

    raise unsupported.refusal(documents.manifest)
