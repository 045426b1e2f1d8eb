"""How much is asked for at once: each host has its own share, and one that hangs takes nobody else's."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.registry.settings import HostsSettings
from mkfs.registry.slots import HOST_SLOTS, SLOTS, Slots
from mkfs.registry.urls import Origin
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from tests.support.interrupting import MOST_STEPS, interrupted
from tests.support.little_model import DATA

ONE, OTHER, THIRD = (Origin.of("https", f"{name}.test") for name in ("one", "other", "third"))
HANG_SECONDS = 20  # of real time


async def test_a_host_gets_as_many_as_it_may_and_takes_none_of_another(autojump_clock: MockClock) -> None:
    slots = Slots(host_slots=3, slots=5)
    most: Counter[Origin] = Counter()
    held: Counter[Origin] = Counter()

    async def use(origin: Origin) -> None:
        async with slots.one(origin):
            held[origin] += 1
            most[origin] = max(most[origin], held[origin])
            assert held.total() <= slots.taken <= 5  # more while a slot goes from one to the next
            await trio.sleep(1)
            held[origin] -= 1

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(9):
            nursery.start_soon(use, ONE)
        await trio.testing.wait_all_tasks_blocked()
        assert (held, slots.waits) == ({ONE: 3}, 6)
        for _ in range(2):
            nursery.start_soon(use, OTHER)
        await trio.testing.wait_all_tasks_blocked()
        assert (held, slots.waits) == ({ONE: 3, OTHER: 2}, 6)
        nursery.start_soon(use, THIRD)
        await trio.testing.wait_all_tasks_blocked()
        assert (held[THIRD], slots.waits) == (0, 7)
    assert most == {ONE: 3, OTHER: 2, THIRD: 1}
    assert trio.current_time() - start == 3
    assert (slots.taken, slots._hosts) == (0, {})


async def test_who_waits_may_be_cancelled_at_any_await() -> None:
    slots = Slots(host_slots=2, slots=3)

    async def use() -> None:
        for origin in (ONE, OTHER):
            async with slots.one(origin):
                await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()

    for step in range(1, MOST_STEPS):
        through = await interrupted(use, tasks=7, at_step=step)
        assert (slots.taken, slots._hosts) == (0, {})
        if through == 7:
            break
    assert 4 < step < MOST_STEPS - 1


async def read(repository: Repository, blob: Descriptor) -> str:
    wanted = ByteRange(1000, 70_000)
    async with repository.open_range(blob, wanted) as stream:
        assert b"".join([piece async for piece in stream]) == DATA[1000:70_000]
        return stream.host


@pytest.mark.parametrize("bulk_bytes", [1 << 40, 1], ids=["pool", "lane"])
async def test_a_mirror_that_hangs_takes_no_slot_of_the_registry(
    registry: MemoryRegistry, blob: Descriptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bulk_bytes: int
) -> None:
    """By real connections, of the pool that both hosts share and of the lane."""
    monkeypatch.setattr("mkfs.registry.pool.BULK_BYTES", bulk_bytes)
    mirror, stalled = MemoryRegistry(), faults.Stall(1000)
    mirror.repositories = registry.repositories
    mirror.faults.install(Fault(Match(path="/blobs/"), stalled))
    with serve(registry) as server, serve(mirror) as before, trio.fail_after(HANG_SECONDS):
        directory = tmp_path / f"localhost:{server.port}"
        directory.mkdir()
        (directory / "hosts.toml").write_text(f'[host."http://localhost:{before.port}"]\n')
        reference = Reference.parse(f"localhost:{server.port}/team/model:7b")
        mirrored = ClientSettings(hosts=HostsSettings((str(tmp_path),)))
        async with RegistryClient(mirrored, Credentials.anonymous()) as client, trio.open_nursery() as nursery:
            repository = client.repository(reference)
            for _ in range(2 * HOST_SLOTS):
                nursery.start_soon(read, repository, blob)
            assert await trio.to_thread.run_sync(lambda: stalled.gate.wait_until_held(HOST_SLOTS))
            assert (client.statistics().answers, client.statistics().slot_waits) == (HOST_SLOTS, HOST_SLOTS)
            own = repository._endpoints.registry
            async with trio.open_nursery() as others:
                for _ in range(HOST_SLOTS):
                    others.start_soon(own.blobs.check, blob)
            wanted = ByteRange(5, 50_005)
            async with own.blobs.open_range(blob, wanted, fresh=False) as stream:
                assert b"".join([piece async for piece in stream]) == DATA[5:50_005]
            assert client.statistics().answers == HOST_SLOTS
            assert len(mirror.log) == HOST_SLOTS
            nursery.cancel_scope.cancel()


async def test_a_storage_host_that_hangs_takes_none_either(
    registry: MemoryRegistry,
    storage: MemoryRegistry,
    client: Callable[..., RegistryClient],
    reference: Reference,
    blob: Descriptor,
    autojump_clock: MockClock,
) -> None:
    registry.faults.install(Fault(Match(path="/blobs/"), faults.Redirect("https://storage.test/storage/{digest}")))
    storage.faults.install(Fault(Match(), faults.Withhold()))
    asking = client()
    repository = asking.repository(reference)
    async with trio.open_nursery() as nursery:
        for _ in range(SLOTS):
            nursery.start_soon(read, repository, blob)
        await trio.sleep(1)
        assert (asking.statistics().answers, len(storage.log)) == (HOST_SLOTS, HOST_SLOTS)
        assert (await repository.resolve(reference)).digest
        nursery.cancel_scope.cancel()
    assert asking.statistics().answers == 0
