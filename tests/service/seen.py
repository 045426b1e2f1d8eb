"""A mount at one moment, made up: what `service.status` makes a report of."""

from typing import Any

from mkfs.cache.statistics import CacheStatistics
from mkfs.content.admission import AdmissionStatistics
from mkfs.content.last_errors import LastError
from mkfs.content.layer import LayerStatistics
from mkfs.content.reach import ReachStatistics
from mkfs.content.reads import Cause, Obstacle
from mkfs.content.traffic import TrafficStatistics
from mkfs.fuse.connection import Tuning
from mkfs.histogram import Distribution
from mkfs.oci.digest import Digest
from mkfs.proof.policy import Trust
from mkfs.registry.traffic import Traffic
from mkfs.registry.transport import ClientStatistics
from mkfs.service.rates import Rate
from mkfs.service.seen import Named, Seen, SeenArtifact, SeenCache, SeenLayer, SeenWait
from mkfs.service.tag_standing import TagStanding
from mkfs.service.weighing import Space
from mkfs.units import GIB, MIB
from mkfs.vfs.model_fs import FileSystemStatistics
from mkfs.vfs.waits import Waited, WaitStatistics

AT = 1_764_000_000.0  # 2025-11-24T16:00:00Z
NASTY = "w\x1b[2Jeights\n\u202e.bin"


def layer(label: str, **changes: Any) -> SeenLayer:
    """A layer of 10 MiB of which 4 MiB were fetched and 2 MiB read; `changes` of its counts, its `trust` or `complete`."""
    complete = changes.pop("complete", False)
    reach = ReachStatistics(wanted_bytes=2 * MIB, guessed_bytes=2 * MIB, wasted_bytes=MIB, filled_bytes=0)
    counts = {
        "trust": Trust.SIGNED,
        "published": False,
        "provisional": False,
        "received_bytes": 0,
        "waiting": 1,
        "fetches": 0,
        "refetched_chunks": 0,
        "refusals": 0,
        "chunks": None,
        "reach": reach,
        "traffic": TrafficStatistics(4 * MIB, 3, 1, ("storage.test",)),
    }
    cached_bytes = 10 * MIB if complete else 4 * MIB
    statistics = LayerStatistics(**{**counts, **changes})
    return SeenLayer(label, Digest.of(label.encode()), 10 * MIB, 10 * MIB, statistics, cached_bytes, complete)


def seen(*layers: SeenLayer, **changes: Any) -> Seen:
    """A mount with these layers."""
    tag = TagStanding("7b", Digest.of(b"index"), lambda: AT - 60)
    tag.heard(Digest.of(b"moved"))
    artifact = SeenArtifact(
        "registry.test/team/llama:7b", Digest.of(b"manifest"), Digest.of(b"index"), "KitOps ModelKit", AT - 100, tag, layers
    )
    file = Named(NASTY.encode(), "model w")
    values = {
        "pid": 77,
        "mountpoint": "/mnt/llama",
        "at": AT,
        "mounted_at": AT - 100,
        "uptime_seconds": 100.0,
        "readable_seconds": 0.3,
        "deferred": False,
        "prefetch": "model",
        "offline": False,
        "artifacts": (artifact,),
        "layers": layers,
        "tags": None,
        "file_system": FileSystemStatistics(1, 2, 30, 4, 1, 8 * MIB, 1),
        "waits": WaitStatistics(Distribution((), (3,), 6.0), 3.0, 1.0, 2.0, 3.0),
        "waiting": (SeenWait(file, 0, 100, 12.5, Obstacle(Cause.CHUNKS, 100, MIB, ("storage.test",))),),
        "slowest": ((file, Waited(3, 5, 9, 3.0, Cause.TURN)),),
        "rate": Rate(10.0, 100.0, 200.0),
        "admission": AdmissionStatistics(1, 2, 3, 4, 5),
        "ahead_bytes": MIB,
        "ahead_limit_bytes": GIB,
        "errors": (LastError("Unreachable", "no answer", "registry.test", "model w", "", AT - 50, AT - 5, 3, 1),),
        "cache": SeenCache("/c", GIB, Space(5 * MIB, GIB, 50 * GIB, 10 * GIB), CacheStatistics(evicted=2)),
        "client": ClientStatistics(9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, Traffic().snapshot()),
        "hosts_aside": ("mirror.test",),
        "tuning": Tuning(512, 384, 1024),
    }
    return Seen(**{**values, **changes})
