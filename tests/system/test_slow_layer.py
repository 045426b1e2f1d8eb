"""One layer that does not come must not freeze the mount: 200 readers wait for it, everybody else is served."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import KIB, MIB
from tests.support.kit_parts import content_of, layer_at
from tests.support.mounting import Mount, Shell

pytestmark = pytest.mark.fuse

READERS = 200
LENGTH_BYTES = 64 * KIB
SLOW_BYTES = READERS * MIB // 2
STRIDE_BYTES = SLOW_BYTES // READERS
ROOT = Path(__file__).resolve().parents[2]
_ANSWER_SECONDS = 20  # for what should take milliseconds: a mount that is frozen never answers
_POLL_SECONDS = 0.02


@pytest.fixture
def kit() -> Kit:
    builder = KitBuilder("slow", seed=12).model("slow.bin", SLOW_BYTES).part("other.bin", 4 * MIB, raw=True)
    return builder.docs("README.md", b"# not slow\n").build()


@contextmanager
def reading(path: Path) -> Iterator[subprocess.Popen[str]]:
    """The readers, of whom all are about to read."""
    words = [sys.executable, "-m", "tests.support.readers", path, READERS, STRIDE_BYTES, LENGTH_BYTES]
    with subprocess.Popen(list(map(str, words)), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@contextmanager
def releasing(withhold: Withhold) -> Iterator[None]:
    """Lets answers go in the end, whatever happens: whoever waits for one could not even be killed."""
    try:
        yield
    finally:
        withhold.release()


def wait_for_requests(mount: Mount, count: int) -> int:
    """Waits until the kernel has `count` requests waiting at the mount; how many there are."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while (waiting := mount.requests_waiting()) < count and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)  # nobody tells when a request is queued
    return waiting


def test_readers_stuck_on_one_layer_hold_up_nobody_else(
    registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell
) -> None:
    registry.push("team/slow", "1", kit.manifest, kit.blobs)
    slow, content = layer_at(kit, "slow.bin").digest, content_of(kit, "slow.bin")
    with shell.mounted(f"{server.host}/team/slow:1") as mount:
        headers = registry.bytes_sent(slow)
        withhold = Withhold()
        registry.faults.install(Fault(Match(digest=slow), withhold))
        with reading(mount.path("slow.bin")) as readers, releasing(withhold):
            assert wait_for_requests(mount, READERS) >= READERS
            assert withhold.gate.wait_until_held()
            listed = subprocess.run(["ls", "-l", mount.place], capture_output=True, timeout=_ANSWER_SECONDS, check=True).stdout
            assert b"slow.bin" in listed
            words = ["sha256sum", mount.path("README.md"), mount.path("other.bin")]  # one proven by the mount, one not yet fetched
            sums = subprocess.run(words, capture_output=True, timeout=_ANSWER_SECONDS, check=True, text=True).stdout.split()[::2]
            others = [content_of(kit, name) for name in ("README.md", "other.bin")]
            assert sums == [sha256(body.read(ByteRange(0, body.size_bytes))).hexdigest() for body in others]
            assert mount.requests_waiting() >= READERS  # all of them still wait
            withhold.release()
            answers = dict(line.split() for line in readers.communicate(timeout=_ANSWER_SECONDS)[0].splitlines())
    starts = [number * STRIDE_BYTES for number in range(READERS)]
    right = [sha256(content.read(ByteRange(start, start + LENGTH_BYTES))).hexdigest() for start in starts]
    assert answers == {str(number): answer for number, answer in enumerate(right)}
    assert registry.bytes_sent(slow) - headers == layer_at(kit, "slow.bin").body.size_bytes


def test_a_reader_that_waits_can_be_killed(registry: MemoryRegistry, server: RegistryServer, kit: Kit, shell: Shell) -> None:
    registry.push("team/slow", "1", kit.manifest, kit.blobs)
    with shell.mounted(f"{server.host}/team/slow:1") as mount:
        withhold = Withhold()
        registry.faults.install(Fault(Match(digest=layer_at(kit, "slow.bin").digest), withhold))
        with subprocess.Popen(["cat", mount.path("slow.bin")], stdout=subprocess.DEVNULL) as reader:
            assert withhold.gate.wait_until_held()
            reader.terminate()
            assert reader.wait(_ANSWER_SECONDS) < 0
        withhold.release()
        assert mount.path("slow.bin").stat().st_size == SLOW_BYTES
        with mount.path("slow.bin").open("rb") as file:
            assert os.pread(file.fileno(), 10, 3 * MIB) == content_of(kit, "slow.bin").read(ByteRange(3 * MIB, 3 * MIB + 10))
