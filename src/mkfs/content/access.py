"""The seam between a layer and who decides whether the cache may answer for it."""

from typing import Protocol

from mkfs.oci.descriptor import Descriptor


class LayerAccess(Protocol):
    """What one mount may be served from a cache that other mounts fill too."""

    async def allows(self, blob: Descriptor) -> bool:
        """Whether bytes of `blob` that are in the cache may be served to this mount. May ask the registry; raises nothing."""

    async def earned(self, blob: Descriptor) -> None:
        """Says that this mount has fetched and proven `blob`: from now on it is allowed. Raises nothing."""
