"""Being a good client: a host that asks to be left alone is, for all who read here; and what it warns of is said once.

Sources: RFC 9110, 10.2.3 (Retry-After, both forms) and distribution-spec "Warnings" (`Warning: 299 - "…"`).

Atomic between checkpoints: until when each host wants peace, and what was said.
"""

import logging
import random
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, final

import trio

from mkfs.oci.registry_error import one_line
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.replies import LONGEST_WAIT_SECONDS, Head, retry_after_seconds
from mkfs.registry.urls import Origin

_log: Final = logging.getLogger(__name__)

UNSAID_SECONDS: Final = 2.0  # after a 429 that does not say when; containers/image begins with it, too
SPREAD_SECONDS: Final = 1.0  # who waited together must not come back together
WARNINGS_SHOWN: Final = 32  # different ones; a host with more to say is a nuisance

_TELLS_WHEN: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@final
class Manners:
    """What hosts asked of one client."""

    def __init__(self) -> None:
        self._peace_until: dict[Origin, float] = {}  # on trio's clock; bounded by the hosts in use
        self._said: set[tuple[Origin, str]] = set()
        self.held_back = 0  # requests that met a host which wants peace

    def heard(self, head: Head, origin: Origin, is_secret: Callable[[str], bool]) -> None:
        """Takes note of what an answer asks for. `is_secret`: whether a text repeats what the host was shown."""
        for value in head.header_values("Warning"):
            for text in _WARNING.findall(value):
                plain = text.replace("\\", "")
                if not is_secret(plain):
                    self._warn(origin, one_line(plain))
        if head.status not in _TELLS_WHEN:
            return
        seconds = retry_after_seconds(head, time.time())
        if seconds is None and head.status == HTTPStatus.TOO_MANY_REQUESTS:
            seconds = UNSAID_SECONDS
        if seconds is not None:
            self._peace_until[origin] = max(self._peace_until.get(origin, 0.0), trio.current_time() + seconds)

    async def wait(self, origin: Origin) -> None:
        """Returns when `origin` may be asked. Raises `Hopeless` where that takes more than `LONGEST_WAIT_SECONDS`."""
        left = self._peace_until.get(origin, 0.0) - trio.current_time()
        if left <= 0:
            self._peace_until.pop(origin, None)
            return
        self.held_back += 1
        if left > LONGEST_WAIT_SECONDS:
            raise Hopeless(
                f"the host asks to be left alone for another {left:.0f} s", origin.authority, "log in, or try again later"
            )
        await trio.sleep(left + random.uniform(0, SPREAD_SECONDS))  # noqa: S311 - no secret

    @property
    def warnings(self) -> int:
        """How many different ones were shown."""
        return len(self._said)

    def _warn(self, origin: Origin, text: str) -> None:
        if (origin, text) not in self._said and len(self._said) < WARNINGS_SHOWN:
            self._said.add((origin, text))
            _log.warning("%s warns: %s", origin.authority, text)
