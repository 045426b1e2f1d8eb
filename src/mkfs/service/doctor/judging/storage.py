"""Where we write: the cache and its disk, logs, the runtime directory."""

from enum import Enum
from typing import Final, final

from msgspec import Struct

from mkfs.cache.eviction import Disk, Lack, Limits, Wish, too_small
from mkfs.errors import CacheUnusable, MkfsError
from mkfs.service.doctor.finding import Finding, fail, failed, ok, warn
from mkfs.units import format_size

_ANOTHER: Final = "choose another directory with --cache-dir"
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_LAYERED: Final = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs"})
_REMOTE: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "lustre", "gpfs", "beegfs", "afs", "glusterfs", "ocfs2", "gfs2"}
)


@final
class State(Enum):
    """What stands at the cache's place."""

    CACHE = "a cache"
    EMPTY = "an empty directory"
    MISSING = "nothing"
    UNUSABLE = "something else"


@final
class CacheDirectory(Struct, frozen=True):
    """`error`: why it is unusable. `above`: the nearest directory that exists where there is nothing yet, `may_write` whether we
    may write there.
    """

    path: str
    state: State
    above: str
    may_write: bool
    error: MkfsError | None = None


@final
class FileSystem(Struct, frozen=True):
    """Its type as in the mount table, "" where that does not say."""

    path: str
    type: str


@final
class Abilities(Struct, frozen=True):
    """What was tried on it: reads past the page cache, and hits out of it. `tried` is False where nothing could be written."""

    path: str
    tried: bool
    direct: bool
    page_cache: bool


@final
class Space(Struct, frozen=True):
    """Its disk, and what stays free there."""

    path: str
    disk: Disk
    limits: Limits


@final
class Directory(Struct, frozen=True):
    """A directory of ours. `trouble`: why nothing can be written there, "" if it can; `option` is what names another one."""

    what: str
    path: str
    exists: bool
    trouble: str
    option: str


def judge_directory(facts: CacheDirectory) -> Finding:
    """Whether a mount could use it. The words for what is wrong are those that a mount would end with."""
    if facts.error is not None:
        return failed(facts.error, _ANOTHER)
    if facts.state is State.CACHE:
        return ok(facts.path)
    if not facts.may_write:
        text = f"{facts.path} cannot be made: no write permission in {facts.above}"
        return fail(CacheUnusable, text, f'sudo install -d -m 700 -o "$(id -un)" {facts.path}; or {_ANOTHER}')
    return ok(f"{facts.path} is {'empty' if facts.state is State.EMPTY else 'made by the first mount'}")


def judge_file_system(facts: FileSystem) -> Finding:
    """What it costs to keep the cache on that type of file system."""
    kind = facts.type
    if kind in _IN_MEMORY:
        text = f"the cache is in memory ({kind}): it counts against our memory limit, and every hit is hashed"
        return warn(text, "choose a directory on a disk with --cache-dir")
    if kind in _LAYERED:
        text = f"the cache lies in the container's own layers ({kind}): it is gone with the container, and every hit is hashed"
        return warn(text, "give it a volume: docker run -v /var/cache/mkfs:/var/cache/mkfs …; Kubernetes: a hostPath volume there")
    if kind in _REMOTE or kind.startswith("fuse"):
        text = f"the cache lies on a network or user-space file system ({kind}): hits are as slow as that is, and hang when it does"
        return warn(text, "choose a directory on a local disk with --cache-dir")
    return ok(f"on {kind}" if kind else "the mount table does not name its file system")


def judge_abilities(facts: Abilities) -> Finding:
    """How hits are answered there."""
    if not facts.tried:
        return warn("what the cache's disk can do was not tried: nothing can be written there", f"make room there, or {_ANOTHER}")
    if not facts.direct:
        text = "no O_DIRECT there: every answer is read through the page cache and hashed again"
        return warn(text, "choose a directory on ext4 or xfs with --cache-dir")
    if not facts.page_cache:
        text = "no RWF_NOWAIT or cachestat there: every answer is read from the disk and hashed again"
        return warn(text, "choose a directory on ext4 or xfs with --cache-dir; in a container let seccomp pass cachestat")
    return ok("O_DIRECT and RWF_NOWAIT work: hits come out of the page cache")


def judge_space(facts: Space) -> Finding:
    """Whether anything can be kept."""
    disk, limits = facts.disk, facts.limits
    if complaint := too_small(limits, disk):
        return fail(CacheUnusable, complaint, f"see --cache-size and --min-free, or {_ANOTHER}")
    kept_bytes, kept_inodes = limits.kept_bytes(disk), limits.kept_inodes(disk)
    if disk.total_bytes and disk.free_bytes <= kept_bytes:
        text = f"{format_size(disk.free_bytes)} free, {format_size(kept_bytes)} stay free: only what is evicted makes room"
        return warn(text, f"kitfs cache prune --cache-dir {facts.path}, or a smaller --min-free")
    if disk.total_inodes and disk.free_inodes <= kept_inodes:
        text = f"{disk.free_inodes} inodes free, {kept_inodes} stay free: only what is evicted makes room"
        return warn(text, f"kitfs cache prune --cache-dir {facts.path}, or remove small files on that disk")
    room = disk.free_bytes - kept_bytes
    if limits.size_limit_bytes is not None:
        room = min(room, limits.size_limit_bytes)
    inodes = f", {disk.free_inodes} inodes free" if disk.total_inodes else ""
    return ok(f"room for {format_size(room)} ({format_size(disk.free_bytes)} free, {format_size(kept_bytes)} stay free){inodes}")


def judge_own_directory(facts: Directory) -> Finding:
    """Whether something of ours can be written there."""
    if facts.trouble:
        remedy = f'sudo install -d -m 700 -o "$(id -un)" {facts.path}{f"; or {facts.option}" if facts.option else ""}'
        return warn(f"{facts.what} cannot be written to {facts.path}: {facts.trouble}", remedy)
    return ok(f"{facts.what}: {facts.path}{'' if facts.exists else ', made when it is needed'}")


@final
class Room(Struct, frozen=True):
    """What of an artifact the cache has to hold. `compressed_bytes` is the largest stream that is kept whole, as stored."""

    size_bytes: int
    largest_bytes: int
    compressed_bytes: int
    layers: int
    used_bytes: int  # by the cache now; all of it can be evicted
    disk: Disk
    limits: Limits


def judge_room(facts: Room) -> Finding:
    """Whether an artifact fits, when everything else may be evicted for it."""
    all_of_it = format_size(facts.size_bytes)

    def lacks(size_bytes: int) -> bool:
        disk, used = facts.disk, facts.used_bytes
        empty = Disk(disk.total_bytes, disk.free_bytes + used, disk.total_inodes, disk.free_inodes)
        return not Lack.of(facts.limits, empty, 0, Wish(size_bytes, 0)).met

    remedy = f"make room, lower --min-free, raise --cache-size, or {_ANOTHER}"
    if facts.compressed_bytes and lacks(facts.compressed_bytes):
        text = (
            f"a compressed layer of {format_size(facts.compressed_bytes)} does not fit the cache, even empty: it cannot be mounted"
        )
        return fail(CacheUnusable, text, remedy)
    if lacks(facts.largest_bytes):
        text = f"a layer of {format_size(facts.largest_bytes)} does not fit the cache, even empty: it is fetched twice"
        return warn(text, remedy)
    if lacks(facts.size_bytes):
        return warn(f"all of it ({all_of_it}) does not fit the cache, even empty: layers push one another out", remedy)
    return ok(f"all of it ({all_of_it}) fits the cache")
