"""Who refers to a manifest: the registry's own list, or the list kept under a tag where the registry has none.

A list is a hint: it may leave out what exists and name what does not. What an entry says of itself is only used to choose what to
read; where it says nothing, the manifest is read (and proven, as every manifest is). Counts and bytes are bounded; what is beyond
the bounds is left out, with a warning, because a stranger who floods the list must not keep anybody from reading the artifact.

Sources: distribution-spec "Listing Referrers"; ggcr pkg/v1/remote/referrers.go for what counts as a registry without the API.
"""

import logging
from dataclasses import replace
from http import HTTPStatus
from typing import Final, final
from urllib.parse import quote

from mkfs.errors import BadDocument, Mismatch, NotAuthorised, NotFound
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES, decode_manifest
from mkfs.oci.media_types import OCI_INDEX
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import artifact_type_of, decode_referrers, fallback_tag, is_vague
from mkfs.registry.exchange import Exchange
from mkfs.registry.manifests import read_manifest
from mkfs.registry.pages import next_page
from mkfs.registry.replies import refusal
from mkfs.registry.urls import Url

_log: Final = logging.getLogger(__name__)

PAGES_LIMIT: Final = 16  # of up to 4 MiB each; one page holds some thousand entries
REFERRERS_LIMIT: Final = 1000  # of one manifest; real ones have some tens
LOOKUPS_LIMIT: Final = 32  # manifests read to learn what they are: a request each

_FOR_NOW: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})  # says nothing about what is offered


@final
class Referrers:
    """Lists referrers in one repository. Any number may ask at once."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def of(self, subject: Digest, artifact_type: str | None) -> tuple[Descriptor, ...]:
        """See `Repository.referrers`."""
        listed = await self.from_api(subject, artifact_type)
        if listed is None:
            listed = await self._from_tag(subject)
        listed = list(dict.fromkeys(listed))
        if len(listed) > REFERRERS_LIMIT:
            self._warn(f"lists {len(listed)} referrers of {subject}: going on with the first {REFERRERS_LIMIT}")
        found = await self._told([entry for entry in listed[:REFERRERS_LIMIT] if _may_be(entry, artifact_type)])
        return tuple(entry for entry in found if artifact_type in (None, entry.artifact_type))

    async def from_api(self, subject: Digest, artifact_type: str | None) -> list[Descriptor] | None:
        """What the registry lists itself, as it is; None where it has no such list."""
        query = "" if artifact_type is None else f"artifactType={quote(artifact_type, safe='')}"
        url: Url | None = self._exchange.url("referrers", str(subject), query)
        found: list[Descriptor] = []
        for number in range(PAGES_LIMIT):
            if url is None or len(found) > REFERRERS_LIMIT:
                return found
            page = await self._page(url, subject)
            if page is None:
                return found if number else None
            entries, url = page
            found += entries
        if url is not None:
            self._warn(f"lists referrers of {subject} on more than {PAGES_LIMIT} pages: going on with those")
        return found

    async def _page(self, url: Url, subject: Digest) -> tuple[tuple[Descriptor, ...], Url | None] | None:
        """The entries of one page, and where the next one is; None where the answer is no such page.

        That may be any 4xx, a page for people, or a redirect to one (GHCR): all mean a registry without the API.
        """

        async def work() -> tuple[tuple[Descriptor, ...], Url | None] | None:
            try:
                async with self._exchange.ask(url, {"Accept": OCI_INDEX}, elsewhere=False) as answer:
                    media_type = answer.header("Content-Type").partition(";")[0].strip().lower()
                    if answer.status == HTTPStatus.OK and media_type == OCI_INDEX:
                        entries = decode_referrers(await answer.read(MANIFEST_LIMIT_BYTES), media_type)
                        return entries, next_page(answer)
                    said = await answer.explanation()
            except NotAuthorised:
                return None  # some say so of paths they do not know; the tag will tell whether it is we who are refused
            if answer.status in _FOR_NOW or (
                answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.NOT_IMPLEMENTED
            ):
                raise refusal(answer, said, f"referrers of {subject}", self._exchange.origin.authority)
            return None

        return await self._exchange.persist(work)

    async def _from_tag(self, subject: Digest) -> list[Descriptor]:
        reference = Reference(self._exchange.registry, self._exchange.repository, fallback_tag(subject))
        try:
            found = await read_manifest(self._exchange, reference)
        except NotFound:
            return []
        return list(decode_referrers(found.data, found.media_type))

    async def _told(self, entries: list[Descriptor]) -> list[Descriptor]:
        """The entries, each with what its manifest says where it says nothing itself; without those nobody can tell about."""
        vague = [entry for entry in entries if is_vague(entry)]
        if len(vague) > LOOKUPS_LIMIT:
            self._warn(f"lists {len(vague)} referrers that do not say what they are: going on with the first {LOOKUPS_LIMIT}")
        told = {entry: await self._look_up(entry) for entry in vague[:LOOKUPS_LIMIT]}
        known = (told.get(entry) if is_vague(entry) else entry for entry in entries)
        return [entry for entry in known if entry is not None]

    async def _look_up(self, entry: Descriptor) -> Descriptor | None:
        reference = Reference(self._exchange.registry, self._exchange.repository, None, entry.digest)
        try:
            manifest = await read_manifest(self._exchange, reference)
            document = decode_manifest(manifest.data, manifest.media_type)
        except (NotFound, Mismatch, BadDocument) as error:  # gone, or nothing to build on: as if it were not listed
            _log.info("%s lists a referrer that is none: %s", self._exchange.registry, error)
            return None
        return replace(entry, artifact_type=artifact_type_of(document), annotations=document.annotations)

    def _warn(self, what: str) -> None:
        _log.warning("%s %s", self._exchange.registry, what)


def _may_be(entry: Descriptor, artifact_type: str | None) -> bool:
    return artifact_type in (None, entry.artifact_type) or is_vague(entry)
