"""What the registry was asked, and what it sent: read from its own log, which has a line for every answer."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic, sleep
from typing import Final, final
from uuid import uuid4

from mkfs.units import MIB
from tests.support.docker_registry import DockerRegistry
from tests.support.pushing import Pusher

_ANSWERED: Final = re.compile(r"http\.request\.method=(?P<method>[A-Z]+) .*http\.response\.written=(?P<written>[0-9]+)")
_LOOK_SECONDS: Final = 0.005
_LIMIT_SECONDS: Final = 10.0


@final
@dataclass(slots=True)
class Asked:
    """Requests of any method, and the bytes of the answers' bodies. Complete when its block was left."""

    requests: int = 0
    size_bytes: int = 0

    @property
    def mib(self) -> float:
        """The bytes, in MiB."""
        return self.size_bytes / MIB


@final
class Origin:
    """Counts at one registry."""

    def __init__(self, registry: DockerRegistry, pusher: Pusher) -> None:
        self._log, self._pusher = registry.log, pusher

    @contextmanager
    def counting(self) -> Iterator[Asked]:
        """Counts what is answered within the block, whoever asks."""
        start, _ = self._mark()
        asked = Asked()
        yield asked
        _, stop = self._mark()
        for line in self._log[start:stop]:
            if found := _ANSWERED.search(line):
                asked.requests += 1
                asked.size_bytes += int(found["written"])

    def _mark(self) -> tuple[int, int]:
        """Asks something that can be told apart: the numbers of the line after its own, and of its own."""
        mark = f'/v2/?mark={uuid4()}"'  # Two of us may count at one registry.
        status, _ = self._pusher.get(mark[:-1])
        assert status == HTTPStatus.OK, status
        deadline = monotonic() + _LIMIT_SECONDS
        while not (found := [number for number, line in enumerate(self._log) if mark in line]):
            assert monotonic() < deadline, "the registry does not log"
            sleep(_LOOK_SECONDS)
        return found[0] + 1, found[0]
