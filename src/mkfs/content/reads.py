"""The seam between a file system and the layers below it."""

from enum import Enum
from typing import Protocol, final

from msgspec import Struct

from mkfs.oci.digest import Digest
from mkfs.proof.policy import Trust
from mkfs.ranges import ByteRange

Buffer = bytes | bytearray | memoryview


@final
class RangeFacts(Struct, frozen=True):
    """What is known of a range of a layer, for a person who asks. `proven_bytes` of it are here, for reads without the registry."""

    layer: Digest
    trust: Trust
    proven_bytes: int


@final
class Cause(Enum):
    """Why a read cannot be answered at once. People and programs are shown the values."""

    DISK = "disk"  # its bytes are here: a thread reads them, and hashes them where nobody has yet
    CHUNKS = "chunks"  # the chunks wanted are fetched
    PROOF = "proof"  # all of the layer is fetched and proven
    TURN = "another process"  # of this node, which fetches the same


@final
class Obstacle(Struct, frozen=True):
    """What a read waits for now: `received_bytes` of `size_bytes` have come of it, from `hosts`. 0 of 0 where nothing is asked."""

    cause: Cause
    received_bytes: int = 0
    size_bytes: int = 0
    hosts: tuple[str, ...] = ()


class LayerReads(Protocol):
    """Proven reads of the content of one layer. What is handed out is proven, but see `content.deferred`."""

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` if they can be had from memory without waiting for anything; else None. Never blocks."""

    async def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted`, waiting for disk and network as long as bytes flow.

        Cancelling leaves work that others wait for alone. Raises `MkfsError`: `IntegrityError` where the registry's bytes are
        wrong, `Unreachable`, `NotFound`, `NotAuthorised` where they cannot be had, `CacheUnusable` where there is no room to prove
        them.
        """

    def obstacle(self, wanted: ByteRange) -> Obstacle:
        """What a read of `wanted` (not empty) waits for, if it cannot be answered at once. Never blocks."""

    async def facts(self, wanted: ByteRange) -> RangeFacts:
        """What `wanted` rests on, and how much of it is here. Asks the disk, never the registry; raises nothing."""
