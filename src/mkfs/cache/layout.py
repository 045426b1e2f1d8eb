"""The cache directory: what stands where, and whether it may be used at all.

    ROOT/version                        one line, read before anything else
    ROOT/CACHEDIR.TAG                   tells backup programs to leave it out (bford.info/cachedir)
    ROOT/layers/<algorithm>/<hex>/      a published layer: `index` (its chunk index), `rest`, `1`, `2`, … (its stored files)
    ROOT/partial/<algorithm>/<hex>/     a layer whose chunks come one by one: the same files with holes, and `ledger`
    ROOT/indexes/<algorithm>/<hex>      the chunk index of a layer that was proven here; outlives the layer's bytes
    ROOT/documents/<algorithm>/<hex>    a manifest, a config, a small blob
    ROOT/grants/<sha256 hex>            who may be served what: see `cache.grants`
    ROOT/resolutions/<sha256 hex>       what a tag meant last: see `cache.resolutions`
    ROOT/locks/<algorithm>/<hex>        who fetches what of a layer now: see `cache.locks`
    ROOT/staging/<unique>               work of one process: see `cache.claims`

Version 1 had layers, documents and staging only, and these have not changed: such a cache is taken over by writing the new version.

Directories are 0700, files 0600. Below the root, names are looked up relative to descriptors that were checked when they were
opened, and are built from parsed digests only: no text from a registry becomes part of a path.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, final

from msgspec import Struct

from mkfs.cache.claims import claim_file
from mkfs.cache.files import (
    DIRECTORY_MODE,
    OTHERS_MAY_WRITE,
    OpenFile,
    discard,
    is_not_ours,
    make_directory,
    open_directory,
    open_our_directory,
    read_whole,
    write_at,
)
from mkfs.cache.mounts import OUR_FILE_SYSTEM, file_system_above, file_system_of
from mkfs.cache.space import CHOOSE
from mkfs.errors import BadDigest, CacheUnusable
from mkfs.oci.digest import Digest

_VERSION_LINE: Final = b"mkfs cache 2\n"
_OLD_VERSION_LINE: Final = b"mkfs cache 1\n"  # holds nothing that this version would read otherwise
_VERSION_LIMIT_BYTES: Final = 64
_TAG_LINES: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of mkfs: every byte in it can be fetched again.\n"
_VERSION, _TAG = "version", "CACHEDIR.TAG"
LAYERS, PARTIAL, INDEXES, DOCUMENTS, LOCKS = "layers", "partial", "indexes", "documents", "locks"  # hold digests
STAGING: Final = "staging"
_GRANTS, _RESOLUTIONS = "grants", "resolutions"
_PARTS: Final = (STAGING, LAYERS, PARTIAL, INDEXES, DOCUMENTS, LOCKS, _GRANTS, _RESOLUTIONS)
# What a directory may hold and still become a cache: what an interrupted start leaves, and what a fresh ext4 comes with.
_HARMLESS: Final = frozenset({_VERSION, _TAG, *_PARTS, "lost+found"})
_ON_OUR_MOUNT: Final = "cache directory lies on a mount of ours"
# Names a place without asking its file system, which may be a mount that answers no more.
_PEEK: Final = os.O_PATH if hasattr(os, "O_PATH") else os.O_RDONLY


@final
class Place(Struct, frozen=True):
    """Where something stands or would stand: a name in an open directory."""

    directory: OpenFile
    name: str

    def is_taken(self) -> bool:
        """Whether something stands there now, whatever it is. Raises `OSError`."""
        try:
            os.stat(self.name, dir_fd=self.directory.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True


@final
class Layout:
    """The directories of an opened cache. Any thread may ask; after `close`, asking raises `CacheUnusable`."""

    __slots__ = ("_directories", "_lock", "path")

    def __init__(self, path: Path, root: OpenFile) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._directories = {"": root}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the cache at `path`, made where it is missing or empty.

        Raises `CacheUnusable`; then nothing was changed, or what was begun is harmless and the next start goes on with it.
        """
        path = path.absolute()
        refuse_our_mounts(path)
        try:
            with suppress(FileExistsError):  # whatever it is: going on tells
                path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir(DIRECTORY_MODE)
            place = OpenFile(os.open(path, _PEEK | os.O_NOFOLLOW))
            if file_system_of(place) == OUR_FILE_SYSTEM:  # behind a symbolic link
                raise CacheUnusable(_ON_OUR_MOUNT, str(path), CHOOSE)
            root = OpenFile(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
            _check_owner(root, path)
            layout = cls(path, root)
            layout._prepare(root)
        except OSError as error:
            if path.is_symlink():
                raise CacheUnusable("cache directory is a symbolic link", str(path), f"name its target, or {CHOOSE}") from error
            raise CacheUnusable(f"cache directory cannot be used: {error.strerror}", str(path), CHOOSE) from error
        return layout

    def _prepare(self, root: OpenFile) -> None:
        version = _read_version(root)
        fresh = not version.strip(b"\0")  # none yet, or one that a power failure kept from the disk
        if not fresh and version not in (_VERSION_LINE, _OLD_VERSION_LINE):
            raise CacheUnusable(
                f"cache is of another version (got {version[:32]!r}, expected {_VERSION_LINE!r})",
                str(self.path),
                f"remove it, or {CHOOSE}",
            )
        if fresh:
            strangers = sorted(set(os.listdir(root.fd)) - _HARMLESS)
            if strangers:
                raise CacheUnusable(f"directory holds no cache, but {strangers[0][:80]!r}", str(self.path), CHOOSE)
            os.fchmod(root.fd, DIRECTORY_MODE)
        for name in _PARTS:
            self._directories[name] = make_directory(name, root)
            _check_owner(self._directories[name], self.path / name)
        if fresh:
            put(_TAG_LINES, Place(root, _TAG), self.staging)
        if version != _VERSION_LINE:
            put(_VERSION_LINE, Place(root, _VERSION), self.staging)  # last: it says that the rest is there

    @property
    def root(self) -> OpenFile:
        """The cache's directory itself."""
        return self._directory("")

    @property
    def staging(self) -> OpenFile:
        """The directory of unproven and unfinished things."""
        return self._directory(STAGING)

    @property
    def grants(self) -> OpenFile:
        """The directory of `cache.grants`."""
        return self._directory(_GRANTS)

    @property
    def resolutions(self) -> OpenFile:
        """The directory of `cache.resolutions`."""
        return self._directory(_RESOLUTIONS)

    def layer(self, digest: Digest) -> Place:
        """Where the layer `digest` is published. Raises `OSError` if its directory cannot be had; so do the others."""
        return self._place(LAYERS, digest)

    def partial(self, digest: Digest) -> Place:
        """Where the chunks of layer `digest` are stored one by one."""
        return self._place(PARTIAL, digest)

    def index(self, digest: Digest) -> Place:
        """Where the chunk index of layer `digest` is kept."""
        return self._place(INDEXES, digest)

    def document(self, digest: Digest) -> Place:
        """Where the document `digest` is kept."""
        return self._place(DOCUMENTS, digest)

    def lock(self, digest: Digest) -> Place:
        """The file that processes lock who work on layer `digest`."""
        return self._place(LOCKS, digest)

    def listed(self, kind: str) -> Iterator[tuple[Digest, Place]]:
        """What stands below `kind` (LAYERS, PARTIAL, …), in no order; names that are no digests are left out. Raises `OSError`."""
        parent = self._directory(kind)
        for algorithm in os.listdir(parent.fd):
            try:
                directory = open_directory(algorithm, parent)
            except OSError as error:
                if is_not_ours(error):
                    continue
                raise
            for name in os.listdir(directory.fd):
                with suppress(BadDigest):
                    yield Digest.parse(f"{algorithm}:{name}"), Place(directory, name)

    def _place(self, kind: str, digest: Digest) -> Place:
        checked = Digest.parse(str(digest))  # the constructor trusts its caller; a path must not
        key = f"{kind}/{checked.algorithm}"
        with self._lock:
            known = self._directories.get(key)
        if known is None:
            make_directory(checked.algorithm, self._directory(kind))
            known = open_our_directory(checked.algorithm, self._directory(kind))
            with self._lock:
                self._directories[key] = known
        return Place(known, checked.hex)

    def _directory(self, name: str) -> OpenFile:
        with self._lock:
            directory = self._directories.get(name)
        if directory is None:
            raise CacheUnusable("the cache is closed", str(self.path))
        return directory

    def close(self) -> None:
        """Lets go of all directories; what other objects hold open stays open."""
        with self._lock:
            self._directories.clear()


def refuse_our_mounts(path: Path) -> None:
    """Raises `CacheUnusable` for a cache directory (absolute) on a mount of ours, dead, stuck or alive; asks no file system."""
    if file_system_above(Path(os.path.normpath(path))) == OUR_FILE_SYSTEM:
        raise CacheUnusable(_ON_OUR_MOUNT, str(path), CHOOSE)


def put(content: bytes, place: Place, staging: OpenFile) -> None:
    """Makes `content` appear at `place` in one step, in place of what was there. Raises `OSError`; then nothing appeared."""
    claim = claim_file(staging)
    try:
        write_at(claim.file, content, 0)
        os.rename(claim.name, place.name, src_dir_fd=staging.fd, dst_dir_fd=place.directory.fd)
    except OSError:
        discard(claim.name, staging)
        raise


def _check_owner(directory: OpenFile, path: Path) -> None:
    status = os.fstat(directory.fd)
    if status.st_uid != os.geteuid():
        what = f"cache directory belongs to another user (got uid {status.st_uid}, expected {os.geteuid()})"
        raise CacheUnusable(what, str(path), CHOOSE)
    if status.st_mode & OTHERS_MAY_WRITE:
        raise CacheUnusable(
            f"cache directory can be written by others (got mode {status.st_mode & 0o7777:04o}, expected 0700)",
            str(path),
            f"remove it, as others may have been in it, or {CHOOSE}",
        )


def _read_version(root: OpenFile) -> bytes:
    try:
        return read_whole(_VERSION, root, _VERSION_LIMIT_BYTES)
    except FileNotFoundError:
        return b""
