"""A mount at one moment: the snapshots that metrics are read from, all taken between two checkpoints."""

from collections import Counter
from collections.abc import Iterable
from typing import final

from msgspec import Struct

from mkfs.cache.statistics import CacheStatistics
from mkfs.content.admission import AdmissionStatistics
from mkfs.content.layer import Layer
from mkfs.content.tally import TallyStatistics
from mkfs.fuse.requests import FuseStatistics
from mkfs.proof.policy import Trust
from mkfs.registry.transport import ClientStatistics
from mkfs.service.companions import Mounted
from mkfs.service.weighing import Space
from mkfs.vfs.model_fs import FileSystemStatistics
from mkfs.vfs.waits import WaitStatistics


@final
class LayerCounts(Struct, frozen=True):
    """All layers of a mount together."""

    proofs: dict[Trust, int]  # how many rest on what
    published: int
    provisional: int
    fetches: int
    refusals: int
    fetched_bytes: int
    guessed_bytes: int
    unread_bytes: int  # of these, what nobody has read
    filled_bytes: int


@final
class Moment(Struct, frozen=True):
    """`space` may be a little older than the rest: taking it asks the disk. None: it could not be told."""

    fuse: FuseStatistics
    files: FileSystemStatistics
    waits: WaitStatistics
    registry: ClientStatistics
    cache: CacheStatistics
    layers: LayerCounts
    tally: TallyStatistics
    admission: AdmissionStatistics
    space: Space | None


def moment_of(mounted: Mounted, space: Space | None) -> Moment:
    """What is counted now."""
    return Moment(
        mounted.session.statistics(),
        mounted.file_system.statistics(),
        mounted.file_system.waits.statistics(),
        mounted.means.client.statistics(),
        mounted.means.engine.cache.statistics(),
        _counts(mounted.layers),
        mounted.means.engine.tally.statistics(),
        mounted.means.engine.admission.statistics(),
        space,
    )


def _counts(layers: Iterable[Layer]) -> LayerCounts:
    each = [layer.statistics() for layer in layers]
    return LayerCounts(
        proofs=Counter(one.trust for one in each),
        published=sum(one.published for one in each),
        provisional=sum(one.provisional for one in each),
        fetches=sum(one.fetches for one in each),
        refusals=sum(one.refusals for one in each),
        fetched_bytes=sum(one.traffic.fetched_bytes for one in each),
        guessed_bytes=sum(one.reach.guessed_bytes for one in each),
        unread_bytes=sum(one.reach.wasted_bytes for one in each),
        filled_bytes=sum(one.reach.filled_bytes for one in each),
    )
