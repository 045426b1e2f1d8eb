"""Filling the cache while a mount is in use, behind everything that anybody waits for."""

import logging
from collections.abc import Sequence

from mkfs.content.admission import Urgency
from mkfs.content.layer import Layer
from mkfs.errors import MkfsError

log = logging.getLogger(__name__)


async def fill(layers: Sequence[Layer]) -> None:
    """Returns when every layer that could be had is in the cache, one after another. Raises nothing; what fails is logged."""
    for layer in dict.fromkeys(layers):
        try:
            await layer.fill(Urgency.BACKGROUND)
        except MkfsError as error:
            log.warning("%s was not filled: %s", layer.label, error)
