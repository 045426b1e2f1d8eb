"""The manifests of one repository, read. What comes back matched a digest: the one asked for, or else its own from now on."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, final

from mkfs.errors import BadDigest, Mismatch
from mkfs.oci.digest import Digest, Verifier
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES
from mkfs.oci.media_types import MANIFEST_ACCEPT
from mkfs.oci.reference import Reference
from mkfs.registry.answer import Answer
from mkfs.registry.exchange import Exchange
from mkfs.registry.replies import is_web_page, no_web_page, refusal

DAMAGED_HINT: Final = "the registry's copy is damaged: push the artifact again"


@final
@dataclass(frozen=True, slots=True)
class ResolvedManifest:
    """A manifest or index as the registry sent it. `digest` was computed from `data`; `media_type` is the Content-Type, a hint."""

    digest: Digest
    data: bytes = field(repr=False)
    media_type: str


async def read_manifest(exchange: Exchange, reference: Reference, *, fresh: bool = False) -> ResolvedManifest:
    """The manifest that `reference` names now: by its digest where it has one, else by its tag. `fresh` asks past caches.

    Raises `NotFound`, `NotAuthorised`, `Unreachable` (at the latest after 30 s without an answer), `Mismatch` when the bytes are
    not what the reference or the registry itself says they are, `BadDocument` when they are too many.
    """
    headers = {"Accept": ", ".join(MANIFEST_ACCEPT), **({"Cache-Control": "no-cache"} if fresh else {})}

    async def work() -> ResolvedManifest:
        async with exchange.ask(exchange.url("manifests", reference.selector), headers) as answer:
            if answer.status != HTTPStatus.OK:
                said = await answer.explanation() if answer.url.origin == exchange.origin else ""
                raise refusal(answer, said, str(reference), answer.url.origin.authority)
            if is_web_page(answer):
                raise no_web_page("manifest", answer.url.origin.authority)
            return _manifest(reference, answer, await answer.read(MANIFEST_LIMIT_BYTES))

    return await exchange.persist(work)


def claimed_digest(answer: Answer) -> Digest | None:
    """The digest that a registry says a manifest has; None where it says nothing that we understand."""
    try:
        return Digest.parse(answer.header("Docker-Content-Digest"))
    except BadDigest:
        return None


def _manifest(reference: Reference, answer: Answer, data: bytes) -> ResolvedManifest:
    """Checks `data` against the digest asked for, and against the one the registry claims: a hint, but one that must not be
    wrong.
    """
    for digest in (reference.digest, claimed_digest(answer)):
        _check(reference, digest, data)
    media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
    return ResolvedManifest(reference.digest or Digest.of(data), data, media_type)


def _check(reference: Reference, digest: Digest | None, data: bytes) -> None:
    if digest is None:
        return
    verifier = Verifier(digest, len(data))
    verifier.feed(data)
    try:
        verifier.finish()
    except Mismatch as error:
        raise Mismatch(error.what, f"manifest of {reference}", DAMAGED_HINT) from error
