"""What `stat` says: attributes of a node, and whose they are. Pure values; a node has the same attributes in every mount, but for
what `Ownership` says.
"""

import stat
from typing import Final, final

from msgspec import Struct

from mkfs.units import KIB

# 1980-01-02T00:00:00Z, for all that has no time of its own. Constant, so that no tool sees a model "change" between mounts (Triton
# and OpenVINO reload then). Not 0, which reads as "missing" in many places, and late enough that a zip archive can hold it in every
# time zone (its epoch is 1980-01-01 local time; Python's zipfile raises below it).
MTIME_NS: Final = 315_619_200 * 10**9
# stdio, Python and llama.cpp take it as their buffer size or alignment: a power of two, and what the kernel reads ahead by default.
BLKSIZE_BYTES: Final = 128 * KIB
# Names, attributes and what is not there never change inside a tree. Ten years: "for ever", and no conversion to jiffies overflows.
ENDLESS_SECONDS: Final = 10.0 * 365 * 24 * 3600
_STAT_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever st_blksize says: stat(2)
_READ_EXECUTE: Final = 0o555  # what is left of any mode in a file system that is never written


@final
class Attributes(Struct, frozen=True):
    """One node for `stat`: `mode` holds the type bits too, `inode` is the mount's own number (see `forest`)."""

    inode: int
    mode: int
    size_bytes: int
    uid: int
    gid: int
    # 1 for directories as well: "not counted", as btrfs has it. GNU find and fts take 2 + subdirectories for a promise.
    nlink: int = 1
    mtime_ns: int = MTIME_NS
    blksize_bytes: int = BLKSIZE_BYTES
    entry_seconds: float = ENDLESS_SECONDS  # how long the kernel may believe that the name it was looked up by leads here
    attributes_seconds: float = ENDLESS_SECONDS  # and the rest of this

    @property
    def blocks(self) -> int:
        """Size in blocks of 512 bytes, for `du`. Says what the file holds, not what has been fetched."""
        return -(-self.size_bytes // _STAT_BLOCK_BYTES)


@final
class Ownership(Struct, frozen=True):
    """Whose the files are and who may read them. `shared` is for mounts that admit other users (`allow_other`).

    A mode is what the artifact says without its write bits; widened to read (directories: read and search) for all when `shared`;
    then narrowed by `umask`, which is the user's last word. Owners can always list and search their directories.
    """

    uid: int
    gid: int
    umask: int = 0
    shared: bool = False

    def file_mode(self, artifact_mode: int) -> int:
        """Type and permission bits of a file whose artifact says `artifact_mode`. x stays where it was and appears nowhere else."""
        mode = artifact_mode & _READ_EXECUTE | (0o444 if self.shared else 0)
        return stat.S_IFREG | mode & ~self.umask

    def link_mode(self) -> int:
        """Type and permission bits of a symbolic link: everybody's, as Linux has it; what it leads to has its own."""
        return stat.S_IFLNK | 0o777

    def directory_mode(self, artifact_mode: int) -> int:
        """Type and permission bits of a directory whose artifact says `artifact_mode`."""
        mode = artifact_mode & _READ_EXECUTE | (0o555 if self.shared else 0)
        return stat.S_IFDIR | mode & ~self.umask | 0o500
