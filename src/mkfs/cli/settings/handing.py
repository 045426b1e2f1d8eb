"""The rows of a mount that is made for another process."""

import re
from typing import Final

from mkfs.cli.settings.kinds import FLAG, TEXT, Kind, Parsed
from mkfs.cli.settings.setting import OWNERSHIP, Setting
from mkfs.errors import UsageError

_MOUNTING: Final = ("handover exec", "handover offer")
_USER: Final = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?", re.ASCII)


def parse_user(text: str) -> tuple[int, int]:
    """`UID[:GID]` as two numbers, the second the first where it is missing. Raises `UsageError`."""
    found = _USER.fullmatch(text)
    if found is None:
        raise UsageError(f"no user: {text!r} (expected UID or UID:GID, in numbers)")
    return int(found[1]), int(found[2] or found[1])


HANDOVER_ROWS: Final = (
    Setting(
        name="user",
        flags=("--user",),
        kind=Kind(word="user", type=Parsed("user", parse_user), metavar="UID[:GID]"),
        group=OWNERSHIP,
        verbs=_MOUNTING,
        is_required=True,
        help="Who serves the mount, in numbers; GID as UID where it is left out.",
    ),
    Setting(
        name="others",
        flags=("--allow-other/--no-allow-other",),
        kind=FLAG,
        group=OWNERSHIP,
        verbs=_MOUNTING,
        default=True,
        help="Let all users read, not only UID.",
    ),
    Setting(
        name="name",
        flags=("--name",),
        kind=TEXT,
        group=OWNERSHIP,
        verbs=_MOUNTING,
        default="kitfs",
        help="What mount(8) shows as the device: the reference.",
    ),
)
