"""From a reference to what an artifact says of itself, and what is believed of it: nothing here touches a layer.

Dependent round trips after the token: the manifest; then, at once, the documents the plan needs (one for a ModelKit) and what hangs
on the artifact, where the policy could make use of it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, final

from mkfs import formats
from mkfs.content.engine import Engine
from mkfs.content.prefetch import Prefetch
from mkfs.content.source import Source
from mkfs.content.sources import Elsewhere, Sources
from mkfs.content.together import all_done
from mkfs.content.trusting import judge
from mkfs.errors import IntegrityError, Unsupported
from mkfs.formats.choice import EVERYTHING, Choice
from mkfs.formats.plan import Documents, Parent, Plan, PlannedLayer
from mkfs.formats.selection import choose
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.reference import Reference
from mkfs.proof.policy import Policy, Verdict
from mkfs.registry.layout import AnyRepository
from mkfs.registry.manifests import ResolvedManifest

log = logging.getLogger(__name__)

WARNINGS_TOLD: Final = 5  # of things that are not shown; the log has all of them
INDEXES_LIMIT: Final = 2  # an index of platforms within an index of models; deeper ones nobody makes


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms an artifact is shown: whom to believe, and what of it is wanted. `elsewhere` gives the repositories of
    artifacts that it refers to; without it, these come from the cache alone. `deferred`: reads of large layers do not wait for a
    proof (`content.deferred`). `prefetch`: what of it is fetched before it is asked for.
    """

    policy: Policy = field(default_factory=Policy)
    choice: Choice = EVERYTHING
    elsewhere: Elsewhere | None = None
    deferred: bool = False
    prefetch: Prefetch = Prefetch.SEQUENTIAL


DEFAULT_TERMS: Final = Terms()


@final
@dataclass(frozen=True, slots=True)
class Description:
    """What the `documents` of an artifact say, and what is believed of it; no layer was touched. `digest` is computed from the
    manifest's bytes.

    `resolved_at` (seconds since the epoch) says when the registry was asked what the tag means, where that is not now; `notices`
    says so to a person. `index` is what the reference names, where that is an index of which one manifest was chosen.
    """

    reference: Reference
    digest: Digest
    documents: Documents
    manifest_bytes: int  # as stored
    plan: Plan
    verdict: Verdict
    parent_verdicts: Mapping[Reference, Verdict] = field(default_factory=dict, hash=False)  # of those it refers to
    resolved_at: int | None = None
    notices: tuple[str, ...] = ()
    index: Digest | None = None

    def judged(self, planned: PlannedLayer) -> Verdict:
        """What is believed of the artifact that a layer belongs to."""
        return self.verdict if planned.origin is None else self.parent_verdicts[planned.origin]


async def describe(
    engine: Engine, repository: AnyRepository | None, reference: Reference, terms: Terms = DEFAULT_TERMS
) -> Description:
    """Resolves, plans and judges on `terms`; without a `repository` from the cache alone, and nothing is asked.

    Raises `NotFound`, `NotAuthorised`, `Unreachable`, `Mismatch`, `BadDocument`, `Unsupported`; `IntegrityError` where the policy
    requires what is not there.
    """
    return await describe_from(Sources(engine, repository, reference, terms.choice, terms.elsewhere), terms)


async def describe_from(sources: Sources, terms: Terms) -> Description:
    """The same, from sources that are still to be asked for the layers. Raises as `describe`."""
    source = sources.own
    resolved = await source.resolve()
    chosen, manifest = await _out_of_indexes(source, resolved, terms.choice)
    planned: list[tuple[Documents, Plan]] = []
    judged: list[Verdict] = []

    async def plan() -> None:
        planned.append(await _plan(sources, manifest, terms.choice))

    async def vouch() -> None:
        judged.append(await judge(source, terms.policy, chosen, manifest))

    await all_done((plan, vouch))  # at once: each asks for other things
    (documents, plan_), verdict = planned[0], judged[0]
    for warning in (*plan_.warnings, *plan_.doubts):
        log.info("%s: %s", source.reference, warning)
    parents = await _judge_parents(sources, plan_, terms.policy)
    for each in (verdict, *parents.values()):
        for refusal in each.refused:
            log.info("%s: not believed: %s: %s", source.reference, refusal.what, refusal.reason)
    await sources.remember(resolved)
    return Description(
        source.reference,
        chosen.digest,
        documents,
        len(chosen.data),
        plan_,
        verdict,
        parents,
        source.resolved_at,
        (*source.notices, *_origins(plan_), *_left_out(plan_)),
        None if chosen is resolved else resolved.digest,
    )


async def _plan(sources: Sources, manifest: Manifest, choice: Choice) -> tuple[Documents, Plan]:
    """The plan, and the documents that it took."""
    blobs: dict[Digest, bytes] = {}
    parents: dict[Reference, Parent] = {}
    documents = Documents(manifest, blobs, parents)
    while not isinstance(answer := formats.plan(documents, choice), Plan):
        if isinstance(answer.wanted, Reference):
            parents[answer.wanted] = await sources.parent(answer.wanted)
        else:
            blobs[answer.wanted.digest] = await sources.of(answer.origin).document(answer.wanted)
    return documents, answer


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


async def _out_of_indexes(source: Source, resolved: ResolvedManifest, choice: Choice) -> tuple[ResolvedManifest, Manifest]:
    """The manifest that was resolved; where that is an index, the one of it that is meant."""
    for _ in range(INDEXES_LIMIT + 1):
        manifest = decode_manifest(resolved.data, resolved.media_type)
        if isinstance(manifest, Manifest):
            return resolved, manifest
        try:
            entry = choose(manifest, choice.labels, choice.architecture)
        except Unsupported as error:
            raise type(error)(f"{source.reference}: {error.what}", error.where, error.hint) from error
        resolved = await source.entry(entry)
    raise Unsupported(f"{source.reference} is an index of indexes, more than {INDEXES_LIMIT} deep")


def _left_out(plan: Plan) -> tuple[str, ...]:
    """A line for each thing that is not shown, of the first few."""
    told = plan.warnings[:WARNINGS_TOLD]
    return told if told == plan.warnings else (*told, f"{len(plan.warnings) - len(told)} more things are not shown")


def _origins(plan: Plan) -> list[str]:
    """A line for each other artifact that is shown with this one."""
    return [
        f"the model is that of {parent}" + (": its tag is not covered by the digest" if parent in plan.uncovered_parents else "")
        for parent in plan.parents
    ]
