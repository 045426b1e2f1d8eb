"""What only the transport without sockets has: time that jumps, hosts by name, errors of the real transport."""

import httpx2
import pytest
import trio
import trio.testing

from mkfs.testing import faults, planted
from mkfs.testing.access import Basic
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from tests.support.little_model import BLOB, BLOB_PATH, DATA

URL = f"http://registry.test{BLOB_PATH}"


async def read(client: httpx2.AsyncClient, url: str = URL, **asked) -> bytes:
    async with client.stream("GET", url, **asked) as response:
        response.raise_for_status()
        return b"".join([piece async for piece in response.aiter_raw()])


async def test_a_stalled_answer_goes_on_where_it_stopped(registry: MemoryRegistry) -> None:
    stall = faults.Stall(after_bytes=1000)
    registry.faults.install(Fault(Match(nth=1), stall, times=1))
    async with httpx2.AsyncClient(transport=MemoryTransport(registry), timeout=None) as client, trio.open_nursery() as nursery:

        async def late() -> None:
            assert await read(client) == DATA

        nursery.start_soon(late)
        await trio.testing.wait_all_tasks_blocked()
        assert (registry.bytes_sent(BLOB), stall.gate.waiting) == (1000, 1)
        assert await read(client) == DATA
        stall.release()


async def test_a_gate_may_be_opened_by_another_thread(registry: MemoryRegistry) -> None:
    withhold = faults.Withhold()
    registry.faults.install(Fault(Match(), withhold))
    async with httpx2.AsyncClient(transport=MemoryTransport(registry), timeout=None) as client, trio.open_nursery() as nursery:
        nursery.start_soon(read, client)
        await trio.testing.wait_all_tasks_blocked()
        assert withhold.gate.waiting == 1
        await trio.to_thread.run_sync(withhold.release)


async def test_a_reader_that_is_cancelled_leaves_the_gate(registry: MemoryRegistry) -> None:
    withhold = faults.Withhold()
    registry.faults.install(Fault(Match(), withhold))
    async with httpx2.AsyncClient(transport=MemoryTransport(registry), timeout=None) as client, trio.open_nursery() as nursery:
        nursery.start_soon(read, client)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert withhold.gate.waiting == 0


@pytest.mark.parametrize(
    "action", [faults.Stall(), faults.Withhold(), faults.Delay(31), faults.Slow(0.01)], ids=lambda action: type(action).__name__
)
async def test_a_wait_without_a_byte_is_a_read_timeout(
    registry: MemoryRegistry, action: faults.Action, autojump_clock: trio.testing.MockClock
) -> None:
    registry.faults.install(Fault(Match(), action))
    began = trio.current_time()
    async with httpx2.AsyncClient(transport=MemoryTransport(registry), timeout=30) as client:
        with pytest.raises(httpx2.ReadTimeout):
            await read(client)
    assert trio.current_time() - began == pytest.approx(30)


async def test_a_trickle_takes_its_time_and_is_no_timeout(registry: MemoryRegistry, autojump_clock: trio.testing.MockClock) -> None:
    registry.faults.install(Fault(Match(), faults.Slow(bytes_per_second=2)))
    registry.faults.install(Fault(Match(), faults.Delay(seconds=5)))
    began = trio.current_time()
    async with httpx2.AsyncClient(transport=MemoryTransport(registry), timeout=30) as client:
        assert await read(client, headers={"Range": "bytes=5-104"}) == DATA[5:105]
    assert trio.current_time() - began == pytest.approx(55)


async def test_a_redirect_leads_to_another_host_which_takes_no_credentials(registry: MemoryRegistry) -> None:
    storage = MemoryRegistry()
    storage.repositories = registry.repositories
    registry.access = Basic({"ada": planted.PASSWORD})
    registry.faults.install(Fault(Match(), faults.Redirect("http://storage.test:81/storage/{digest}?signature=x")))
    transport = MemoryTransport({"registry.test": registry, "storage.test:81": storage})
    async with httpx2.AsyncClient(transport=transport, follow_redirects=True) as client:
        assert await read(client, auth=("ada", planted.PASSWORD)) == DATA
        with pytest.raises(httpx2.ConnectError):
            await read(client, "http://nowhere.test/v2/")
        with pytest.raises(httpx2.HTTPStatusError, match="400"):
            await read(client, f"http://storage.test:81/storage/{BLOB}", auth=("ada", planted.PASSWORD))
    assert "authorization" in registry.requests(BLOB)[0].header_names
    assert "authorization" not in storage.requests(BLOB)[0].header_names


async def test_an_answer_left_early_counts_what_was_taken(registry: MemoryRegistry) -> None:
    async with httpx2.AsyncClient(transport=MemoryTransport(registry)) as client, client.stream("GET", URL) as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == DATA[: 64 * 1024]
        await pieces.aclose()
    assert registry.bytes_sent(BLOB) == 64 * 1024
