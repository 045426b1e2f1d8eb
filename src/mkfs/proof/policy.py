"""Which chunk indexes are believed, and what must be signed: the user's policy, applied to what was found about one artifact.

Theory. Three kinds of index are trusted, and nothing else: *own* ones, made here from a layer whose digest matched; *signed* ones,
by a key that policy names for the artifact's repository; and, where the user says so and named the artifact by tag, the *registry's
word*: whoever may push an index there may as well move the tag. Where that is not so, as the artifact itself must be signed, or
where somebody signed an index, the registry's word does not count. Everything else is refused, with a reason, and then is as if it
were not there: without a trusted index a layer is fetched whole and proven by its digest. So taking an index or a signature away
makes reading slower, never weaker; where policy *requires* one, it is an error.

Trusted indexes must agree. Two that do not mean a key that signed a lie or a cache that was tampered with, and no order of
preference makes that right: `IntegrityError`.

What examines evidence is imported when there is some: most mounts ask for none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, final

from msgspec import Struct

from mkfs.errors import IntegrityError
from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.chunk_index import ChunkIndex

if TYPE_CHECKING:
    from mkfs.proof.evidence import Evidence, Refusal
    from mkfs.proof.keys import PublicKey

_SHOWN_REASONS: Final = 3  # in an error: it is a few lines; `inspect` has all


@final
class Trust(Enum):
    """What the proof of a layer's bytes rests on, beside its digest in the manifest. People and programs are shown the values."""

    DEFERRED = "deferred"  # none yet, and reads do not wait for it: the user asked for that
    LAYER = "layer digest"  # no chunk index: the layer is fetched whole and proven before its first byte is answered
    OWN = "own"  # a chunk index made here from bytes that the layer's digest proved
    SIGNED = "signed"  # a chunk index signed by a key of the policy
    REGISTRY = "registry's word"  # a chunk index that nobody signed, taken because the user says so


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """What policy asks of the artifacts of one registry, or of repositories below a path; `scope` "" is everything else."""

    scope: str  # "", or registry[/path], compared component by component
    keys: "tuple[PublicKey, ...]" = ()
    require_index: bool = False  # a signed chunk index, or an error
    verify_signature: bool = False  # a signature of the artifact itself, or an error

    def covers(self, reference: Reference) -> bool:
        """Whether this rule is about the repository of `reference`."""
        return not self.scope or f"{reference.name}/".startswith(f"{self.scope}/")


@final
@dataclass(frozen=True, slots=True)
class Policy:
    """The rule with the longest scope that covers a repository holds for it, whole: rules do not add up."""

    rules: tuple[Rule, ...] = (Rule(""),)
    trust_registry: bool = False

    def rule_for(self, reference: Reference) -> Rule:
        """The rule for the artifacts of this repository."""
        return max((rule for rule in self.rules if rule.covers(reference)), key=lambda rule: len(rule.scope), default=Rule(""))

    def without_index(self) -> "Policy":
        """The same for whoever makes the chunk index that it may require."""
        return replace(self, rules=tuple(replace(rule, require_index=False) for rule in self.rules))


@final
class LayerTrust(Struct, frozen=True):
    """The chunk index believed for a layer, and why. `key_id` says who signed, "" where nobody had to."""

    index: ChunkIndex
    trust: Trust
    key_id: str = ""

    @property
    def words(self) -> str:
        """For a person: `own`, `signed by 432ec6ed…`, `registry's word`."""
        return f"signed by {self.key_id}" if self.key_id else self.trust.value


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """What is believed about one artifact."""

    layers: Mapping[Digest, LayerTrust] = field(hash=False)  # those with a trusted chunk index
    signed_by: tuple[str, ...]  # ids of the trusted keys that signed the artifact itself
    refused: "tuple[Refusal, ...]"

    def of(self, layer: Descriptor, compression: Compression = "") -> LayerTrust | None:
        """What is believed about a layer that manifest and plan describe so; None: nothing but its digest.

        Raises `IntegrityError` where the index that is trusted for it contradicts them.
        """
        believed = self.layers.get(layer.digest)
        if believed is not None:
            from mkfs.proof.artifact_index import check_layer

            check_layer(believed.index, layer, compression)
        return believed

    def words(self, layer: Digest) -> str:
        """What the proof of a layer rests on, for a person: see `LayerTrust.words`, and `layer digest`."""
        return self.layers[layer].words if layer in self.layers else Trust.LAYER.value


def decide(
    policy: Policy, reference: Reference, evidence: "Iterable[Evidence]", own: Iterable[ChunkIndex] = (), *, pinned: bool = False
) -> Verdict:
    """The verdict about the artifact that `reference` names, from everything that was found about it.

    `evidence` was examined for its manifest, with the keys of its rule. `own` are the chunk indexes in the cache. `pinned`: a
    digest was named on the way to it (as by a child whose reference has one), so the registry's word is not asked.

    Raises `IntegrityError` where policy requires what was not found, and where trusted indexes disagree.
    """
    from mkfs.proof.evidence import Refusal, Signature, SignedIndex, SignedStatement, UnsignedIndex

    rule, found = policy.rule_for(reference), tuple(evidence)
    signatures = [piece for piece in found if isinstance(piece, Signature)]
    signed = [piece for piece in found if isinstance(piece, SignedIndex)]
    unsigned = [piece for piece in found if isinstance(piece, UnsignedIndex)]
    refused = [piece for piece in found if isinstance(piece, Refusal)]
    refused += [
        Refusal(piece.what, "the signed chunk index was not there") for piece in found if isinstance(piece, SignedStatement)
    ]
    reason = _why_not(policy, rule, signed=bool(signed), pinned=pinned or reference.digest is not None)
    if reason:
        refused += [Refusal(piece.what, reason) for piece in unsigned]
    if rule.verify_signature and not signatures:
        raise _missing("the artifact is not signed by a key that is trusted for it", reference, refused)
    if rule.require_index and not signed:
        raise _missing("the artifact has no chunk index signed by a key that is trusted for it", reference, refused)
    believed = [LayerTrust(index, Trust.OWN) for index in own]
    believed += [LayerTrust(index, Trust.SIGNED, piece.key_id) for piece in signed for index in piece.index.layers]
    if not reason:
        believed += [LayerTrust(index, Trust.REGISTRY) for piece in unsigned for index in piece.index.layers]
    return Verdict(_united(believed), tuple(dict.fromkeys(piece.key_id for piece in signatures)), tuple(refused))


def _why_not(policy: Policy, rule: Rule, *, signed: bool, pinned: bool) -> str:
    """Why the registry's word is not taken; "" where it is."""
    if not policy.trust_registry:
        return "nobody signed it (the registry's word is believed with --trust-index registry only)"
    if pinned:
        return "nobody signed it, and the registry's word is not asked about an artifact that is named by digest"
    if rule.verify_signature:
        return "nobody signed it, and the registry's word is not asked about an artifact that must be signed"
    return "nobody signed it, and a signed one is there" if signed else ""


def _united(believed: Iterable[LayerTrust]) -> dict[Digest, LayerTrust]:
    """One for each layer: the first, but one with a table before one without. Raises `IntegrityError` where two disagree."""
    from mkfs.proof.artifact_index import agree_on_layer

    layers: dict[Digest, LayerTrust] = {}
    for each in believed:
        first = layers.setdefault(each.index.layer, each)
        agree_on_layer(first.index, each.index)
        if first.index.table is None and each.index.table is not None:
            layers[each.index.layer] = each
    return layers


def _missing(what: str, reference: Reference, refused: "list[Refusal]") -> IntegrityError:
    shown = [f"{refusal.what}: {refusal.reason}" for refusal in refused[:_SHOWN_REASONS]]
    more = [f"and {len(refused) - len(shown)} more"] if len(refused) > len(shown) else []
    return IntegrityError(
        what, str(reference), "refused: " + "; ".join(shown + more) if refused else "nothing of the kind was found"
    )
