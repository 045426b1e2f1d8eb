"""What the objects of one opened cache have in common."""

from collections.abc import Callable
from typing import final

from msgspec import Struct

from mkfs.cache.abilities import Abilities
from mkfs.cache.behind import Behind
from mkfs.cache.evict import Room
from mkfs.cache.hot import HotChunks
from mkfs.cache.layout import Layout
from mkfs.cache.statistics import Counters

Report = Callable[[str], None]  # told what was found damaged, in one line


@final
class Shared(Struct, frozen=True):
    """Handed to every layer, staging and document shelf of one `Cache`; each part may be used by any thread."""

    layout: Layout
    room: Room
    abilities: Abilities
    hot: HotChunks
    behind: Behind
    counters: Counters
