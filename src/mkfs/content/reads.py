"""The seam between a file system and the layers below it."""

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


class LayerReads(Protocol):
    """Proven reads of one layer (uncompressed). Bytes handed out are proven in strict mode, always."""

    def read_now(self, wanted: ByteRange) -> Buffer | None:
        """The bytes of `wanted` if they can be had from memory without waiting for anything; else None. Never blocks."""

    async def read(self, wanted: ByteRange) -> Buffer:
        """Exactly the bytes of `wanted`, waiting for disk and network as long as bytes flow.

        Cancelling leaves work that others wait for alone. Raises `MkfsError`: `IntegrityError` where the registry's bytes are
        wrong, `Unreachable`, `NotFound`, `NotAuthorised` where they cannot be had, `CacheUnusable` where there is no room to prove
        them.
        """

    async def facts(self, wanted: ByteRange) -> RangeFacts:
        """What `wanted` rests on, and how much of it is here. Asks the disk, never the registry; raises nothing."""
