"""A tag that a mount was made from: looked at now and then, because anybody who may push may move it."""

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NoReturn

import trio

from mkfs.errors import MkfsError
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.registry.endpoints import Endpoints
from mkfs.registry.tags import read_digest

_log: Final = logging.getLogger(__name__)

_SPREAD: Final = 0.1  # of the interval: a fleet that was mounted at once must not come at once


async def watch_tag(
    endpoints: Endpoints,
    reference: Reference,
    shown: Digest,
    every_seconds: float,
    *,
    moved: Callable[[], None],
    heard: Callable[[Digest], None],
) -> NoReturn:
    """See `Repository.watch_tag`."""
    tag, known = replace(reference, digest=None), shown
    if reference.digest is None:  # else the tag was not asked yet what it says
        await _pause(every_seconds)
    while True:
        try:
            now = await endpoints.first(lambda each: read_digest(each.exchange, tag), by_tag=True)
        except MkfsError as error:  # whoever wants bytes will hear of it
            _log.debug("what %s means is not known just now: %s", tag, error)
        else:
            heard(now)
            if now != known:
                moved()
                what = "means what is shown again" if now == shown else f"means {now} now; what is shown stays {shown}"
                _log.warning("%s %s", tag, what)
                known = now
        await _pause(every_seconds)


async def _pause(seconds: float) -> None:
    await trio.sleep(seconds * (1 + _SPREAD * (2 * random.random() - 1)))  # noqa: S311 - no secret
