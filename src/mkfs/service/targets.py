"""What the tags of a repository lead to, and for how long that is believed. Pure: time is passed in, in seconds of a clock that
never goes back; nothing here asks anybody.

Theory. For each tag there is what its link *shows*, and what the registry said last. Mostly that is the same. It is not where the
tag came to mean an artifact that policy refuses: then the link stays where it was, or leads nowhere if it never led anywhere; and
not where the registry cannot be asked: then the link stays, too, and the registry is left alone for a while. That a tag is not
there is believed as long as anything else.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from msgspec import Struct

from mkfs.errors import FileSystemError
from mkfs.oci.digest import Digest

# After the registry did not answer for a tag that is known: everybody who walks through the link would wait as long again. A
# refusal is believed no longer either: mostly the signature is still being pushed.
RETRY_SECONDS: Final = 10.0
# Tags that are remembered, those that are not there included; some 500 bytes each.
TAGS_LIMIT: Final = 20_000
_WALK_STEPS: Final = 3  # looks in a row that make a walk


@final
class TagState(Struct, frozen=True):
    """One tag, for `status`. `shown` is None where the link leads nowhere; `refused` is what the tag means, where policy refuses
    that, with the `reason`.
    """

    tag: str
    shown: Digest | None
    refused: Digest | None = None
    reason: str = ""


@dataclass(slots=True)
class _Known:
    until: float  # what is known here is believed before that
    shown: Digest | None = None
    refused: Digest | None = None
    reason: str = ""


@final
class Targets:
    """The tags of one mount. Whoever asked passes on what was said, with the time before he asked: it may have changed since."""

    def __init__(self, ttl_seconds: float, limit: int = TAGS_LIMIT) -> None:
        self._ttl_seconds, self._limit = ttl_seconds, limit
        self._known: dict[str, _Known] = {}  # what was heard of last comes last

    def believed(self, tag: str, now: float) -> Digest | None:
        """What the link shows, as far as that is believed; None where the registry has to be asked. Raises as `current`."""
        known = self._known.get(tag)
        return self.current(tag) if known is not None and now < known.until else None

    def current(self, tag: str) -> Digest:
        """What the link shows by the last that was heard, however long ago.

        Raises `FileSystemError`: ENOENT where there is no such tag, EACCES where what it means is refused.
        """
        known = self._known.get(tag)
        if known is None or (known.shown is None and known.refused is None):
            raise FileSystemError(errno.ENOENT, f"there is no tag {tag}")
        if known.shown is None:
            raise FileSystemError(errno.EACCES, f"the tag {tag} means {known.refused}, which is refused: {known.reason}")
        return known.shown

    def knows(self, tag: str) -> bool:
        """Whether anything was heard of the tag."""
        return tag in self._known

    def shown(self, tag: str) -> Digest | None:
        """What the link shows by the last that was heard, if anything."""
        known = self._known.get(tag)
        return None if known is None else known.shown

    def meant(self, tag: str) -> Digest | None:
        """What the registry said last that the tag means, shown or refused."""
        known = self._known.get(tag)
        return None if known is None else known.refused or known.shown

    def seconds_left(self, tag: str, now: float) -> float:
        """How long what `believed` says will do; 0 where somebody has to be asked."""
        known = self._known.get(tag)
        return 0.0 if known is None else max(0.0, known.until - now)

    def means(self, tag: str, digest: Digest, asked_at: float) -> Digest | None:
        """The tag means `digest`, which may be shown. Returns what the link showed before, if that was something else."""
        before = self.shown(tag)
        self._keep(tag, _Known(asked_at + self._ttl_seconds, digest))
        return None if before == digest else before

    def refuses(self, tag: str, digest: Digest, reason: str, asked_at: float) -> bool:
        """The tag means `digest`, which may not be shown. Returns whether that is news."""
        known = self._known.get(tag)
        is_news = known is None or known.refused != digest or known.reason != reason
        self._keep(tag, _Known(asked_at + min(self._ttl_seconds, RETRY_SECONDS), self.shown(tag), digest, reason))
        return is_news

    def vanished(self, tag: str, asked_at: float) -> None:
        """There is no such tag, or none any more."""
        self._keep(tag, _Known(asked_at + self._ttl_seconds))

    def unanswered(self, tag: str, now: float) -> bool:
        """Nobody could say. Returns whether the link shows something all the same, and goes on doing so."""
        known = self._known.get(tag)
        if known is None or known.shown is None:
            return False
        known.until = max(known.until, now + RETRY_SECONDS)
        return True

    def meaning(self, digest: Digest) -> Iterator[str]:
        """The tags whose links show `digest`."""
        return (tag for tag, known in self._known.items() if known.shown == digest)

    def states(self) -> tuple[TagState, ...]:
        """All tags that are there and were asked about, by name."""
        there = ((tag, known) for tag, known in self._known.items() if known.shown is not None or known.refused is not None)
        return tuple(
            TagState(tag, known.shown, known.refused, known.reason) for tag, known in sorted(there, key=lambda each: each[0])
        )

    def _keep(self, tag: str, known: _Known) -> None:
        self._known.pop(tag, None)
        if len(self._known) >= self._limit:
            absent = (each for each, it in self._known.items() if it.shown is None)
            del self._known[next(absent, None) or next(iter(self._known))]
        self._known[tag] = known


@final
class Walk:
    """Whether somebody looks at the links in the order of their list, one after another, as `ls -l` does."""

    def __init__(self, ahead: int) -> None:
        """`ahead`: how many of the next ones are worth asking about at once."""
        self._ahead = ahead
        self._last, self._steps = -1, 0

    def ahead(self, position: int) -> range:
        """The positions to ask about as well, when somebody has to ask about the one at `position`."""
        steps_on = self._last < position <= self._last + self._ahead + 1  # those between were asked about beforehand
        self._last, self._steps = position, self._steps + 1 if steps_on else 1
        return range(position + 1, position + 1 + self._ahead) if self._steps >= _WALK_STEPS else range(0)
