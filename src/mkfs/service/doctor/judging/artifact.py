"""The artifact itself: what it is, what hangs on it and whether that is believed, what of it has to be read whole."""

from typing import Final, final

from msgspec import Struct

from mkfs.content.artifact import GIGABIT_BYTES_PER_SECOND, WORTH_A_NOTICE_BYTES
from mkfs.errors import MkfsError
from mkfs.service.doctor.finding import Finding, failed, ok, warn
from mkfs.units import format_duration, format_size

_REASONS: Final = 2  # of refusals, in a line; `kitfs inspect` has all


@final
class Resolved(Struct, frozen=True):
    """What the reference means now."""

    digest: str = ""
    error: MkfsError | None = None


@final
class Format(Struct, frozen=True):
    """How it is understood. `warnings` are things of it that are not shown."""

    name: str = ""
    layers: int = 0
    size_bytes: int = 0
    warnings: tuple[str, ...] = ()
    error: MkfsError | None = None


@final
class Indexes(Struct, frozen=True):
    """Chunk indexes. `trusted` of `layers` are believed, in the `words` of the policy; `found` hang on the artifact, `refused` says
    why some do not count. `large` layers are such that a reader waits for.
    """

    reference: str
    layers: int
    large: int
    found: int = 0
    trusted: int = 0
    words: str = ""
    refused: tuple[str, ...] = ()
    error: MkfsError | None = None


@final
class Signatures(Struct, frozen=True):
    """Signatures of the artifact: how many there are, by which trusted keys; `keys`: whether the policy names any for it."""

    found: int = 0
    signed_by: tuple[str, ...] = ()
    keys: bool = False
    refused: tuple[str, ...] = ()
    error: MkfsError | None = None


@final
class Compression(Struct, frozen=True):
    """Layers that are compressed, and their bytes as stored."""

    layers: int
    compressed: int
    compressed_bytes: int


def judge_manifest(facts: Resolved) -> Finding:
    """Whether the reference means anything."""
    if facts.error is not None:
        return failed(facts.error, "look what there is: kitfs tags REPOSITORY")
    return ok(facts.digest)


def judge_format(facts: Format) -> Finding:
    """Whether it can be shown."""
    if facts.error is not None:
        return failed(facts.error, "see docs/FORMATS.md for what can be shown")
    text = f"{facts.name}, {facts.layers} {'layer' if facts.layers == 1 else 'layers'}, {format_size(facts.size_bytes)}"
    if facts.warnings:
        return warn(f"{text}; not shown: {'; '.join(facts.warnings[:_REASONS])}", "see all of it: kitfs inspect --lint REF")
    return ok(text)


def judge_index(facts: Indexes) -> Finding:
    """Whether the first read of a large layer has to wait for all of it."""
    push = f"kitfs index push {facts.reference}"
    if facts.error is not None:
        return failed(facts.error, push)
    whole = f"; {facts.large} large {'layer is' if facts.large == 1 else 'layers are'} read whole first" if facts.large else ""
    if facts.trusted:
        text = f"believed for {facts.trusted} of {facts.layers} layers ({facts.words})"
        return ok(text) if facts.trusted >= facts.layers or not facts.large else warn(f"{text}{whole}", push)
    if facts.found:
        why = "; ".join(facts.refused[:_REASONS]) or "the policy does not ask for it"
        return warn(
            f"{facts.found} found, not believed: {why}{whole}", "mount with --trust-key FILE, or --trust-index registry and a tag"
        )
    if facts.large:
        return warn(f"none{whole}", f"{push}, once for the fleet; or kitfs warmup {facts.reference}")
    return ok(f"none, and no layer above {format_size(WORTH_A_NOTICE_BYTES)} that would need one")


def judge_signature(facts: Signatures) -> Finding:
    """Whether somebody vouches for it whom the policy believes."""
    if facts.error is not None:
        return failed(facts.error, "have it signed (cosign sign --key KEY REF), or name the right key with --trust-key")
    if facts.signed_by:
        return ok(f"signed by {', '.join(facts.signed_by)}")
    if not facts.found:
        return ok("nobody signed it")
    if not facts.keys:
        return ok(f"{facts.found} found; not checked, as no key is trusted for it (--trust-key FILE --verify-signature)")
    why = "; ".join(facts.refused[:_REASONS]) or "by other keys"
    return warn(f"{facts.found} found, none by a trusted key: {why}", "name the key of whoever signs it: --trust-key FILE")


def judge_compression(facts: Compression) -> Finding:
    """What has to be streamed whole before names can be shown."""
    if not facts.compressed:
        return ok("no layer is compressed: a mount waits for none")
    wait = format_duration(facts.compressed_bytes / GIGABIT_BYTES_PER_SECOND)
    text = (
        f"{facts.compressed} of {facts.layers} layers are compressed ({format_size(facts.compressed_bytes)}): the first mount reads"
        f" them whole, {wait} at 1 Gbit/s"
    )
    return warn(text, "pack without compression (kit pack --compression none), or kitfs warmup before readers come")
