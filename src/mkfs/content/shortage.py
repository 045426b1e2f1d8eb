"""A cache that has no room for a layer, or fails: said once, counted always."""

import logging
import threading
from typing import final

from mkfs.errors import CacheUnusable

log = logging.getLogger(__name__)


@final
class Shortage:
    """What one layer had to do without the cache. Any thread may note. `count`: how often the cache refused."""

    __slots__ = ("_label", "_lock", "count")

    def __init__(self, label: str) -> None:
        self._label, self._lock, self.count = label, threading.Lock(), 0

    def note(self, error: CacheUnusable) -> None:
        """Counts a refusal; the first one is worth a person's attention."""
        with self._lock:
            self.count += 1
            first = self.count == 1
        if first:
            log.warning("%s cannot be kept, its reads go on slower: %s", self._label, error)
