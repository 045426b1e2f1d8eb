"""Readers that are cancelled, at every await of a request: connections and slots stay for the others.

httpcore 1.0.9 lost a slot of its pool for good when a request was cancelled while it waited for one. The first two tests look for
that in the pool we use, without our own slots around it; the others look at what we put on top.
"""

from pathlib import Path

import httpcore2
import pytest
import trio
import trio.testing

from mkfs.errors import NotFound
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.registry.settings import HostsSettings, TlsSettings
from mkfs.registry.slots import HOST_SLOTS
from mkfs.testing import faults
from mkfs.testing.access import Bearer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.testing.tokens import TokenIssuer
from tests.support.attached import Attached
from tests.support.certificates import Authority
from tests.support.docker_registry import running
from tests.support.interrupting import MOST_STEPS, interrupted
from tests.support.little_model import BLOB_PATH, DATA, MANIFEST, MANIFEST_DIGEST, MEDIA_TYPE

HANG_SECONDS = 20  # of real time, for one step: a leak shows as a request that waits for ever
ROUNDS = 10  # trio leaves to chance who goes first, so each order comes up


@pytest.fixture(params=["by the pool", "by the lane"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test for every kind of connection: ranges as short as these take the pool."""
    if request.param == "by the lane":
        monkeypatch.setattr("mkfs.registry.pool.BULK_BYTES", 1)


def client_of(server: RegistryServer) -> tuple[RegistryClient, Repository]:
    client = RegistryClient(ClientSettings(), Credentials.anonymous())
    return client, client.repository(Reference.parse(f"localhost:{server.port}/team/model:7b"))


async def test_the_bare_pool_loses_no_slot_when_all_who_wait_for_one_leave_at_once(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lets a connection go may hand it to somebody who is leaving, too; httpcore 1.0.9 never saw it again."""

    async def no_answer(**arguments: object) -> None:
        await trio.sleep_forever()

    with serve(registry) as server, trio.fail_after(HANG_SECONDS):
        async with httpcore2.AsyncConnectionPool(max_connections=2, max_keepalive_connections=0) as pool:

            async def work() -> None:
                await pool.request("GET", f"{server.url}{BLOB_PATH}")

            for _ in range(ROUNDS):
                with monkeypatch.context() as patched:
                    patched.setattr(trio, "open_tcp_stream", no_answer)
                    async with trio.open_nursery() as nursery:
                        for _ in range(6):
                            nursery.start_soon(work)
                        await trio.testing.wait_all_tasks_blocked()
                        assert "2 active, 4 queued" in repr(pool)
                        nursery.cancel_scope.cancel()
                await work()


async def test_the_bare_pool_loses_no_slot_at_any_await(registry: MemoryRegistry) -> None:
    with serve(registry) as server, trio.fail_after(HANG_SECONDS) as hang:
        async with httpcore2.AsyncConnectionPool(max_connections=2) as pool:

            async def work() -> None:
                await pool.request("GET", f"{server.url}{BLOB_PATH}")

            for step in range(1, MOST_STEPS):
                hang.deadline = trio.current_time() + HANG_SECONDS
                through = await interrupted(work, tasks=6, at_step=step)
                await work()
                if through == 6:
                    break
            assert step > 4
            assert "0 active, 0 queued" in repr(pool)


@pytest.mark.usefixtures("_both_ways")
async def test_a_reader_may_be_cancelled_at_any_await(registry: MemoryRegistry, blob: Descriptor) -> None:
    with serve(registry) as server, trio.fail_after(HANG_SECONDS) as hang:
        client, repository = client_of(server)
        async with client:

            async def work() -> None:
                async with repository.open_range(blob, ByteRange(5, 50_005)) as stream:
                    assert b"".join([piece async for piece in stream]) == DATA[5:50_005]

            for step in range(1, MOST_STEPS):
                hang.deadline = trio.current_time() + HANG_SECONDS
                through = await interrupted(work, tasks=HOST_SLOTS + 4, at_step=step)
                assert client.statistics().answers == 0
                await work()
                if through == HOST_SLOTS + 4:
                    break
            assert step > 4


async def test_a_push_may_be_cancelled_at_any_await(registry: MemoryRegistry) -> None:
    subject = Descriptor(MEDIA_TYPE, MANIFEST_DIGEST, len(MANIFEST))
    with serve(registry) as server, trio.fail_after(HANG_SECONDS) as hang:
        client, repository = client_of(server)
        async with client:
            for step in range(1, MOST_STEPS):
                hang.deadline = trio.current_time() + HANG_SECONDS
                attached = Attached(subject, document=f"document {step}".encode() * 30_000)

                async def work(attached: Attached = attached) -> None:
                    await attached.push(repository)

                through = await interrupted(work, tasks=2, at_step=step)
                assert client.statistics().answers == 0
                await work()
                assert attached.descriptor in await repository.referrers(MANIFEST_DIGEST)
                if through == 2:
                    break
            assert 10 < step < MOST_STEPS - 1


async def test_whatever_is_asked_may_be_cancelled_at_any_await(
    registry: MemoryRegistry, storage: MemoryRegistry, blob: Descriptor, tmp_path: Path
) -> None:
    """By way of a mirror that fails, a token, and a storage host with addresses that become too old."""
    mirror = MemoryRegistry()
    mirror.faults.install(Fault(Match(), faults.Status(503)))
    with serve(registry) as server, serve(storage) as behind, serve(mirror) as before, trio.fail_after(HANG_SECONDS) as hang:
        issuer = TokenIssuer(anonymous=True)
        registry.access = Bearer(issuer)
        registry.faults.install(Fault(Match(path="/v2/.*/blobs/"), faults.Redirect(f"{behind.url}/storage/{{digest}}")))
        directory = tmp_path / f"localhost:{server.port}"
        directory.mkdir()
        (directory / "hosts.toml").write_text(f'[host."http://localhost:{before.port}"]\n')
        reference = Reference.parse(f"localhost:{server.port}/team/model:7b")
        settings = ClientSettings(hosts=HostsSettings((str(tmp_path),)))
        for step in range(1, MOST_STEPS):
            hang.deadline = trio.current_time() + HANG_SECONDS
            async with RegistryClient(settings, Credentials.anonymous()) as client:
                repository = client.repository(reference)

                async def work(repository: Repository = repository) -> None:
                    await repository.resolve(reference)
                    assert (await repository.read_blob(blob)).data == DATA
                    await repository.digest_of(reference)
                    await repository.referrers(blob.digest)
                    await repository.head_blob(blob)
                    assert await repository.tags() == ("7b",)

                await work()
                issuer.revoke()
                old = storage.faults.install(Fault(Match(), faults.Status(403), times=2))
                through = await interrupted(work, tasks=2, at_step=step)
                storage.faults.mend(old)
                assert client.statistics().answers == 0
                await work()
                if through == 2:
                    break
        assert 20 < step < MOST_STEPS - 1


@pytest.mark.registry
async def test_a_handshake_may_be_cancelled_at_any_await(docker_registry: Path, tmp_path: Path) -> None:
    authority = Authority.new(tmp_path)
    settings = ClientSettings(plain_http=False, tls=TlsSettings(ca_file=str(authority.own.cert)))
    with running(docker_registry, tmp_path / "registry", tls=authority.signed(tmp_path, "server")) as server:
        reference = Reference.parse(f"{server.host}/team/model:7b")
        with trio.fail_after(HANG_SECONDS) as hang:
            for step in range(1, MOST_STEPS):
                hang.deadline = trio.current_time() + HANG_SECONDS
                async with RegistryClient(settings, Credentials.anonymous()) as client:
                    repository = client.repository(reference)

                    async def work(repository: Repository = repository) -> None:
                        with pytest.raises(NotFound):
                            await repository.resolve(reference)

                    through = await interrupted(work, tasks=3, at_step=step)
                    assert client.statistics().answers == 0
                    await work()
                    if through == 3:
                        break
            assert 5 < step < MOST_STEPS - 1


@pytest.mark.parametrize("stalled", [faults.Withhold(), faults.Stall(1000)], ids=["before the answer", "within the body"])
async def test_readers_stuck_at_a_stalled_server_leave_it_to_the_others(
    registry: MemoryRegistry, blob: Descriptor, stalled: faults.Stall | faults.Withhold
) -> None:
    fault = registry.faults.install(Fault(Match(path="/blobs/"), stalled))
    with serve(registry) as server, trio.fail_after(HANG_SECONDS):
        client, repository = client_of(server)
        async with client:

            async def stuck() -> None:
                async with repository.open_range(blob, ByteRange(5, 50_005)) as stream:
                    async for _ in stream:
                        pass

            for held in (HOST_SLOTS, 2 * HOST_SLOTS, 3 * HOST_SLOTS):  # at the server, which does not see that those before left
                async with trio.open_nursery() as nursery:
                    for _ in range(2 * HOST_SLOTS):
                        nursery.start_soon(stuck)
                    assert await trio.to_thread.run_sync(stalled.gate.wait_until_held, held)
                    assert client.statistics().answers == HOST_SLOTS
                    nursery.cancel_scope.cancel()
                assert client.statistics().answers == 0
            registry.faults.mend(fault)
            for _ in range(2):
                async with trio.open_nursery() as nursery:
                    for _ in range(2 * HOST_SLOTS):
                        nursery.start_soon(stuck)


@pytest.mark.usefixtures("_both_ways")
async def test_a_body_that_is_left_early_costs_nobody_anything(registry: MemoryRegistry, blob: Descriptor) -> None:
    with serve(registry) as server, trio.fail_after(HANG_SECONDS):
        client, repository = client_of(server)
        async with client:
            for _ in range(HOST_SLOTS + 4):
                async with repository.open_range(blob, ByteRange(0, len(DATA))) as stream:
                    await anext(aiter(stream))
                async with repository.open_range(blob, ByteRange(0, len(DATA))):
                    pass
                with pytest.raises(KeyError):
                    await failing(repository, blob)
            assert client.statistics().answers == 0


async def failing(repository: Repository, blob: Descriptor) -> None:
    async with repository.open_range(blob, ByteRange(0, len(DATA))) as stream:
        async for _ in stream:
            raise KeyError
