"""One range of a blob into memory, whatever breaks on the way: the loop that every fetch of ours is made of."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, final

import trio

from mkfs.content.patience import GIVE_UP_SECONDS, Patience
from mkfs.errors import Mismatch, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.ranges import ByteRange
from mkfs.registry.ranges import OtherSize, RangeReader
from mkfs.units import MIB

# While somebody waits at a prompt for `mount`, a dead registry is given up sooner.
IMPATIENT_SECONDS: Final = 25.0
PIECE_BYTES: Final = MIB  # asked of a stream at once by who does not follow it


@final
class RangesIgnored(Exception):
    """The server sends the whole blob where a range was asked. To be gone round, not to be shown to anybody."""


async def receive(
    reader: RangeReader,
    blob: Descriptor,
    wanted: ByteRange,
    into: memoryview,
    *,
    fresh: bool = False,
    give_up_seconds: float = GIVE_UP_SECONDS,
    progress: Callable[[int, str], Awaitable[None]] | None = None,
    follow: Callable[[int], None] | None = None,
) -> None:
    """Fills `into`, which is as long as `wanted`, with unproven bytes; a transfer that breaks goes on from its last good byte.

    `progress` is told bytes and host of each piece; `follow` hears in a thread, where one receives, how much of `into` is there
    (see `BlobStream.receive_into`). Raises `RangesIgnored`, `Unreachable` after `give_up_seconds` without a byte, `NotFound`,
    `NotAuthorised`; `Mismatch` where each answer says that the blob has another size. Cancelling leaves `into` partly written.
    """
    patience = Patience(trio.current_time(), give_up_seconds)
    done = 0
    while done < wanted.length:
        missing = ByteRange(wanted.start + done, wanted.stop)
        try:
            async with reader.open_range(blob, missing, fresh=fresh) as stream:
                if stream.range != missing:
                    raise RangesIgnored
                while done < wanted.length:
                    if follow is None:
                        count = await stream.receive_into(into[done : done + PIECE_BYTES])
                    else:
                        count = await stream.receive_into(into[done:], partial(_told, follow, done))
                    done += count
                    if progress is not None:
                        await progress(count, stream.host)
                    patience.progressed(count, trio.current_time())  # after: a wait for our own disk is not the network's
        except Unreachable as error:
            await pause(patience, error)


def _told(follow: Callable[[int], None], before: int, count: int) -> None:
    follow(before + count)


async def pause(patience: Patience, error: Unreachable) -> None:
    """Waits before the next try; raises `error` when there is none, as a `Mismatch` where it is a verdict on the blob's size."""
    if isinstance(error, OtherSize) and patience.is_settled():
        raise Mismatch(error.what, error.where) from error
    delay = patience.next_delay(trio.current_time())
    if delay is None:
        raise error
    await trio.sleep(delay)
