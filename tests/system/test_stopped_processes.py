"""A process stops, or dies, in the middle of receiving: another one goes on, and the one that wakes up does no harm.

Processes without FUSE, who lose patience sooner than the product's do; `test_many_processes` has real mounts and the real patience.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from mkfs.cache.store import Cache
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import SeededBody
from mkfs.testing.faults import Fault, Match, Stall
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import KIB, MIB
from tests.support.headless import Headless, headless
from tests.support.kit_parts import layer_at
from tests.support.mounting import wait_for

PATIENCE_SECONDS = 2.0
HELD_BYTES = 300 * KIB
LAP_BYTES = 32 * MIB
LAPS = 2
WEIGHTS = SeededBody(5, 40 * MIB + 77)  # two requests of a whole fetch
CHUNKS = 41
TAIL_BYTES = WEIGHTS.size_bytes - LAP_BYTES  # of the second request
RIGHT = sha256(WEIGHTS.read(ByteRange(0, WEIGHTS.size_bytes))).hexdigest()
OVERTAKEN, YIELDS = "shows no progress for 2.0 s: overtaken", "another process has gone on with"
WAITS = "another process fetches"


@pytest.fixture(scope="module")
def kit() -> Kit:
    return KitBuilder("node", seed=9).raw("weights.bin", WEIGHTS).build()


@dataclass
class Node:
    """A cache, and a registry that counts."""

    root: Path
    registry: MemoryRegistry
    reference: str
    kit: Kit
    stack: ExitStack

    @property
    def layer(self) -> Digest:
        return layer_at(self.kit, "weights.bin").digest

    def start(self, number: int = 1) -> list[Headless]:
        """So many processes that begin to read together: between the first and the last of them nobody loses patience."""
        started = [self.stack.enter_context(headless(self.root, self.reference, PATIENCE_SECONDS)) for _ in range(number)]
        for each in started:
            each.begin()
        return started

    def hold(self, *, held_bytes: int = HELD_BYTES, nth: int = 1) -> Stall:
        """The `nth` request for the layer's first byte from now on stops in the middle of its body."""
        stall = Stall(held_bytes)
        self.registry.faults.install(Fault(Match("GET", digest=self.layer, offset=0, nth=nth), stall, times=1))
        self.stack.callback(stall.release)
        return stall

    def held(self, held_bytes: int = HELD_BYTES, *, requests: int = LAPS) -> tuple[Headless, Stall]:
        """A process that has asked for all that it asks for at first, has received a part, and waits for the rest."""
        stall = self.hold(held_bytes=held_bytes)
        (process,) = self.start()
        assert stall.gate.wait_until_held(timeout_seconds=30)
        wait_for(lambda: len(self.sent()) >= requests)
        return process, stall

    def sent(self) -> list[tuple[int, int]]:
        """Of each request for the layer: where its range begins, and how many bytes were sent."""
        requests = self.registry.requests(self.layer)
        return [(served.range.start, served.sent_bytes) for served in requests if served.range is not None]

    def received_whole_runs(self) -> int:
        """How many runs of the first request are in staging, by the ledger."""
        (ledger,) = (self.root / "staging").glob("*/ledger")
        return ledger.read_bytes()[-CHUNKS:][: LAP_BYTES // MIB].count(b"\1") // 8

    def staged(self) -> list[Path]:
        return list((self.root / "staging").iterdir())


@pytest.fixture
def node(tmp_path: Path, registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> Iterator[Node]:
    registry.push("team/node", "1", kit.manifest, kit.blobs)
    with ExitStack() as stack:
        yield Node(tmp_path / "cache", registry, f"{server.host}/team/node:1", kit, stack)


@contextmanager
def opened(root: Path) -> Iterator[Cache]:
    cache = Cache.open(root, min_free_ratio=0)
    yield cache
    cache.close()


def know(node: Node) -> None:
    """Leaves nothing of the layer but its chunk index."""
    (process,) = node.start()
    assert process.sums()["weights.bin"] == RIGHT
    with opened(node.root) as cache:
        cache.drop(node.layer)
    node.registry.log.clear()


def test_who_stops_is_overtaken_and_wakes_up_to_a_layer_that_is_there(node: Node) -> None:
    victim, stall = node.held()
    (other,) = node.start()
    other.wait_for(WAITS)
    victim.stop()
    stall.release()  # what is on its way comes, as far as the sockets hold it
    other.wait_for(OVERTAKEN)
    assert other.sums()["weights.bin"] == RIGHT
    victim.go_on()
    victim.wait_for(YIELDS)
    assert victim.sums()["weights.bin"] == RIGHT
    part_bytes, lap_bytes = sorted(sent_bytes for start, sent_bytes in node.sent() if start == 0)
    assert part_bytes < lap_bytes == LAP_BYTES  # it has not fetched the rest of what was there
    assert len(node.sent()) == 4
    assert node.staged() == []


def test_who_wakes_up_while_another_one_receives_leaves_it_to_that_one(node: Node) -> None:
    victim, stall = node.held()
    again = node.hold()  # not later: who waits may have lost patience by then
    (other,) = node.start()
    other.wait_for(WAITS)
    victim.stop()
    stall.release()
    assert again.gate.wait_until_held(timeout_seconds=30)
    victim.go_on()
    victim.wait_for(YIELDS)
    again.release()
    assert [process.sums()["weights.bin"] for process in (victim, other)] == [RIGHT, RIGHT]
    assert [start for start, _ in node.sent()].count(0) == 2
    assert node.staged() == []


def test_of_many_who_wait_for_a_stopped_process_one_overtakes_it(node: Node) -> None:
    victim, stall = node.held()
    others = node.start(4)
    for other in others:
        other.wait_for(WAITS)
    victim.stop()
    stall.release()
    assert [other.sums()["weights.bin"] for other in others] == [RIGHT] * 4
    assert [start for start, _ in node.sent()].count(0) == 2
    victim.go_on()
    assert victim.sums()["weights.bin"] == RIGHT
    assert node.staged() == []


def test_who_stops_in_the_middle_of_a_chunk_is_overtaken_and_brings_the_same_bytes_later(node: Node) -> None:
    know(node)
    victim, stall = node.held(requests=1)
    (other,) = node.start()
    other.wait_for(WAITS)
    victim.stop()
    stall.release()
    other.wait_for(OVERTAKEN)
    assert other.sums()["weights.bin"] == RIGHT
    victim.go_on()
    assert victim.sums()["weights.bin"] == RIGHT
    assert sum(sent_bytes for _, sent_bytes in node.sent()) == WEIGHTS.size_bytes + MIB
    assert node.staged() == []
    with opened(node.root) as cache:
        assert cache.verify(lambda _: None).damage == ()


@pytest.mark.parametrize("known", [False, True], ids=["whole", "chunks"])
def test_who_is_killed_leaves_the_turn_to_the_next_at_once(node: Node, *, known: bool) -> None:
    if known:
        know(node)
    victim, _ = node.held(requests=1 if known else LAPS)
    others = node.start(3)
    for other in others:
        other.wait_for(WAITS)
    victim.kill()
    assert [other.sums()["weights.bin"] for other in others] == [RIGHT] * 3
    assert [start for start, _ in node.sent()].count(0) == 2
    with opened(node.root) as cache:
        assert cache.verify(lambda _: None).damage == ()
    assert node.staged() == []


@pytest.mark.parametrize("waiting", [0, 3])
def test_what_a_killed_process_had_received_is_not_fetched_again(node: Node, waiting: int) -> None:
    victim, stall = node.held(20 * MIB)
    others = node.start(waiting)
    for other in others:
        other.wait_for(WAITS)
    while node.received_whole_runs() < 2:
        time.sleep(0.02)  # nobody tells when they are written
    victim.kill()
    stall.release()
    others = others or node.start()
    assert [other.sums()["weights.bin"] for other in others] == [RIGHT] * len(others)
    again_bytes = sum(sent_bytes for _, sent_bytes in node.sent()) - WEIGHTS.size_bytes
    assert again_bytes <= 5 * MIB + TAIL_BYTES  # what is not a whole run of 8 MiB, of each request
    assert node.staged() == []
