"""A cache that two daemons share, against a dictionary, with everything that can happen to it in any order.

The dictionary has the layers' bytes and what was kept and granted. What happens: layers are published, read whole and chunk by
chunk, mended, evicted, verified, pruned, cleared; the disk refuses calls; files are damaged; pages are dropped; a daemon is killed
in the middle of anything and another started; clocks jump. An answer is right, or there is none, and only our own errors come out.

`EXAMPLES=5000 pytest tests/property/test_cache.py` looks longer. A failure is shown as it was found, as shrinking it takes minutes.
"""

import errno
import gc
import logging
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from mkfs.cache.files import Buffer
from mkfs.cache.partial import Missing, PartialLayer
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged, StoredLayer
from mkfs.errors import CacheUnusable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.proven import prove
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB
from tests.cache.material import MIXED, Material, drop_pages, flip, names, raw
from tests.cache.test_evict import occupied

LAYERS = {"mixed": MIXED, "two chunks": raw(MIB + 5, seed=9), "small": raw(3000, seed=10)}
LIMIT_BYTES = 5 * MIB  # of the second daemon, so that it has to evict
DOCUMENTS = (b"{}", b'{"schemaVersion": 2}')
REPOSITORIES = ("team/a", "team/b")
CHANGES = ("open", "mkdir", "rename", "unlink", "rmdir", "pwrite", "posix_fallocate", "ftruncate")
LOOKS = ("stat", "fstat", "preadv", "pread", "read", "listdir", "utime")
CODES = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
YEARS_SECONDS = 5 * 365 * 86400


class Killed(BaseException):
    """SIGKILL: no call of the daemon reaches the kernel any more."""


Trouble = Callable[[str], None]  # told each call's name before it is made; raises what becomes of it


def refuses(name: str, code: int) -> Trouble:
    def strike(called: str) -> None:
        if called == name:
            raise OSError(code, os.strerror(code))

    return strike


def kills_at(number: int) -> Trouble:
    left = number

    def strike(_called: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    return strike


@contextmanager
def troubled(trouble: Trouble | None) -> Iterator[None]:
    """The calls that change or read files go through `trouble`, for the length of the block."""
    real = {name: getattr(os, name) for name in (*CHANGES, *LOOKS)}

    def through(name: str) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            if trouble is not None:
                trouble(name)
            return real[name](*arguments, **keywords)

        return call

    for name in real if trouble else ():
        setattr(os, name, through(name))
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def close_all(error: BaseException | None) -> None:
    """Lets go of what the frames of `error` hold open, as the kernel would."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


class Daemon:
    """One process: the cache as it has it open, and the layers it reads."""

    def __init__(self, root: Path, size_limit_bytes: int | None) -> None:
        self.cache = Cache.open(root, min_free_ratio=0, size_limit_bytes=size_limit_bytes)
        self.held: dict[str, StoredLayer | PartialLayer] = {}

    def hold(self, name: str, layer: StoredLayer | PartialLayer | None) -> None:
        old = self.held.pop(name, None)
        if old is not None and old is not layer:
            old.close()
        if layer is not None:
            self.held[name] = layer


KINDS = (("layers", "partial"), ("layers", "partial"), ("indexes", "documents", "grants", "resolutions", "locks"))
HARMS = ("flip", "flip", "cut", "zeros", "delete", "longer")

daemons = st.integers(0, 1)
lengths = st.sampled_from([1, 5000, 300 * KIB, 9 * MIB])
layers = st.sampled_from(sorted(LAYERS))
codes = st.sampled_from(CODES)
troubles = st.one_of(
    st.none(),
    st.builds(refuses, st.sampled_from(CHANGES), codes),
    st.builds(refuses, st.sampled_from((*CHANGES, *LOOKS)), codes),
    st.builds(kills_at, st.integers(0, 60)),
)


class SharedCache(RuleBasedStateMachine):
    @initialize(there=st.sets(layers))
    def begin(self, there: set[str]) -> None:
        logging.disable(logging.CRITICAL)  # pytest would keep what is logged, and with it what errors hold open
        self.directory = Path(tempfile.mkdtemp(prefix="cache-machine-"))
        self.root = self.directory / "cache"
        self.documents: set[bytes] = set()
        self.granted: set[tuple[str, Digest]] = set()
        self.daemons = [Daemon(self.root, None), Daemon(self.root, LIMIT_BYTES)]
        for layer in sorted(there):
            LAYERS[layer].publish(self.daemons[0].cache).close()

    def do(self, at: int, work: Callable[[Daemon], None], trouble: Trouble | None) -> None:
        """Daemon `at` does something; where it is killed, another one is started in its place."""
        try:
            with troubled(trouble), suppress(CacheUnusable, Damaged, Missing):
                work(self.daemons[at])
        except Killed as killed:
            close_all(killed)
            self.start(at)

    def start(self, at: int) -> None:
        self.daemons[at].held.clear()
        self.daemons[at] = Daemon(self.root, LIMIT_BYTES if at else None)
        gc.collect()

    # --- what daemons do

    @rule(at=daemons, layer=layers, trouble=troubles)
    def publish(self, at: int, layer: str, trouble: Trouble | None) -> None:
        self.do(at, lambda daemon: daemon.hold(layer, LAYERS[layer].publish(daemon.cache)), trouble)

    @rule(at=daemons, layer=layers, trouble=troubles)
    def find(self, at: int, layer: str, trouble: Trouble | None) -> None:
        self.do(at, lambda daemon: daemon.hold(layer, daemon.cache.layer(LAYERS[layer].digest)), trouble)

    @rule(at=daemons, layer=layers, trouble=troubles)
    def find_chunks(self, at: int, layer: str, trouble: Trouble | None) -> None:
        self.do(at, lambda daemon: daemon.hold(layer, daemon.cache.partial(LAYERS[layer].index)), trouble)

    @rule(at=daemons, layer=layers, numbers=st.sets(st.integers(0, 9), min_size=1), trouble=troubles)
    def put(self, at: int, layer: str, numbers: set[int], trouble: Trouble | None) -> None:
        def work(daemon: Daemon) -> None:
            held, material = daemon.held.get(layer), LAYERS[layer]
            if not isinstance(held, PartialLayer):
                held = daemon.cache.partial(material.index)
                daemon.hold(layer, held)
            for number in {number % material.grid.count for number in numbers}:
                held.put(number, material.chunk(number))

        self.do(at, work, trouble)

    @rule(at=daemons, layer=layers, where=st.floats(0, 1), length=lengths, hot=st.booleans(), trouble=troubles)
    def read(self, at: int, layer: str, where: float, length: int, hot: bool, trouble: Trouble | None) -> None:
        """As a mount does: what is published, else chunk by chunk. `hot`: what is in private memory may answer."""
        material = LAYERS[layer]
        start = int(where * (len(material.content) - 1))
        wanted = ByteRange(start, min(start + length, len(material.content)))

        def work(daemon: Daemon) -> None:
            held = daemon.held.get(layer) or daemon.cache.layer(material.digest) or daemon.cache.partial(material.index)
            daemon.hold(layer, held)
            if not hot:
                daemon.cache._shared.hot.clear()
            self.right(material, wanted, held.read_now(wanted))
            for _ in range(material.grid.count):
                try:
                    self.right(material, wanted, held.read(wanted))
                    return
                except Damaged as error:
                    if isinstance(held, StoredLayer):
                        daemon.cache.mend(held, error.number)
                        held = daemon.cache.partial(material.index)
                        daemon.hold(layer, held)
                except Missing as error:
                    for number in error.numbers:
                        held.put(number, material.chunk(number))

        self.do(at, work, trouble)

    def right(self, layer: Material, wanted: ByteRange, answer: Buffer | None) -> None:
        assert answer is None or layer.is_right(wanted, answer), f"wrong bytes {wanted}"

    @rule(at=daemons, data=st.sampled_from(DOCUMENTS), trouble=troubles)
    def document(self, at: int, data: bytes, trouble: Trouble | None) -> None:
        blob = Descriptor("application/json", Digest.of(data), len(data))

        def work(daemon: Daemon) -> None:
            kept = daemon.cache.document(blob)
            assert kept is None or (kept.data == data and data in self.documents)
            self.documents.add(data)
            daemon.cache.keep_document(prove(blob, data))

        self.do(at, work, trouble)

    @rule(at=daemons, repository=st.sampled_from(REPOSITORIES), layer=layers, earns=st.booleans(), trouble=troubles)
    def grant(self, at: int, repository: str, layer: str, earns: bool, trouble: Trouble | None) -> None:
        digest = LAYERS[layer].digest

        def work(daemon: Daemon) -> None:
            if earns:
                self.granted.add((repository, digest))
                daemon.cache.grants.grant("registry.test", repository, digest)
            elif daemon.cache.grants.granted("registry.test", repository, digest):
                assert (repository, digest) in self.granted

        self.do(at, work, trouble)

    @rule(at=daemons, what=st.sampled_from(["verify", "prune", "clear", "usage"]), trouble=troubles)
    def care(self, at: int, what: str, trouble: Trouble | None) -> None:
        arguments = [lambda _size_bytes: None] if what == "verify" else []
        self.do(at, lambda daemon: getattr(daemon.cache, what)(*arguments), trouble)

    @rule(at=daemons)
    def restart(self, at: int) -> None:
        self.start(at)

    # --- what happens to them

    @rule(at=daemons)
    def forget(self, at: int) -> None:
        self.daemons[at].cache._shared.hot.clear()

    def files(self, *kinds: str) -> list[Path]:
        found = [path for kind in kinds for path in (self.root / kind).rglob("*")]
        return sorted(path for path in found if path.is_file())

    @rule()
    def lose_pages(self) -> None:
        for directory in {path.parent for path in self.files("layers", "partial")}:
            drop_pages(directory)

    @rule(kinds=st.sampled_from(KINDS), which=st.floats(0, 0.999), how=st.sampled_from(HARMS), where=st.floats(0, 0.999))
    def damage(self, kinds: tuple[str, ...], which: float, how: str, where: float) -> None:
        """As a disk does: what the page cache knew is gone. Somebody who writes through it is outside the promise."""
        files = self.files(*kinds)
        if not files:
            return
        path = files[int(which * len(files))]
        size_bytes = path.stat().st_size
        at = int(where * size_bytes)
        drop_pages(path.parent)
        match how:
            case "flip" if size_bytes:
                flip(path, at)
            case "cut":
                os.truncate(path, at)
            case "zeros":
                os.truncate(path, at)
                os.truncate(path, size_bytes)
            case "longer":
                os.truncate(path, size_bytes + 1 + at)
            case "delete":
                path.unlink()
        drop_pages(path.parent)

    @rule(seconds=st.integers(-YEARS_SECONDS, YEARS_SECONDS), layer=layers)
    def jump_clock(self, seconds: int, layer: str) -> None:
        """What was written while the clock was wrong has times of then."""
        for kind in ("layers", "partial", "indexes"):
            with suppress(FileNotFoundError):
                place = LAYERS[layer].directory(self.root, kind)
                os.utime(place, (place.stat().st_mtime + seconds,) * 2)

    # --- in the end

    def teardown(self) -> None:
        """A daemon that comes later makes everything right, and leaves nothing over."""
        for daemon in self.daemons:
            for layer in list(daemon.held):
                daemon.hold(layer, None)
        gc.collect()
        cache = Cache.open(self.root, min_free_ratio=0)
        for layer in LAYERS.values():
            partial = cache.partial(layer.index)
            for number in range(layer.grid.count):
                try:
                    self.right(layer, layer.grid.chunk_range(number), partial.read(layer.grid.chunk_range(number)))
                except (Missing, Damaged):
                    partial.put(number, layer.chunk(number))
            assert layer.is_right(layer.whole, partial.read(layer.whole))
            partial.close()
            layer.publish(cache).close()
        cache.verify(lambda _size_bytes: None)
        cache.prune()
        assert cache.verify(lambda _size_bytes: None).damage == ()
        assert names(self.root / "staging") == []
        assert cache.usage().total.size_bytes == occupied(self.root)
        shutil.rmtree(self.directory)
        logging.disable(logging.NOTSET)


@pytest.fixture
def young() -> Iterator[None]:
    """Looking for garbage looks at what the test made alone: else each dead daemon costs a walk through all that Python holds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_in_every_order_of_events_an_answer_is_right_or_there_is_none(young: None) -> None:
    run_state_machine_as_test(
        SharedCache,
        settings=settings(
            max_examples=int(os.environ.get("EXAMPLES", "40")),
            stateful_step_count=40,
            phases=(Phase.generate,),
            derandomize="EXAMPLES" not in os.environ,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
