"""The artifact, described as a mount would describe it, in a cache of its own that is removed again: so the registry is really
asked, and nothing of this node's cache is.
"""

import platform
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import trio

from mkfs.cache.store import Cache
from mkfs.content.artifact import WORTH_A_NOTICE_BYTES, open_artifact
from mkfs.content.describing import Description, Terms, describe
from mkfs.content.engine import Engine
from mkfs.content.searching import search
from mkfs.content.source import Source
from mkfs.errors import IntegrityError, MkfsError
from mkfs.formats.choice import Choice
from mkfs.formats.plan import RawLayer
from mkfs.formats.selection import architecture_of, parse_labels
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.media_types import CHUNK_INDEX_ARTIFACT, SIGSTORE_BUNDLE
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import signature_tag
from mkfs.proof.evidence import Evidence, Refusal, Signature
from mkfs.proof.policy import Policy, Verdict, decide
from mkfs.proof.referrers import is_over_index
from mkfs.registry.client import RegistryClient
from mkfs.registry.layout import AnyRepository, Layout
from mkfs.service.doctor.gathering.storage import disk_below, limits_of, used_bytes
from mkfs.service.doctor.judging.artifact import Compression, Format, Indexes, Resolved, Signatures
from mkfs.service.doctor.judging.registry import Ranges
from mkfs.service.doctor.judging.storage import Room
from mkfs.service.doctor.situation import Situation
from mkfs.tree.nodes import File

TellFacts = Callable[[str, object], None]
AskRanges = Callable[[Sequence[Descriptor]], Awaitable[Ranges]]

FILES: Final = "files"  # told beside the checks: the paths that a mount would show, for `loaders`


async def examine_artifact(
    situation: Situation,
    registries: RegistryClient | None,
    reference: Reference,
    tell: TellFacts,
    ask_ranges: AskRanges | None = None,
) -> None:
    """Tells all about the artifact. Without `registries`, `reference` is that of a layout."""
    source = situation.source
    repository: AnyRepository = Layout(Path(reference.repository)) if registries is None else registries.repository(reference)
    choice = Choice((), frozenset(source.reference_hosts), parse_labels(source.labels), architecture_of(platform.machine()))
    terms = Terms(choice=choice, elsewhere=None if registries is None else registries.repository)
    with tempfile.TemporaryDirectory(prefix="kitfs-doctor-") as name:
        cache = Cache.open(Path(name, "cache"), min_free_ratio=0.0)
        try:
            async with trio.open_nursery() as nursery:
                await _examine(_Asked(situation, Engine(nursery, cache), repository, reference, terms), tell, ask_ranges)
                nursery.cancel_scope.cancel()
        finally:
            cache.close()


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What is examined, and with what."""

    situation: Situation
    engine: Engine
    repository: AnyRepository
    reference: Reference
    terms: Terms


async def _examine(asked: _Asked, tell: TellFacts, ask_ranges: AskRanges | None) -> None:
    repository, reference = asked.repository, asked.reference
    if ask_ranges is None:  # a layout: nobody has resolved it yet
        try:
            tell("artifact.manifest", Resolved(str((await repository.resolve(reference)).digest)))
        except MkfsError as error:
            tell("artifact.manifest", Resolved(error=error))
            return
    try:
        description = await describe(asked.engine, repository, reference, asked.terms)
    except MkfsError as error:
        tell("artifact.format", Format(error=error))
        return
    planned = description.plan.layers
    blobs = {each.descriptor.digest: each.descriptor for each in planned}
    size_bytes = sum(blob.size_bytes for blob in blobs.values())
    tell("artifact.format", Format(description.plan.format_name, len(planned), size_bytes, description.plan.warnings))
    ranges = Ranges() if ask_ranges is None else await ask_ranges([each.descriptor for each in planned if each.origin is None])
    if ask_ranges is not None:
        tell("registry.ranges", ranges)
    indexes, signatures = await _vouched(asked, description)
    tell("artifact.index", indexes)
    tell("artifact.signature", signatures)
    compressed = {each.descriptor.digest: each.descriptor.size_bytes for each in planned if each.reading.compression}
    tell("artifact.compression", Compression(len(blobs), len(compressed), sum(compressed.values())))
    place = Path(asked.situation.source.cache_dir)
    tell(
        "artifact.room",
        Room(
            size_bytes=size_bytes,
            largest_bytes=max((blob.size_bytes for blob in blobs.values()), default=0),
            compressed_bytes=max(compressed.values(), default=0),
            layers=len(blobs),
            used_bytes=await trio.to_thread.run_sync(used_bytes, place),
            disk=await trio.to_thread.run_sync(disk_below, place),
            limits=limits_of(asked.situation),
        ),
    )
    readable = not compressed and not ranges.whole and ranges.error is None
    tell(FILES, await _files(asked, description, readable=readable))


async def _vouched(asked: _Asked, description: Description) -> tuple[Indexes, Signatures]:
    """All that hangs on the artifact, whether or not the policy asks for it, and what the policy then says."""
    policy, reference, repository = asked.situation.source.trust.policy(), description.reference, asked.repository
    source = Source(asked.engine, repository, reference)
    rule = policy.rule_for(reference)
    layers = [each.descriptor for each in description.plan.layers if each.origin is None]
    large = sum(blob.size_bytes > WORTH_A_NOTICE_BYTES for blob in layers)
    indexes = Indexes(str(reference), len(layers), large)
    signatures = Signatures(keys=bool(rule.keys))
    named = Reference(reference.registry, reference.repository, digest=description.digest)
    try:
        resolved = await repository.resolve(named)
        listed = await source.referrers(description.digest)
        cosigned = await _has_tag(repository, reference, signature_tag(description.digest))
        everything = replace(rule, verify_signature=bool(rule.keys))
        found = await search(source, everything, resolved, description.documents.manifest, asks_registry=True)
    except MkfsError as error:
        return _with_error(indexes, error), signatures
    refused = tuple(f"{each.reason}" for each in found if isinstance(each, Refusal))
    bundles = [each for each in listed if each.artifact_type == SIGSTORE_BUNDLE and not is_over_index(each)]
    signatures = Signatures(
        found=len(bundles) + cosigned,
        signed_by=tuple(dict.fromkeys(each.key_id for each in found if isinstance(each, Signature))),
        keys=bool(rule.keys),
        refused=refused,
    )
    count = sum(each.artifact_type == CHUNK_INDEX_ARTIFACT for each in listed)
    verdict = _decided(policy, reference, found)
    if isinstance(verdict, IntegrityError):
        if rule.verify_signature and not signatures.signed_by:
            return _as_found(indexes, count, None, refused), _unsigned(signatures, verdict)
        return _with_error(indexes, verdict), signatures
    return _as_found(indexes, count, verdict, tuple(each.reason for each in verdict.refused)), signatures


def _decided(policy: Policy, reference: Reference, found: Sequence[Evidence]) -> Verdict | IntegrityError:
    try:
        return decide(policy, reference, found)
    except IntegrityError as error:
        return error


def _as_found(indexes: Indexes, found: int, verdict: Verdict | None, refused: tuple[str, ...]) -> Indexes:
    """`indexes` with what was found, and what the policy said of it."""
    believed = [] if verdict is None else list(verdict.layers.values())
    return Indexes(
        indexes.reference,
        indexes.layers,
        indexes.large,
        found=found,
        trusted=len(believed),
        words=", ".join(dict.fromkeys(each.words for each in believed)),
        refused=tuple(dict.fromkeys(refused)),
    )


def _with_error(indexes: Indexes, error: MkfsError) -> Indexes:
    return Indexes(indexes.reference, indexes.layers, indexes.large, error=error)


def _unsigned(signatures: Signatures, error: MkfsError) -> Signatures:
    return Signatures(signatures.found, keys=signatures.keys, refused=signatures.refused, error=error)


async def _has_tag(repository: AnyRepository, reference: Reference, tag: str) -> bool:
    try:
        await repository.digest_of(Reference(reference.registry, reference.repository, tag))
    except MkfsError:
        return False
    return True


async def _files(asked: _Asked, description: Description, *, readable: bool) -> tuple[str, ...]:
    """The paths that a mount shows. Where headers cannot be had without reading layers whole, those that its documents tell."""
    if readable:
        try:
            artifact = await open_artifact(asked.engine, asked.repository, asked.reference, asked.terms)
        except MkfsError:
            return ()
        try:
            return tuple(path.decode("utf-8", "surrogateescape") for path, node in artifact.tree.walk() if isinstance(node, File))
        finally:
            artifact.close()
    told = [each.reading.path for each in description.plan.layers if isinstance(each.reading, RawLayer)]
    named = [each.ids for each in description.plan.layers if not isinstance(each.reading, RawLayer)]
    words = [word.removeprefix("./") for ids in named for word in ids if "." in word.removeprefix("./")]
    return (*(path.decode("utf-8", "surrogateescape") for path in told), *words)
