"""A mount that is in use when its network fails in six ways, each met by a file that nobody read, one half read, one read whole.

What is here is read, always. The rest is an error after the deadline, or comes, where something still comes; and when the network
is back, all of it does. All mounts fail at once, and their readers wait out the real deadlines together.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import pytest
import trio

from mkfs.content.patience import ABSENCE_SECONDS
from mkfs.ranges import ByteRange
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import KIB, MIB
from tests.faults.conftest import drop_cached
from tests.faults.oracle import MEMORY_CAP_BYTES, judge_memory, judge_words, read
from tests.support.doors import OPEN, REFUSING, SILENT, Door, Way, standing_before
from tests.support.kit_parts import content_of
from tests.support.mounting import Mount, Shell

pytestmark = pytest.mark.fuse

# A reader hears of it a minute after the last byte; the try that is under way then may take half a minute more. Whoever waits for
# that twice, as the kernel asks twice, waits too long.
DEADLINE_SECONDS: Final = 110.0
HALF_BYTES: Final = MIB  # the first chunk of two

FLAP: Final = Way(resets_after=100 * KIB)
WAYS: Final[Mapping[str, Way]] = {
    "refuse": REFUSING,
    "blackhole": SILENT,
    "reset": Way(resets_after=300 * KIB),
    "stall": Way(stalls_after=100),
    "1 byte a second": Way(bytes_per_second=1),
    "flap": OPEN,
}
COMES: Final = {"reset", "flap"}  # bit by bit, or now and then: it comes in the end
STATES: Final = ("cold", "half", "warm")


@dataclass(frozen=True)
class Seen:
    """What the reader of one file met while the network failed, and when it was back: the name of an error, or ""."""

    failing: str
    back: str


@pytest.fixture(scope="module")
def kit() -> Kit:
    builder = KitBuilder("network", seed=41)
    for state in STATES:
        builder.part(f"{state}.bin", HALF_BYTES + 100 * KIB, raw=True)
    return builder.docs("README.md", b"# network\n").build()


def original(kit: Kit, state: str) -> bytes:
    body = content_of(kit, f"{state}.bin")
    return body.read(ByteRange(0, body.size_bytes))


@contextmanager
def flapping(door: Door) -> Iterator[None]:
    """Three seconds of every four nobody listens."""
    over = threading.Event()

    def flap() -> None:
        while not over.is_set():
            door.way = REFUSING
            over.wait(3)
            door.way = FLAP
            over.wait(1)

    thread = threading.Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def met(mount: Mount, kit: Kit, state: str) -> str:
    """What the reader of a file meets."""
    reader = Shell(mount.shell.home / state)
    errors = read(reader, mount.place, {f"{state}.bin": original(kit, state)}, deadline_seconds=DEADLINE_SECONDS)
    return errors.get(f"{state}.bin", "")


def read_first_half(mount: Mount, kit: Kit) -> None:
    """And nothing ahead of it."""
    with mount.path("half.bin").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        assert os.pread(file.fileno(), HALF_BYTES, 0) == original(kit, "half")[:HALF_BYTES]


def prepare(mount: Mount, kit: Kit, states: Sequence[str]) -> None:
    """Reads what shall have been read."""
    if "half" in states:
        read_first_half(mount, kit)
    if "warm" in states:
        assert mount.path("warm.bin").read_bytes() == original(kit, "warm")
    drop_cached(mount.place)


def lived_through(name: str, door: Door, shell: Shell, kit: Kit) -> dict[tuple[str, str], Seen]:
    """Two mounts on their way through a network that fails, by the states of their files."""
    found = {}
    reference, known = f"{door.host}/team/network:1", ("--trust-index", "registry", "--prefetch", "none")
    with ExitStack() as stack:
        unknown = stack.enter_context(shell.mounted(reference, place=shell.new_place("unknown")))
        indexed = stack.enter_context(Shell(shell.home / "indexed").mounted(reference, *known))
        mounts = {"cold": unknown, "warm": unknown, "half": indexed}
        prepare(unknown, kit, ("warm",))
        prepare(indexed, kit, ("half",))
        door.way = WAYS[name]
        with ThreadPoolExecutor(len(STATES)) as pool, flapping(door) if name == "flap" else nullcontext():
            waits = {state: pool.submit(met, mount, kit, state) for state, mount in mounts.items()}
            failing = {state: wait.result() for state, wait in waits.items()}
            drop_cached(indexed.place)
            read_first_half(indexed, kit)  # still there
        door.way = OPEN
        trio.run(trio.sleep, ABSENCE_SECONDS)  # for a moment nothing is asked for again
        for state, mount in mounts.items():
            found[name, state] = Seen(failing[state], met(mount, kit, state))
        for mount in (unknown, indexed):
            judge_memory(mount.pid, MEMORY_CAP_BYTES)
            mount.umount()
            judge_words(mount.log_file.read_text("utf-8", "replace"), f"the log of a mount with {name}")
    return found


@pytest.fixture(scope="module")
def seen(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], Seen]:
    """What all readers met, by the way the network failed and the state of their file."""
    registry, root = MemoryRegistry(), tmp_path_factory.mktemp("network")
    registry.push("team/network", "1", kit.manifest, kit.blobs)
    with serve(registry) as server, ExitStack() as stack:
        publisher = Shell(root / "publisher")
        assert publisher.run("index", "push", f"{server.host}/team/network:1").exit_code == 0
        doors = {name: stack.enter_context(standing_before(server.host)) for name in WAYS}
        with ThreadPoolExecutor(len(WAYS)) as pool:
            lives = [
                pool.submit(lived_through, name, door, Shell(root / str(n)), kit) for n, (name, door) in enumerate(doors.items())
            ]
            return {key: each for life in lives for key, each in life.result().items()}


@pytest.mark.fault("N")
@pytest.mark.long
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", WAYS)
def test_network(seen: Mapping[tuple[str, str], Seen], name: str, state: str) -> None:
    each = seen[name, state]
    comes = state == "warm" or name in COMES
    assert (each.failing, each.back) == ("" if comes else "EIO", "")
