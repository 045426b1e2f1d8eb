"""What the objects of one opened cache have in common."""

from dataclasses import dataclass
from typing import final

from mkfs.cache.abilities import Abilities
from mkfs.cache.hot import HotChunks
from mkfs.cache.layout import Layout
from mkfs.cache.space import Reserve
from mkfs.cache.statistics import Counters


@final
@dataclass(frozen=True, slots=True)
class Shared:
    """Handed to every layer, staging and document shelf of one `Cache`; each part may be used by any thread."""

    layout: Layout
    reserve: Reserve
    abilities: Abilities
    hot: HotChunks
    counters: Counters
