"""Readers who wait, so that a mount that ends can set them all one last deadline."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Final, final

import trio

# The kernel tries a page again whose read-ahead failed, and the error of that is what the reader gets. It comes at once.
_AGAIN_SECONDS: Final = 0.1
_STUBBORN_SECONDS: Final = 1.0  # readers may be many, and some read on whatever they get


@final
class Waiting:
    """The waits of one mount."""

    def __init__(self) -> None:
        self._scopes: set[trio.CancelScope] = set()
        self._last = inf  # the deadline of all, on trio's clock
        self._began = 0  # how many waits there ever were
        self._nobody = trio.Event()

    @contextmanager
    def wait(self, seconds: float = inf) -> Iterator[None]:
        """Cancels the block after `seconds`, or when the mount ends: `ended` tells which."""
        with trio.CancelScope(deadline=min(trio.current_time() + seconds, self._last)) as scope:
            self._scopes.add(scope)
            self._began += 1
            try:
                yield
            finally:
                self._scopes.discard(scope)
                if not self._scopes:
                    self._nobody.set()

    @property
    def ended(self) -> bool:
        """Whether the last deadline has passed."""
        return self._last <= trio.current_time()

    async def end(self, seconds: float) -> None:
        """Returns when nobody waits any more: answered, or cancelled after `seconds`; who comes meanwhile has the same deadline.

        Cancelled, it cancels them all now.
        """
        last = trio.current_time() + seconds
        self._set(last)
        try:
            if not self._scopes:
                return
            while True:
                while self._scopes:
                    self._nobody = trio.Event()
                    await self._nobody.wait()
                began = self._began
                await trio.sleep(_AGAIN_SECONDS)
                if began == self._began or trio.current_time() > last + _STUBBORN_SECONDS:
                    return
        except trio.Cancelled:
            self._set(trio.current_time())
            raise

    def _set(self, last: float) -> None:
        self._last = last
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, last)
