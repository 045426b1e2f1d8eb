"""Gates: where an answer is held until a test lets it go, in threads and in trio tasks alike.

A gate opens once and stays open. Nothing here sleeps: a held thread waits for an event, a held task for
trio's, so an autojump clock passes the time of others meanwhile.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, final

import trio

HELD_SECONDS: Final = 30.0  # of real time: whoever is to come may be a process that is started first, on a busy machine


@final
class Gate:
    """Holds whoever comes until `release`. Any thread may call any method; `passed` needs a trio loop."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._open = False
        self._wakes: list[Callable[[], None]] = []  # one for each who is held

    @property
    def is_open(self) -> bool:
        """Whether `release` was called."""
        with self._lock:
            return self._open

    @property
    def waiting(self) -> int:
        """How many are held now."""
        with self._lock:
            return len(self._wakes)

    def release(self) -> None:
        """Lets everybody go, now and from now on."""
        with self._lock:
            self._open = True
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()

    def enter(self, wake: Callable[[], None]) -> None:
        """Counts one more as held; `wake` is called on `release`, from its thread, or at once when the gate is open."""
        with self._lock:
            if not self._open:
                self._wakes.append(wake)
                self._lock.notify_all()
                return
        wake()

    def leave(self, wake: Callable[[], None]) -> None:
        """Whoever entered with `wake` does not wait any more. Does nothing after `release`."""
        with self._lock:
            if wake in self._wakes:
                self._wakes.remove(wake)

    def wait_until_held(self, count: int = 1, *, timeout_seconds: float = HELD_SECONDS) -> bool:
        """Blocks the calling thread until `count` are held (True) or the time is over (False). For tests of socket clients."""
        with self._lock:
            return self._lock.wait_for(lambda: len(self._wakes) >= count, timeout_seconds)

    async def passed(self) -> None:
        """Returns when the gate is open. Cancelling leaves the gate as it was."""
        opened = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def wake() -> None:
            if _on_loop(token):
                opened.set()
                return
            with suppress(trio.RunFinishedError):  # whoever was held was cancelled at the same moment, and its loop has ended
                token.run_sync_soon(opened.set)

        self.enter(wake)
        try:
            await opened.wait()
        finally:
            self.leave(wake)


def _on_loop(token: trio.lowlevel.TrioToken) -> bool:
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False
