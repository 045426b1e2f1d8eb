"""What all share who work on one layer: which layer it is, by what means it is had, and where they note what came of it."""

from typing import final

from msgspec import Struct

from mkfs.content.access import LayerAccess
from mkfs.content.engine import Engine
from mkfs.content.reach import Reach
from mkfs.content.readahead import Readahead
from mkfs.content.shortage import Shortage
from mkfs.formats.plan import Compression
from mkfs.oci.descriptor import Descriptor
from mkfs.registry.ranges import RangeReader


@final
class LayerMeans(Struct, frozen=True, eq=False):
    """The means of one layer. `label` is the name that a person knows it by; `tar` says that it has a table."""

    engine: Engine
    reader: RangeReader
    access: LayerAccess
    blob: Descriptor
    label: str
    tar: bool
    compression: Compression
    readahead: Readahead
    shortage: Shortage
    reach: Reach
