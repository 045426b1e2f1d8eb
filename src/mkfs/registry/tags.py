"""The tags of one repository: their names, and what each means by the registry's word."""

import logging
from http import HTTPStatus
from typing import Final

from mkfs.errors import BadDocument, NotAuthorised
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.media_types import MANIFEST_ACCEPT
from mkfs.oci.reference import Reference, is_tag
from mkfs.registry.exchange import Exchange
from mkfs.registry.manifests import claimed_digest, read_manifest
from mkfs.registry.pages import next_page
from mkfs.registry.replies import is_web_page, no_web_page, refusal
from mkfs.registry.urls import Url
from mkfs.units import MIB

_log: Final = logging.getLogger(__name__)

TAGS_LIMIT: Final = 10_000  # of one repository; a list for a person has some tens
PAGES_LIMIT: Final = 100
_PAGE: Final = 1000  # tags asked for at a time
_PAGE_LIMIT_BYTES: Final = 4 * MIB


async def read_tags(exchange: Exchange) -> tuple[str, ...]:
    """See `Repository.tags`."""
    found: list[str] = []
    url: Url | None = exchange.url("tags", "list", f"n={_PAGE}")
    for _ in range(PAGES_LIMIT):
        if url is None or len(found) > TAGS_LIMIT:
            break
        tags, url = await _page(exchange, url)
        found += tags
    if url is not None or len(found) > TAGS_LIMIT:
        _log.warning("%s/%s has more tags: going on with %d", exchange.registry, exchange.repository, min(len(found), TAGS_LIMIT))
    return tuple(dict.fromkeys(found[:TAGS_LIMIT]))


async def read_digest(exchange: Exchange, reference: Reference) -> Digest:
    """See `Repository.digest_of`."""

    async def work() -> Digest | None:
        try:
            url, headers = exchange.url("manifests", reference.selector), {"Accept": ", ".join(MANIFEST_ACCEPT)}
            async with exchange.ask(url, headers, method="HEAD") as answer:
                return claimed_digest(answer) if answer.status == HTTPStatus.OK else None
        except NotAuthorised:  # Artifactory says so to HEAD alone
            return None

    return await exchange.persist(work) or (await read_manifest(exchange, reference)).digest


async def _page(exchange: Exchange, url: Url) -> tuple[list[str], Url | None]:
    async def work() -> tuple[list[str], Url | None]:
        async with exchange.ask(url, {"Accept": "application/json"}) as answer:
            if answer.status != HTTPStatus.OK:
                said = await answer.explanation() if answer.url.origin == exchange.origin else ""
                raise refusal(answer, said, f"{exchange.registry}/{exchange.repository}", answer.url.origin.authority)
            if is_web_page(answer):
                raise no_web_page("list of tags", answer.url.origin.authority)
            return _decode(await answer.read(_PAGE_LIMIT_BYTES)), next_page(answer)

    return await exchange.persist(work)


def _decode(data: bytes) -> list[str]:
    """The tags in a page: those that are tags. `null` is none (Harbor, docker-registry without tags)."""
    tags = decode_json(data, _PAGE_LIMIT_BYTES, "list of tags").get("tags")
    if tags is not None and not isinstance(tags, list):
        raise BadDocument("list of tags: tags is no list")
    return [tag for tag in tags or () if isinstance(tag, str) and is_tag(tag)]
