"""From a reference to a directory: resolve, plan, tables, tree.

Dependent round trips after the token: the manifest, the documents the plan needs (one for a ModelKit), then all layers at once:
small ones whole, of large ones head and tail. One more for each further large entry of a layer.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

from mkfs import formats
from mkfs.archive.entry import Table
from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.content.source import Source
from mkfs.content.together import all_done
from mkfs.content.trusting import judge
from mkfs.errors import IntegrityError, Unsupported
from mkfs.formats.choice import EVERYTHING, Choice
from mkfs.formats.plan import Documents, Plan, PlannedLayer, RawLayer, TarLayer
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
    """On what terms an artifact is shown: whom to believe, and what of it is wanted. `deferred`: reads of large layers do not wait
    for a proof (`content.deferred`).
    """

    policy: Policy = field(default_factory=Policy)
    choice: Choice = EVERYTHING
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
    resolved_at: int | None = None
    notices: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """An artifact ready to be shown. `layers` stand as in `description.plan.layers`; layers with the same bytes are one object."""

    description: Description
    tree: Tree
    layers: tuple[Layer, ...]
    notices: tuple[str, ...]  # what a person should know before reading, one line each

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
    return await _describe(Source(engine, repository, reference), terms)


async def _describe(source: Source, terms: Terms) -> Description:
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
        planned.append(await _plan(source, manifest, terms.choice))

    async def vouch() -> None:
        judged.append(await judge(source, terms.policy, resolved, manifest))

    await all_done((plan, vouch))  # at once: each asks for other things
    for warning in planned[0].warnings:
        log.info("%s: %s", source.reference, warning)
    for refusal in judged[0].refused:
        log.info("%s: not believed: %s: %s", source.reference, refusal.what, refusal.reason)
    await source.remember(resolved)
    nothing = () if planned[0].layers or planned[0].files else planned[0].warnings  # a person should know why it is empty
    return Description(
        source.reference,
        resolved.digest,
        manifest,
        len(resolved.data),
        planned[0],
        judged[0],
        source.resolved_at,
        source.notices + nothing,
    )


async def _plan(source: Source, manifest: Manifest, choice: Choice) -> Plan:
    blobs: dict[Digest, bytes] = {}
    while not isinstance(answer := formats.plan(Documents(manifest, blobs), choice), Plan):
        blobs[answer.descriptor.digest] = await source.document(answer.descriptor)
    return answer


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
    source = Source(engine, repository, reference)
    description = await _describe(source, terms)
    plan = description.plan
    _refuse_compressed(plan)
    layers = _layers(engine, source, description, terms)
    distinct = tuple(dict.fromkeys(layers))
    await all_done(layer.open for layer in distinct)
    if not source.asking:
        enough = [layer.named if names_only else await layer.is_complete() for layer in distinct]
        if lacking := [layer.label for layer, there in zip(distinct, enough, strict=True) if not there]:
            what = "the names in " if names_only else ""
            raise source.missing(f"{what}{len(lacking)} of {len(distinct)} layers ({lacking[0]}{', …' if lacking[1:] else ''})")
    room = SMALL_LAYERS_BYTES
    early: set[Layer] = set()
    for layer in distinct if source.asking else ():
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
    tree = build(plan, [tables[layer] for layer in layers])
    return Artifact(description, tree, layers, description.notices + _notices(distinct, reference))


def _refuse_compressed(plan: Plan) -> None:
    """Raises `Unsupported` for the first layer that is compressed: their content is not read yet."""
    for planned in plan.layers:
        if planned.reading.compression:
            what = f"{_label(planned)} ({planned.descriptor.media_type}) is compressed with {planned.reading.compression}"
            raise Unsupported(what, f"layer {planned.descriptor.digest}", "compressed layers are not shown yet")


def _layers(engine: Engine, source: Source, description: Description, terms: Terms) -> tuple[Layer, ...]:
    """One `Layer` per distinct bytes and reading; a kit may name the same bytes several times."""
    known: dict[tuple[Digest, int, bool], Layer] = {}
    layers: list[Layer] = []
    for planned in description.plan.layers:
        tar = isinstance(planned.reading, TarLayer)
        key = (planned.descriptor.digest, planned.descriptor.size_bytes, tar)
        if key not in known:
            blob, label = planned.descriptor, _label(planned)
            known[key] = Layer(
                engine=engine,
                reader=source,
                access=source,
                blob=blob,
                label=label,
                tar=tar,
                trusted=description.verdict.of(blob, planned.reading.compression),
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
