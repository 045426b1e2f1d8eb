"""Descriptors: what one OCI document says of another (image-spec descriptor.md).

`urls` are never kept: fetching from them is how credentials leaked elsewhere (CVE-2020-15157). Embedded `data` is a hint like
any other bytes: it counts only once it matched digest and size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from mkfs.oci.digest import Digest


@final
@dataclass(frozen=True, slots=True)
class Descriptor:
    """Media type, digest and exact size of some bytes. A descriptor is believed only where digest **and** size fit.

    `others` are fields of an entry of an index or of a producer's own, as decoded: `platform`, `modelMetadata` (labels of a `kit`
    index), `name` (Ollama). Not checked.
    """

    media_type: str
    digest: Digest
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str = ""
    data: bytes | None = field(default=None, repr=False)
    others: Mapping[str, object] = field(default_factory=dict, hash=False)
