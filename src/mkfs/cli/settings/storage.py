"""The rows of the cache, and of making indexes."""

import os
from pathlib import Path
from typing import Final

from mkfs.cli import places
from mkfs.cli.settings.kinds import DIRECTORY, DURATION, MIN_FREE, RATE, SIZE, file
from mkfs.cli.settings.setting import CACHE, INDEX, KEEPING, SHOWING, Setting


def _cache_directory() -> Path:
    return places.cache_directory(os.environ)


_LIMITED: Final = (*SHOWING, "cache info", "cache prune")

CACHE_ROWS: Final = (
    Setting(
        name="cache_dir",
        flags=("--cache-dir",),
        variable="MKFS_CACHE_DIR",
        key="cache.dir",
        kind=DIRECTORY,
        group=CACHE,
        verbs=KEEPING,
        default=_cache_directory,
        default_words="/var/cache/mkfs for root, else ~/.cache/mkfs",
        example='"/var/cache/mkfs"',
        help="Where proven bytes are kept.",
    ),
    Setting(
        name="cache_size",
        flags=("--cache-size",),
        variable="MKFS_CACHE_SIZE",
        key="cache.size",
        kind=SIZE,
        group=CACHE,
        verbs=_LIMITED,
        default_words="no limit but --min-free",
        example='"200GiB"',
        help="What the cache may occupy, e.g. 200GiB; what was used longest ago goes first.",
    ),
    Setting(
        name="min_free",
        flags=("--min-free",),
        variable="MKFS_MIN_FREE",
        key="cache.min_free",
        kind=MIN_FREE,
        group=CACHE,
        verbs=_LIMITED,
        default="10%",
        help="What the cache leaves free on its disk, of bytes and inodes (10%), or of bytes (50GiB, and 10% of the inodes).",
    ),
    Setting(
        name="scrub",
        flags=("--scrub",),
        variable="MKFS_SCRUB",
        key="cache.scrub",
        kind=RATE,
        group=CACHE,
        verbs=("mount",),
        default_words="off",
        example='"10MiB"',
        is_experimental=True,
        help="Hash all of the cache again and again in the background, so many bytes a second (e.g. 10MiB).",
    ),
    Setting(
        name="older_than",
        flags=("--older-than",),
        kind=DURATION,
        group=CACHE,
        verbs=("cache prune",),
        default_words="any age",
        help="Remove layers not read for so long, e.g. 30d, 12h.",
    ),
)

INDEX_ROWS: Final = (
    Setting(
        name="output",
        flags=("-o", "--output"),
        kind=file(),
        group=INDEX,
        verbs=("index build",),
        is_required=True,
        help="The file to write.",
    ),
    Setting(
        name="sign_key",
        flags=("--sign-key",),
        variable="MKFS_SIGN_KEY",
        key="index.sign_key",
        kind=file(),
        group=INDEX,
        verbs=("index push",),
        default_words="not signed",
        example='"/etc/mkfs/signing.key"',
        help="A private key (PEM): sign the index with it, as cosign would. COSIGN_PASSWORD has its password, if it has one.",
    ),
    Setting(
        name="expires",
        flags=("--expires",),
        kind=DURATION,
        group=INDEX,
        verbs=("index push",),
        default_words="for ever",
        help="Let the signature count for so long, e.g. 90d.",
    ),
)
