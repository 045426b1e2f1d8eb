"""Tags asked of a repository: how often, how long that is believed, and what is done when nobody answers."""

import pytest
import trio

from mkfs.errors import FileSystemError, NotAuthorised, Unreachable
from mkfs.service.grove import ANSWER_SECONDS, CONCURRENCY, KNOWN_SECONDS
from mkfs.service.targets import RETRY_SECONDS
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match, Status
from mkfs.testing.kits import Kit
from tests.service.grove.world import TTL, World, refusal


async def test_a_tag_costs_one_head_until_its_time_is_over(world: World, kits: tuple[Kit, Kit]) -> None:
    old = world.push("7b", kits[0])
    async with world.grove() as grove:
        assert grove.target_now("7b") is None
        assert await grove.target("7b") == grove.target_now("7b") == old
        assert grove.believed_seconds("7b") == TTL
        assert world.asked() == [("HEAD", "manifests/7b")]
        new = world.push("7b", kits[1])
        world.clock.jump(TTL - 1)
        assert (grove.target_now("7b"), grove.believed_seconds("7b")) == (old, 1)
        world.clock.jump(1)
        assert grove.target_now("7b") is None
        assert await grove.target("7b") == new
        assert world.asked() == [("HEAD", "manifests/7b")]


async def test_without_a_time_to_live_every_look_asks(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    async with world.grove(ttl=0) as grove:
        for _ in range(3):
            assert grove.target_now("7b") is None
            await grove.target("7b")
        assert len(world.asked()) == 3


async def test_many_who_ask_for_a_tag_are_one_and_many_tags_go_some_at_a_time(world: World, kits: tuple[Kit, Kit]) -> None:
    names = [f"v{number}" for number in range(3 * CONCURRENCY)]
    for name in names:
        world.push(name, kits[0])
    held = faults.Withhold()
    world.registry.faults.install(Fault(Match(method="HEAD"), held))
    async with world.grove() as grove, trio.open_nursery() as nursery:
        for name in names * 4:
            nursery.start_soon(grove.target, name)
        await trio.testing.wait_all_tasks_blocked()
        assert (held.gate.waiting, len(world.asked())) == (CONCURRENCY, CONCURRENCY)
        held.release()
    assert len(world.asked()) == len(names) - CONCURRENCY


async def test_who_walks_along_the_tags_waits_for_few_of_them(world: World, kits: tuple[Kit, Kit]) -> None:
    names = [f"v{number:02}" for number in range(2 + 4 * CONCURRENCY)]
    for name in names:
        world.push(name, kits[0])
    world.registry.faults.install(Fault(Match(method="HEAD"), faults.Delay(1)))
    async with world.grove(ttl=3600) as grove:
        listed = await grove.tags()
        world.asked()
        world.clock.autojump_threshold = 0.02
        await grove.target(listed[5])  # which is not asked about again
        before, waited = trio.current_time(), 0
        for name in listed:
            if grove.target_now(name) is None:
                waited += 1
                await grove.target(name)
        assert (waited, trio.current_time() - before) == (2 + 4, pytest.approx(2 + 4))
        assert sorted(world.asked()) == sorted(("HEAD", f"manifests/{name}") for name in names)


async def test_who_looks_at_two_neighbours_has_nothing_else_asked(world: World, kits: tuple[Kit, Kit]) -> None:
    for number in range(9):
        world.push(f"v{number}", kits[0])
    async with world.grove() as grove:
        listed = await grove.tags()
        world.asked()
        for name in listed[3:5]:
            await grove.target(name)
        await trio.testing.wait_all_tasks_blocked()
        assert world.asked() == [("HEAD", f"manifests/{name}") for name in listed[3:5]]


async def test_a_tag_that_vanished_is_not_there(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    async with world.grove() as grove:
        await grove.target("7b")
        world.delete("7b")
        world.clock.jump(TTL)
        assert await refusal(grove.target, "7b") == "ENOENT"
        world.asked()
        with pytest.raises(FileSystemError):
            grove.target_now("7b")
        assert world.asked() == []
        world.push("7b", kits[1])
        world.clock.jump(TTL)
        assert await grove.target("7b") == kits[1].manifest_digest


async def test_each_move_of_a_tag_is_counted(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    async with world.grove() as grove:
        for kit, moves in ((kits[0], 0), (kits[0], 0), (kits[1], 1), (kits[1], 1), (kits[0], 2)):
            world.push("7b", kit)
            await grove.target("7b")
            assert world.means.client.statistics().tags_moved == moves
            world.clock.jump(TTL)


async def test_tags_are_listed_once_in_their_time_and_none_is_asked_for(world: World, kits: tuple[Kit, Kit]) -> None:
    for name in ("7b", "_odd.--", "latest"):
        world.push(name, kits[0])
    async with world.grove() as grove:
        for _ in range(3):
            assert sorted(await grove.tags()) == ["7b", "_odd.--", "latest"]
        assert grove.believed_seconds("7b") == TTL
        assert grove.believed_seconds("none") == 0
        assert [each for each, _ in world.asked()] == ["GET"]
        world.delete("latest")
        world.clock.jump(TTL)
        assert sorted(await grove.tags()) == ["7b", "_odd.--"]


@pytest.mark.logs("what the tag 7b means is not known just now, it stays at", "they stay what they were")
async def test_when_the_registry_is_gone_known_tags_stay_and_others_are_an_error(world: World, kits: tuple[Kit, Kit]) -> None:
    old = world.push("7b", kits[0])
    async with world.grove() as grove:
        await grove.target("7b")
        await grove.tags()
        del world.hosts["registry.test"]
        world.clock.jump(TTL)
        world.clock.autojump_threshold = 0.02
        before = trio.current_time()
        assert await grove.target("7b") == old
        assert trio.current_time() - before <= KNOWN_SECONDS
        assert grove.target_now("7b") == old  # and nobody waits again
        assert grove.believed_seconds("7b") == pytest.approx(RETRY_SECONDS, abs=1)
        assert await grove.tags() == ("7b",)
        with pytest.raises(Unreachable):
            await grove.target("8b")
        assert trio.current_time() - before <= 2 * KNOWN_SECONDS + ANSWER_SECONDS + 1
        world.hosts["registry.test"] = world.registry
        new = world.push("7b", kits[1])
        await trio.sleep(RETRY_SECONDS)
        assert await grove.target("7b") == new


@pytest.mark.logs("what the tag 7b means is not known just now")
async def test_a_registry_that_says_nothing_is_not_waited_for_where_the_link_shows_something(
    world: World, kits: tuple[Kit, Kit]
) -> None:
    world.push("7b", kits[0])
    async with world.grove() as grove:
        await grove.target("7b")
        world.registry.faults.install(Fault(Match(method="HEAD"), faults.Withhold()))
        world.clock.jump(TTL)
        world.clock.autojump_threshold = 0.02
        before = trio.current_time()
        await grove.target("7b")
        assert trio.current_time() - before == pytest.approx(KNOWN_SECONDS)
        before = trio.current_time()
        with pytest.raises(Unreachable):
            await grove.target("8b")
        assert trio.current_time() - before <= ANSWER_SECONDS


async def test_a_registry_that_lets_nobody_list_still_answers_for_a_tag(world: World, kits: tuple[Kit, Kit]) -> None:
    world.push("7b", kits[0])
    world.registry.faults.install(Fault(Match(path="/tags/list"), Status(403)))
    async with world.grove() as grove:
        with pytest.raises(NotAuthorised):
            await grove.tags()
        assert await grove.target("7b") == kits[0].manifest_digest
