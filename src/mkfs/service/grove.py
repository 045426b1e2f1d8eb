"""What a repository shows, asked of its registry: what tags mean, and the artifacts that somebody goes into.

Theory. Each kind of question is one flight per tag or digest, so a thousand readers cost the registry what one does. A flight runs
in the engine's nursery: whoever gives up, or the end of the mount, takes nothing from others. All waiting has an end, as the kernel
lets nobody interrupt a look-up that we have begun to answer.

A tag costs a HEAD each `--tag-ttl`; whoever walks along the list of tags has the next ones asked about, too. Where policy requires
something, an artifact is judged before a link leads to it. Then only the digest counts: an artifact of a repository's mount is
always opened by its digest, so the registry's word about a chunk index (`--trust-index registry`) is not taken.

Artifacts stay planted for the mount's life, as a reader may come back to any inode he was given; `ARTIFACTS_LIMIT` bounds that.

Atomic between checkpoints: `_open` plants a tree, has its layers watched and adds its artifact in one step.
"""

import copy
import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, final

import trio

from mkfs.content.artifact import Artifact, LayerKey, open_artifact
from mkfs.content.describing import describe
from mkfs.content.flights import Flights
from mkfs.content.layer import Layer
from mkfs.content.source import Source
from mkfs.errors import Closing, FileSystemError, IntegrityError, MkfsError, NotFound, Unreachable, Unsupported
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.proven import prove
from mkfs.registry.layout import AnyRepository
from mkfs.service.failures import sole
from mkfs.service.opening import Means
from mkfs.service.targets import RETRY_SECONDS, TagState, Targets, Walk
from mkfs.vfs.forest import Forest, Planted

log = logging.getLogger(__name__)

CONCURRENCY: Final = 8  # HEADs at once: they cost a registry little, but a thousand links may be looked at together
# For one answer about a tag, its place in the queue included: what a registry that says nothing takes to be given up.
ANSWER_SECONDS: Final = 30.0
# The same where the link shows something already: then that is better than waiting.
KNOWN_SECONDS: Final = 5.0
# Open at once, for the mount's life. A small one takes some 100 KiB; each TB of layers that are read by chunks 32 MiB more.
ARTIFACTS_LIMIT: Final = 1000


@final
class RepositoryGrove:
    """Implements `vfs.top.Grove`. `artifacts` are those that were opened, in that order; more come and none goes."""

    def __init__(self, means: Means, forest: Forest, ttl_seconds: float, wait_seconds: float) -> None:
        """`ttl_seconds`: how long a tag is believed; 0: it is asked each time. `wait_seconds`: what a kernel request waits for an
        artifact at most; the artifact is opened all the same, for whoever asks next.
        """
        self.artifacts: list[Artifact] = []
        self.on_opened: Callable[[Artifact, Planted], None] = lambda _artifact, _planted: None
        self._means, self._forest, self._wait_seconds = means, forest, wait_seconds
        self._targets, self._ttl_seconds = Targets(ttl_seconds), ttl_seconds
        self._listed: tuple[str, ...] | None = None
        self._positions: dict[str, int] = {}  # in that list
        self._walk = Walk(CONCURRENCY - 1)
        self._listed_until = 0.0
        self._remembered: dict[str, Digest] = {}  # what the cache knows tags to mean
        self._layers: dict[LayerKey, Layer] = {}
        self._asking: Flights[str, None] = Flights(means.engine.nursery)
        self._listing: Flights[None, None] = Flights(means.engine.nursery)
        self._opening: dict[Digest, _Opening] = {}
        self._limiter = trio.CapacityLimiter(CONCURRENCY)
        rule = means.terms.policy.rule_for(means.reference)
        self._judges = rule.require_index or rule.verify_signature

    # --- tags

    def target_now(self, tag: str) -> Digest | None:
        """See `Grove`."""
        return self._targets.believed(tag, trio.current_time())

    async def target(self, tag: str) -> Digest:
        """See `Grove`. Raises `Unreachable`, `NotAuthorised`, … where the registry does not say and the link shows nothing yet."""
        self._ask_ahead(tag)
        await self._asking.join(tag, partial(self._ask, tag))
        return self._targets.current(tag)

    def _ask_ahead(self, tag: str) -> None:
        """Asks about the next tags of the list as well where somebody goes through it: else a thousand links are a thousand round
        trips, one after another.
        """
        if self._listed is None or tag not in self._positions or not self._ttl_seconds:
            return
        now = trio.current_time()
        for position in self._walk.ahead(self._positions[tag]):
            following = self._listed[position] if position < len(self._listed) else tag
            if following != tag and not self._targets.seconds_left(following, now):
                self._means.engine.nursery.start_soon(self._expect, following)

    async def _expect(self, tag: str) -> None:
        try:
            await self._asking.join(tag, partial(self._ask, tag))
        except MkfsError as error:  # whoever looks at it asks again
            log.debug("what the tag %s means is not known yet: %s", tag, error)

    def believed_seconds(self, tag: str) -> float:
        """See `Grove`. A tag that was only listed is believed to be there as long as the list."""
        now = trio.current_time()
        if self._targets.knows(tag) or tag not in self._positions:
            return self._targets.seconds_left(tag, now)
        return max(0.0, self._listed_until - now)

    async def tags(self) -> Sequence[str]:
        """See `Grove`. Without a registry those that somebody looked at; while it is gone, what it said last."""
        if self._means.repository is None:
            return [state.tag for state in self._targets.states()]
        if self._listed is None or trio.current_time() >= self._listed_until:
            await self._listing.join(None, partial(self._list, self._means.repository))
        return self._listed or ()

    def states(self) -> tuple[TagState, ...]:
        """The tags that somebody looked at, for `status`."""
        return self._targets.states()

    async def _ask(self, tag: str) -> None:
        """Asks what `tag` means. Returns when that is known, or what was known will do."""
        asked_at, shown = trio.current_time(), self._targets.shown(tag)
        try:
            with _within(ANSWER_SECONDS if shown is None else KNOWN_SECONDS, f"tag {tag}"):
                async with self._limiter:
                    digest = await self._meaning(tag)
            refusal = await self._refusal(digest) if digest != shown and self._judges else ""
        except NotFound:
            self._targets.vanished(tag, asked_at)
        except MkfsError as error:
            if not self._targets.unanswered(tag, trio.current_time()):
                raise
            log.warning("what the tag %s means is not known just now, it stays at %s: %s", tag, shown, error)
        else:
            if self._targets.meant(tag) not in (None, digest):
                self._means.client.tag_moved()
            if not refusal:
                await self._accept(tag, digest, asked_at)
            elif self._targets.refuses(tag, digest, refusal, asked_at):
                stays = "leads nowhere" if shown is None else f"stays at {shown}"
                log.warning("the tag %s means %s now, which is refused, and %s: %s", tag, digest, stays, refusal)

    async def _accept(self, tag: str, digest: Digest, asked_at: float) -> None:
        before = self._targets.means(tag, digest, asked_at)
        if before is not None:
            log.info("the tag %s means %s now, and no longer %s", tag, digest, before)
        await self._remember(tag, digest)

    async def _meaning(self, tag: str) -> Digest:
        reference, engine = replace(self._means.reference, tag=tag), self._means.engine
        if self._means.repository is not None:
            return await self._means.repository.digest_of(reference)
        recalled = await engine.on_disk(engine.cache.resolutions.recall, reference)
        if recalled is None:
            raise NotFound(f"offline, and the cache does not know the tag {tag}", str(self._means.reference))
        return recalled.digest

    async def _refusal(self, digest: Digest) -> str:
        """Why policy does not take the artifact, or why nobody can make anything of it; "" where it may be shown."""
        means = self._means
        try:
            with _within(ANSWER_SECONDS, f"what vouches for {digest}"):
                await describe(means.engine, means.repository, self._by_digest(digest), means.terms)
        except (IntegrityError, Unsupported, NotFound) as error:
            if _is_damage(error):
                raise
            return error.what
        return ""

    async def _list(self, repository: AnyRepository) -> None:
        asked_at = trio.current_time()
        try:
            with _within(ANSWER_SECONDS if self._listed is None else KNOWN_SECONDS, "the list of tags"):
                self._listed = await repository.tags()
            self._positions = {tag: position for position, tag in enumerate(self._listed)}
            self._listed_until = asked_at + self._ttl_seconds
        except MkfsError as error:
            if self._listed is None:
                raise
            self._listed_until = trio.current_time() + RETRY_SECONDS
            log.warning("the tags of %s are not known just now, they stay what they were: %s", self._means.reference, error)

    async def _remember(self, tag: str, digest: Digest) -> None:
        """Has the cache know what the tag means, for a time without the registry, once its manifest is there. Once: a link may be
        looked at many times a second.
        """
        engine = self._means.engine
        if self._remembered.get(tag) == digest:
            return
        recalled = await engine.on_disk(engine.cache.resolutions.recall, self._by_digest(digest))
        if recalled is None or self._means.repository is None:
            return
        proven = prove(Descriptor(recalled.media_type, digest, len(recalled.data)), recalled.data)
        reference = replace(self._means.reference, tag=tag)
        await engine.on_disk(engine.cache.resolutions.remember, reference, proven, recalled.media_type, time.time())
        self._remembered[tag] = digest

    # --- artifacts

    async def plant(self, digest: Digest, number: int) -> None:
        """See `Grove`. Raises `Unreachable` after `wait_seconds`."""
        if self._forest.is_planted(number):
            return
        opening = self._opening.get(digest)
        if opening is None:
            opening = _Opening()
            self._means.engine.nursery.start_soon(self._open, digest, number, opening)
            self._opening[digest] = opening
        with _within(self._wait_seconds, str(digest), "it is being opened all the same: try again"):
            await opening.done.wait()
        if opening.error is not None:
            raise copy.copy(opening.error) from opening.error

    async def _open(self, digest: Digest, number: int, opening: "_Opening") -> None:
        """Not a flight: what takes longer than anybody can wait goes on without them."""
        try:
            artifact = await self._opened(digest)
            planted = self._forest.plant(artifact.tree, artifact.layers, digest, number)
            self.artifacts.append(artifact)
            self.on_opened(artifact, planted)
            opening.error = None
        except Exception as error:  # noqa: BLE001 - handed to those who wait
            opening.error = sole(error) or error
            return
        finally:
            del self._opening[digest]
            opening.done.set()
        log.info("%s is shown: %d files and directories", digest, len(artifact.tree))
        for notice in artifact.notices:
            log.info("%s", notice)
        for tag in tuple(self._targets.meaning(digest)):
            await self._remember(tag, digest)

    async def _opened(self, digest: Digest) -> Artifact:
        if len(self.artifacts) >= ARTIFACTS_LIMIT:
            what = f"this mount shows {ARTIFACTS_LIMIT} artifacts already, and no more"
            log.warning("%s: %s is not opened; mount the repository again to begin anew", what, digest)
            raise FileSystemError(errno.ENFILE, what)
        means, reference = self._means, self._by_digest(digest)
        try:
            return await open_artifact(means.engine, means.repository, reference, means.terms, shared=self._layers)
        except NotFound as error:
            if await self._has(digest):  # a part of it is missing: that is no absence
                raise
            log.info("there is no %s: %s", digest, error)
            raise FileSystemError(errno.ENOENT, f"there is no {digest}") from error
        except IntegrityError as error:
            if _is_damage(error):
                raise
            log.warning("%s is refused: %s", digest, "; ".join(error.lines()))
            raise FileSystemError(errno.EACCES, f"{digest} is refused: {error.what}") from error

    async def _has(self, digest: Digest) -> bool:
        """Whether the manifest is there, whatever else is not."""
        try:
            await Source(self._means.engine, self._means.repository, self._by_digest(digest)).resolve()
        except NotFound:
            return False
        except MkfsError:
            pass
        return True

    def _by_digest(self, digest: Digest) -> Reference:
        return replace(self._means.reference, digest=digest)

    def close(self) -> None:
        """Lets go of the cache's files, those of artifacts that could not be opened included."""
        for artifact in self.artifacts:
            artifact.close()
        for layer in self._layers.values():
            layer.close()


@dataclass(slots=True, eq=False)
class _Opening:
    """An artifact on its way."""

    done: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = field(default_factory=lambda: Closing("the mount is closing"))  # until the work says otherwise


def _is_damage(error: MkfsError) -> bool:
    """Whether bytes are wrong, and nobody judged anything: policy's word is an `IntegrityError`, what digests say are its kinds."""
    return isinstance(error, IntegrityError) and type(error) is not IntegrityError


@contextmanager
def _within(seconds: float, where: str, hint: str = "") -> Iterator[None]:
    """Raises `Unreachable` where the block takes longer."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise Unreachable(f"no answer within {seconds:g} s", where, hint)
