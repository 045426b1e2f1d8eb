"""How many retries a host is worth: a share of what it answers. Pure.

Each try by itself has good reasons, and still a registry that fails everything would get three times the requests it failed under,
from every mount of every node. So retries are paid for, as in the AWS SDKs and in Finagle: a bucket for each host, full at first. A
retry takes one out, and `ANSWERS_PER_RETRY` good answers put one in; where there is none left, the first failure is the last word,
until the host answers again. Whatever happens, one client retries at most `RESERVE` times more than its good answers allow.
"""

from http import HTTPStatus
from typing import Final, final

# A mount asks some fifty small things at its start, and a load balancer that loses a node may fail each of them twice.
RESERVE: Final = 100
ANSWERS_PER_RETRY: Final = 10  # so a host that fails now and then gets at most a tenth more

_BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


@final
class RetryBudget:
    """What is left for one host."""

    def __init__(self) -> None:
        self._owed = 0  # good answers, for the retries that were made

    @property
    def is_full(self) -> bool:
        """Whether nothing is owed: as good as a new one."""
        return not self._owed

    def answered(self, status: int) -> None:
        """The host answered. Only the answers of a host that can cope count."""
        if self._owed and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _BUSY:
            self._owed -= 1

    def take(self) -> bool:
        """Whether there may be one more retry, which then is paid for."""
        if self._owed + ANSWERS_PER_RETRY > RESERVE * ANSWERS_PER_RETRY:
            return False
        self._owed += ANSWERS_PER_RETRY
        return True
