"""Lists that come page by page: tags and referrers (distribution-spec: `Link` with `rel="next"`)."""

import logging
from typing import Final

from mkfs.oci.links import next_link
from mkfs.registry.answer import Answer
from mkfs.registry.urls import Url

_log: Final = logging.getLogger(__name__)


def next_page(answer: Answer) -> Url | None:
    """Where the list goes on; None at its end, and, with a warning, where that would be at another host."""
    link = next_link(answer.header_values("Link"))
    if not link:
        return None
    try:
        target = answer.url.join(link)
    except ValueError:
        target = None
    if target is None or target.origin != answer.url.origin:
        _log.warning("%s continues its list elsewhere: not followed", answer.url.origin.authority)
        return None
    return target
