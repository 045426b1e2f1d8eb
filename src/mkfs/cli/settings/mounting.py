"""The rows of a mount: what is fetched before somebody asks, who may read, what the daemon does."""

import os
from typing import Final

from mkfs.cli.settings.kinds import ADDRESS, DURATION, FLAG, MASK, choice, file, integer, seconds
from mkfs.cli.settings.setting import DAEMON, OWNERSHIP, READING, SHOWN, Setting
from mkfs.content.prefetch import Prefetch
from mkfs.service.logs import FORMATS, LEVELS
from mkfs.service.settings import STOP_SECONDS

_MOUNT: Final = ("mount",)
_MOST_LAYERS_AT_ONCE: Final = 64
_LAYERS_AT_ONCE: Final = 4  # `service.layer_work.CONCURRENCY`, which a mount does without


def _is_root() -> bool:
    return os.geteuid() == 0


MOUNT_ROWS: Final = (
    Setting(
        name="xattr",
        flags=("--xattr/--no-xattr",),
        variable="MKFS_XATTR",
        key="mount.xattr",
        kind=FLAG,
        group=SHOWN,
        verbs=_MOUNT,
        default=False,
        help="Show digest and proof of each file as user.mkfs.* attributes; slows `ls -l`.",
    ),
    Setting(
        name="tag_ttl",
        flags=("--tag-ttl",),
        variable="MKFS_TAG_TTL",
        key="mount.tag_ttl",
        kind=DURATION,
        group=SHOWN,
        verbs=_MOUNT,
        default="15min",
        help="How often it is looked whether the tag moved: that is logged, and the mount stays as it is. 0s: never. "
        "Of a repository: how long it is believed what a tag means. 0s: it is asked each time.",
    ),
    Setting(
        name="proof",
        flags=("--verify",),
        variable="MKFS_VERIFY",
        key="mount.verify",
        kind=choice(("strict", "deferred")),
        group=READING,
        verbs=_MOUNT,
        default="strict",
        help="strict: no byte is answered before it is proven. deferred: the first reads of a layer do not wait for its proof; "
        "what turns out wrong is logged, forgotten by the kernel and an error from then on, but somebody has read it.",
    ),
    Setting(
        name="prefetch",
        flags=("--prefetch",),
        variable="MKFS_PREFETCH",
        key="mount.prefetch",
        kind=choice([each.value for each in Prefetch]),
        group=READING,
        verbs=_MOUNT,
        default=Prefetch.MODEL.value,
        is_experimental=True,
        help="What is fetched ahead of readers. sequential: where reads follow each other. model: also the rest of a tensor that "
        "is read, and the next shard when two were read in order.",
    ),
    Setting(
        name="fill",
        flags=("--fill/--no-fill",),
        variable="MKFS_FILL",
        key="mount.fill",
        kind=FLAG,
        group=READING,
        verbs=_MOUNT,
        default=False,
        help="Fetch all of it in the background, behind what is read.",
    ),
    Setting(
        name="read_timeout",
        flags=("--read-timeout",),
        variable="MKFS_READ_TIMEOUT",
        key="mount.read_timeout",
        kind=seconds(1),
        group=READING,
        verbs=("mount", "doctor"),
        # Long enough for a layer of some hundred GB on a fast link; an O_DIRECT read that waits can't be interrupted, so it must
        # end by itself.
        default=300.0,
        help="Seconds after which a waiting O_DIRECT read fails (buffered reads can be interrupted and wait), and in the mount "
        "of a repository a look into an artifact that is being opened.",
    ),
    Setting(
        name="timeout",
        flags=("--timeout",),
        variable="MKFS_TIMEOUT",
        key="mount.timeout",
        kind=DURATION,
        group=READING,
        verbs=_MOUNT,
        default_words="however long it takes",
        example='"10min"',
        help="Give up (12) if DIR is not readable after so long (e.g. 90s, 10min): compressed layers that nothing is known of are "
        "read whole before.",
    ),
    Setting(
        name="metrics_address",
        flags=("--metrics-address",),
        variable="MKFS_METRICS_ADDRESS",
        key="mount.metrics_address",
        kind=ADDRESS,
        group=DAEMON,
        verbs=_MOUNT,
        default_words="off",
        example='"9095"',
        help="Answer /metrics (Prometheus), /healthz and /readyz there. Without HOST this machine alone may ask; port 0: a free "
        "one, named when mounted.",
    ),
    Setting(
        name="log_format",
        flags=("--log-format",),
        variable="MKFS_LOG_FORMAT",
        key="mount.log_format",
        kind=choice(FORMATS),
        group=DAEMON,
        verbs=_MOUNT,
        default="auto",
        help="auto: lines for the journal where stderr leads there, else for a person.",
    ),
    Setting(
        name="log_level",
        flags=("--log-level",),
        variable="MKFS_LOG_LEVEL",
        key="mount.log_level",
        kind=choice(LEVELS),
        group=DAEMON,
        verbs=_MOUNT,
        default_words="info; -v debug, -q warning",
        example='"warning"',
        help="What is logged, and all that is worse.",
    ),
    Setting(
        name="stop_timeout",
        flags=("--stop-timeout",),
        variable="MKFS_STOP_TIMEOUT",
        key="mount.stop_timeout",
        kind=DURATION,
        group=DAEMON,
        verbs=_MOUNT,
        default=f"{STOP_SECONDS:g}s",
        help="How long reads under way may take when the daemon is told to end (SIGTERM, Ctrl-C); then they fail. "
        "A second signal: 0s.",
    ),
    Setting(
        name="concurrency",
        flags=("--concurrency",),
        variable="MKFS_CONCURRENCY",
        key="warmup.concurrency",
        kind=integer(1, _MOST_LAYERS_AT_ONCE),
        group=READING,
        verbs=("warmup",),
        default=_LAYERS_AT_ONCE,
        metavar="N",
        help="Layers fetched at once.",
    ),
    Setting(
        name="allow_other",
        flags=("--allow-other/--no-allow-other",),
        variable="MKFS_ALLOW_OTHER",
        key="mount.allow_other",
        kind=FLAG,
        group=OWNERSHIP,
        verbs=_MOUNT,
        default=_is_root,
        default_words="on for root",
        example="true",
        help="Let other users read. Needs user_allow_other in /etc/fuse.conf unless root.",
    ),
    Setting(
        name="noexec",
        flags=("--noexec/--exec",),
        variable="MKFS_NOEXEC",
        key="mount.noexec",
        kind=FLAG,
        group=OWNERSHIP,
        verbs=_MOUNT,
        default=False,
        help="No program in it can be run; without, a kit's code may be.",
    ),
    Setting(
        name="uid",
        flags=("--uid",),
        variable="MKFS_UID",
        key="mount.uid",
        kind=integer(0),
        group=OWNERSHIP,
        verbs=_MOUNT,
        default=os.getuid,
        default_words="you",
        metavar="N",
        example="1000",
        help="Owner of all files.",
    ),
    Setting(
        name="gid",
        flags=("--gid",),
        variable="MKFS_GID",
        key="mount.gid",
        kind=integer(0),
        group=OWNERSHIP,
        verbs=_MOUNT,
        default=os.getgid,
        default_words="yours",
        metavar="N",
        example="1000",
        help="Group of all files.",
    ),
    Setting(
        name="umask",
        flags=("--umask",),
        variable="MKFS_UMASK",
        key="mount.umask",
        kind=MASK,
        group=OWNERSHIP,
        verbs=_MOUNT,
        default="000",
        help="Permission bits taken away, octal.",
    ),
    Setting(
        name="foreground",
        flags=("-f", "--foreground"),
        kind=FLAG,
        group=DAEMON,
        verbs=_MOUNT,
        default=False,
        help="Stay in the foreground and log to stderr; Ctrl-C unmounts.",
    ),
    Setting(
        name="log_file",
        flags=("--log-file",),
        variable="MKFS_LOG_FILE",
        kind=file(),
        group=DAEMON,
        verbs=_MOUNT,
        default_words="in /var/log/mkfs or ~/.local/state/mkfs/log",
        help="Where the daemon logs.",
    ),
    Setting(
        name="quiet",
        flags=("-q", "--quiet"),
        kind=FLAG,
        group=DAEMON,
        verbs=_MOUNT,
        default=False,
        help="Print nothing but errors; log warnings only.",
    ),
)
