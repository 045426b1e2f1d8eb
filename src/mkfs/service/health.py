"""How well the loop keeps up: a task that should wake every second, and by how much it is late."""

from typing import Final, final

import trio

from mkfs.histogram import Histogram

TICK_SECONDS: Final = 1.0
# Late by a few milliseconds is a busy moment; by a second, readers notice; by thirty, systemd's watchdog would have.
LAG_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


@final
class Health:
    """Measures while `watch` runs."""

    __slots__ = ("lag",)

    def __init__(self) -> None:
        self.lag = Histogram(LAG_BOUNDS)

    async def watch(self) -> None:
        """Runs until it is cancelled."""
        while True:
            due = trio.current_time() + TICK_SECONDS
            await trio.sleep_until(due)
            self.lag.observe(max(0.0, trio.current_time() - due))
