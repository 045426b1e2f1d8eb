"""The rows that are of a single call: which part of an artifact, and how the answer is told."""

from typing import Final

from mkfs.cli.settings.kinds import COUNT, DURATION, EXISTING_DIRECTORY, FLAG, TEXT, choice, file
from mkfs.cli.settings.setting import COMMAND, CONFIGURED, SHOWN, Setting

_SELECTING: Final = ("mount", "ls", "inspect", "doctor", "warmup", "verify")
# What answers in text or JSON: every verb but mount, umount, wait, resolve and those that talk to a shell.
_TELLING: Final = (
    *("status", "ls", "inspect", "doctor", "tags", "warmup", "verify", "index build", "index push", "index show"),
    *("cache info", "cache verify", "cache prune", "cache clear", "config show", "config path"),
)

_HANDING: Final = ("handover exec", "handover offer", "handover take")

CALL_ROWS: Final = (
    Setting(
        name="filters",
        flags=("--filter",),
        kind=TEXT,
        metavar="TYPE[,TYPE…][:ID[,ID…]]",
        group=SHOWN,
        verbs=("mount", "ls", "warmup"),
        default_words="all of it",
        is_repeatable=True,
        help="Only these: kitfile, model, datasets, code, prompts, docs, mcpservers; of them what goes by one of the ids (name or "
        "path in the Kitfile). More than once: what any of them wants. As kit unpack --filter.",
    ),
    Setting(
        name="labels",
        flags=("--select",),
        kind=TEXT,
        metavar="KEY=VALUE",
        group=SHOWN,
        verbs=_SELECTING,
        default_words="the only one, or the one for this machine",
        is_repeatable=True,
        help="Where REF is an index: the artifact with this label, or of this platform (os, architecture, variant). More than "
        "once: with all of them.",
    ),
    Setting(
        name="linting",
        flags=("--lint",),
        kind=FLAG,
        group=SHOWN,
        verbs=("inspect",),
        default=False,
        help="Say where it departs from the model specification too, and exit with 14 where it does.",
    ),
    Setting(
        name="long",
        flags=("-l", "--long"),
        kind=FLAG,
        group=COMMAND,
        verbs=("ls",),
        default=False,
        help="Modes and sizes too, and what is not proven yet.",
    ),
    Setting(
        name="lazy",
        flags=("-l", "--lazy"),
        kind=FLAG,
        group=COMMAND,
        verbs=("umount",),
        default=False,
        help="Out of sight at once, ended when its last user leaves.",
    ),
    Setting(
        name="force",
        flags=("-f", "--force"),
        kind=FLAG,
        group=COMMAND,
        verbs=("umount",),
        default=False,
        help="Whatever state it is in: who waits for a byte of it gets an error, and a daemon that hangs is ended.",
    ),
    Setting(
        name="everything",
        flags=("-a", "--all"),
        kind=FLAG,
        group=COMMAND,
        verbs=("umount",),
        default=False,
        help="All that you have mounted.",
    ),
    Setting(
        name="watch",
        flags=("-w", "--watch"),
        kind=FLAG,
        group=COMMAND,
        verbs=("status",),
        default=False,
        help="Look again every second, until interrupted or unmounted.",
    ),
    Setting(
        name="until",
        flags=("--until",),
        kind=choice(("mounted", "warm", "proven")),  # `service.waiting.Until`
        group=COMMAND,
        verbs=("wait",),
        default="mounted",
        help="mounted: DIR is readable. warm: every byte of every layer is in the cache, so that no read needs the registry. "
        "proven: every layer's bytes passed by once on this node and had its digest, so that names and bytes rest on nobody's "
        "word.",
    ),
    Setting(
        name="patience",
        flags=("--timeout",),
        kind=DURATION,
        group=COMMAND,
        verbs=("wait",),
        default_words="however long it takes",
        help="Give up (12) after so long, e.g. 90s, 5min.",
    ),
    Setting(
        name="destination",
        flags=("--destination",),
        kind=EXISTING_DIRECTORY,
        group=COMMAND,
        verbs=("install-helper",),
        default="/sbin",
        help="Where mount(8) looks for its helpers.",
    ),
    Setting(
        name="remove",
        flags=("--remove",),
        kind=FLAG,
        group=COMMAND,
        verbs=("install-helper",),
        default=False,
        help="Take the helper away again.",
    ),
    Setting(
        name="dry_run",
        flags=("--dry-run",),
        kind=FLAG,
        group=COMMAND,
        verbs=("install-helper",),
        default=False,
        help="Only say what would be done.",
    ),
    Setting(
        name="form",
        flags=("--format",),
        kind=choice(("text", "json")),
        group=COMMAND,
        verbs=_TELLING,
        default="text",
        help="How the answer is written.",
    ),
    Setting(
        name="config",
        flags=("--config",),
        variable="MKFS_CONFIG",
        kind=file(),
        group=COMMAND,
        verbs=(*CONFIGURED, "config path"),
        default_words="~/.config/mkfs/config.toml, else /etc/mkfs/config.toml",
        help="Config file.",
    ),
    Setting(
        name="verbose",
        flags=("-v", "--verbose"),
        kind=COUNT,
        group=COMMAND,
        verbs=(*CONFIGURED, "config path", "umount", "status", "wait", "index show", "install-helper", *_HANDING),
        help="Say more; twice: tracebacks.",
    ),
)
