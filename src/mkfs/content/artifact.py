"""From a reference to a directory: resolve, plan, tables, tree.

Dependent round trips after the token: the manifest, the documents the plan needs (one for a ModelKit), then all layers at once:
small ones whole, of large ones head and tail. One more for each further large entry of a layer. A compressed layer that nothing is
known of is streamed whole.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

from mkfs import formats
from mkfs.archive.entry import Table
from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.content.sources import Elsewhere, Sources
from mkfs.content.together import all_done
from mkfs.content.trusting import judge
from mkfs.errors import IntegrityError, Unsupported
from mkfs.formats.choice import EVERYTHING, Choice
from mkfs.formats.plan import Documents, Parent, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Index, Manifest, decode_manifest
from mkfs.oci.reference import Reference
from mkfs.proof.policy import Policy, Trust, Verdict
from mkfs.registry.repository import Repository
from mkfs.tree.build import Tree, build
from mkfs.units import GIB, MIB, format_duration, format_size

log = logging.getLogger(__name__)

# Layers up to this size are proven before the directory is shown: config, tokenizer, README. Together not more than the second
# number, so that a kit of thousands of small layers is still mounted in seconds.
SMALL_LAYER_BYTES: Final = MIB
SMALL_LAYERS_BYTES: Final = 16 * MIB
# Above this, whoever reads first waits long enough to be told so beforehand.
WORTH_A_NOTICE_BYTES: Final = GIB
GIGABIT_BYTES_PER_SECOND: Final = 125_000_000  # the link of a usual node: what a person can scale from


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an artifact is shown: whom to believe, and what of it is wanted. `elsewhere` gives the repositories of
    artifacts that it refers to; None: no other one may be asked. `deferred`: reads of large layers do not wait for a proof
    (`content.deferred`).
    """

    policy: Policy = field(default_factory=Policy)
    choice: Choice = EVERYTHING
    elsewhere: Elsewhere | None = None
    deferred: bool = False


DEFAULT_TERMS: Final = Terms()


@final
@dataclass(frozen=True, slots=True)
class Description:
    """What the documents of an artifact say, and what is believed of it; no layer was touched. `digest` is computed from the
    manifest's bytes.

    `resolved_at` (seconds since the epoch) says when the registry was asked what the tag means, where that is not now; `notices`
    says so to a person.
    """

    reference: Reference
    digest: Digest
    manifest: Manifest
    manifest_bytes: int  # as stored
    plan: Plan
    verdict: Verdict
    parent_verdicts: Mapping[Reference, Verdict] = field(default_factory=dict, hash=False)  # of those it refers to
    resolved_at: int | None = None
    notices: tuple[str, ...] = ()

    def judged(self, planned: PlannedLayer) -> Verdict:
        """What is believed of the artifact that a layer belongs to."""
        return self.verdict if planned.origin is None else self.parent_verdicts[planned.origin]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """An artifact ready to be shown. `layers` stand as in `description.plan.layers`; layers with the same bytes are one object."""

    description: Description
    tree: Tree
    layers: tuple[Layer, ...]
    notices: tuple[str, ...]  # what a person should know before reading, one line each

    @property
    def own_layers(self) -> tuple[Layer, ...]:
        """The layers that its own manifest has, without those of artifacts that it refers to."""
        plan = self.description.plan
        return tuple(layer for layer, planned in zip(self.layers, plan.layers, strict=True) if planned.origin is None)

    def close(self) -> None:
        """Lets go of the cache's files."""
        for layer in self.layers:
            layer.close()


async def describe(
    engine: Engine, repository: Repository | None, reference: Reference, terms: Terms = DEFAULT_TERMS
) -> Description:
    """Resolves, plans and judges on `terms`; without a `repository` from the cache alone, and nothing is asked.

    Raises `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch`, `BadDocument`, `Unsupported`; `IntegrityError` where the policy
    requires what is not there.
    """
    return await _describe(Sources(engine, repository, reference, terms.choice, terms.elsewhere), terms)


async def _describe(sources: Sources, terms: Terms) -> Description:
    source = sources.own
    resolved = await source.resolve()
    manifest = decode_manifest(resolved.data, resolved.media_type)
    if isinstance(manifest, Index):
        raise Unsupported(
            f"{source.reference} is an index of {len(manifest.manifests)} manifests, not one artifact",
            str(resolved.digest),
            "name one of its manifests by digest: " + ", ".join(str(each.digest) for each in manifest.manifests[:3]),
        )
    planned: list[Plan] = []
    judged: list[Verdict] = []

    async def plan() -> None:
        planned.append(await _plan(sources, manifest, terms.choice))

    async def vouch() -> None:
        judged.append(await judge(source, terms.policy, resolved, manifest))

    await all_done((plan, vouch))  # at once: each asks for other things
    for warning in planned[0].warnings:
        log.info("%s: %s", source.reference, warning)
    plan_, verdict = planned[0], judged[0]
    parents = await _judge_parents(sources, plan_, terms.policy)
    for each in (verdict, *parents.values()):
        for refusal in each.refused:
            log.info("%s: not believed: %s: %s", source.reference, refusal.what, refusal.reason)
    await sources.remember(resolved)
    nothing = () if plan_.layers or plan_.files else plan_.warnings  # a person should know why it is empty
    return Description(
        source.reference,
        resolved.digest,
        manifest,
        len(resolved.data),
        plan_,
        verdict,
        parents,
        source.resolved_at,
        (*source.notices, *_origins(plan_), *nothing),
    )


async def _plan(sources: Sources, manifest: Manifest, choice: Choice) -> Plan:
    blobs: dict[Digest, bytes] = {}
    parents: dict[Reference, Parent] = {}
    while not isinstance(answer := formats.plan(Documents(manifest, blobs, parents), choice), Plan):
        if isinstance(answer.wanted, Reference):
            parents[answer.wanted] = await sources.parent(answer.wanted)
        else:
            blobs[answer.wanted.digest] = await sources.of(answer.origin).document(answer.wanted)
    return answer


async def _judge_parents(sources: Sources, plan: Plan, policy: Policy) -> dict[Reference, Verdict]:
    """What is believed of each artifact that this one refers to; the policy holds for them as well, by their own repositories.

    Raises `IntegrityError` where one is required to be vouched for and is not, or is named by a tag that may move under a policy
    that requires something of who names it.
    """
    own = sources.own.reference
    rule = policy.rule_for(own)
    if plan.uncovered_parents and (rule.require_index or rule.verify_signature):
        what = f"the artifact refers to {plan.uncovered_parents[0]} by a tag, which no digest and no signature covers"
        raise IntegrityError(what, str(own), "whoever packs it has to name its parent by digest")
    verdicts: dict[Reference, Verdict] = {}

    async def one(parent: Reference) -> None:
        found, pinned = sources.resolved(parent), own.digest is not None or parent not in plan.uncovered_parents
        verdicts[parent] = await judge(found.source, policy, found.resolved, found.manifest, pinned=pinned)

    await all_done(partial(one, parent) for parent in plan.parents)
    return verdicts


def _origins(plan: Plan) -> list[str]:
    """A line for each other artifact that is shown with this one."""
    return [
        f"the model is that of {parent}" + (": its tag is not covered by the digest" if parent in plan.uncovered_parents else "")
        for parent in plan.parents
    ]


async def open_artifact(
    engine: Engine,
    repository: Repository | None,
    reference: Reference,
    terms: Terms = DEFAULT_TERMS,
    *,
    names_only: bool = False,
) -> Artifact:
    """Everything needed to show the artifact as a directory. Raises what `describe` raises, and `BadArchive`, `CacheUnusable`.

    A layer whose bytes are wrong does not fail this, as long as its headers can be read: its files answer with the error. Without
    a `repository`, or where it is gone and `reference` has a digest, all layers must be in the cache; with `names_only`, for who
    will read nothing, their chunk indexes are enough.
    """
    sources = Sources(engine, repository, reference, terms.choice, terms.elsewhere)
    description = await _describe(sources, terms)
    plan = description.plan
    layers = _layers(engine, sources, description, terms)
    distinct = tuple(dict.fromkeys(layers))
    await all_done(layer.open for layer in distinct)
    origins = {layer: planned.origin for layer, planned in zip(layers, plan.layers, strict=True)}
    await _refuse_lacking(sources, origins, names_only=names_only)
    room = SMALL_LAYERS_BYTES
    early: set[Layer] = set()
    for layer in (each for each in distinct if sources.of(origins[each]).asking):
        if not layer.proven and layer.blob.size_bytes <= min(SMALL_LAYER_BYTES, room):
            room -= layer.blob.size_bytes
            early.add(layer)
    tables: dict[Layer, Table | None] = {}

    async def learn(layer: Layer) -> None:
        if layer in early:
            try:
                await layer.prove(whole=True)
            except IntegrityError as error:  # its readers will get it; names can still come from the headers
                log.info("%s is shown, but cannot be read: %s", layer.label, error)
        tables[layer] = await layer.table()

    await all_done(partial(learn, layer) for layer in distinct)
    sizes = {number: size_bytes for number, layer in enumerate(layers) if (size_bytes := layer.content_bytes) is not None}
    tree = build(plan, [tables[layer] for layer in layers], sizes)
    return Artifact(description, tree, layers, description.notices + _notices(distinct, reference))


async def _refuse_lacking(sources: Sources, origins: Mapping[Layer, Reference | None], *, names_only: bool) -> None:
    """Raises `NotFound`, or why a registry is gone, where layers that cannot be asked for are not all in the cache; with
    `names_only` where their names are not.
    """
    for origin in dict.fromkeys(origins.values()):
        source = sources.of(origin)
        if source.asking:
            continue
        of_it = [layer for layer, its_origin in origins.items() if its_origin == origin]
        lacking = [layer.label for layer in of_it if not (layer.named if names_only else await layer.is_complete())]
        if lacking:
            what = "the names in " if names_only else ""
            raise source.missing(f"{what}{len(lacking)} of {len(of_it)} layers ({lacking[0]}{', …' if lacking[1:] else ''})")


def _layers(engine: Engine, sources: Sources, description: Description, terms: Terms) -> tuple[Layer, ...]:
    """One `Layer` per distinct bytes, reading and repository; a kit may name the same bytes several times."""
    known: dict[tuple[Digest, int, bool, str, Reference | None], Layer] = {}
    layers: list[Layer] = []
    for planned in description.plan.layers:
        tar, compression = isinstance(planned.reading, TarLayer), planned.reading.compression
        key = (planned.descriptor.digest, planned.descriptor.size_bytes, tar, compression, planned.origin)
        if key not in known:
            blob, label, source = planned.descriptor, _label(planned), sources.of(planned.origin)
            known[key] = Layer(
                engine=engine,
                reader=source,
                access=source,
                blob=blob,
                label=label,
                tar=tar,
                compression=compression,
                content_bytes=planned.reading.size_bytes if isinstance(planned.reading, RawLayer) else None,
                trusted=description.judged(planned).of(blob, compression),
                deferred=terms.deferred,
            )
        layers.append(known[key])
    return tuple(layers)


def _label(planned: PlannedLayer) -> str:
    name = planned.name or (
        planned.reading.path.decode("utf-8", "backslashreplace") if isinstance(planned.reading, RawLayer) else ""
    )
    return f"{planned.element} {name}".strip()


def _notices(layers: tuple[Layer, ...], reference: Reference) -> tuple[str, ...]:
    """One line for each large layer whose first read waits, and one with the ways out."""
    large = [layer for layer in layers if layer.trust is Trust.LAYER and layer.blob.size_bytes > WORTH_A_NOTICE_BYTES]
    said = tuple(
        f"{layer.label} is one layer of {format_size(layer.blob.size_bytes)}: its first read waits until all of it is proven, "
        f"{format_duration(layer.blob.size_bytes / GIGABIT_BYTES_PER_SECOND)} at 1 Gbit/s"
        for layer in large
    )
    ways = f"to wait less: mkfs warmup {reference}, one mkfs index push {reference} for the fleet, or --verify deferred"
    return (*said, ways) if said else ()
