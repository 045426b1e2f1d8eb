"""What the trust policy refuses is not followed by a link, nor opened."""

from dataclasses import replace

import pytest

from mkfs.oci.digest import Digest
from mkfs.proof.policy import Policy, Rule
from mkfs.service.targets import RETRY_SECONDS
from mkfs.testing.kits import Kit
from mkfs.testing.referrers import ReferrersApi
from tests.content.test_trusted_parents import hang_index
from tests.service.grove.world import REPOSITORY, TTL, World, refusal
from tests.support.signing import key_pair

PAIR = key_pair()
MUST_BE_INDEXED = Policy((Rule("", (PAIR.public,), require_index=True),))


async def sign(world: World, digest: Digest) -> None:
    """Pushes what the policy asks for."""
    await hang_index(world.root, world.hosts, replace(REPOSITORY, digest=digest), PAIR.signing)


@pytest.mark.logs("the tag production means sha256:[0-9a-f]+ now, which is refused, and stays at")
async def test_a_tag_that_moves_to_what_is_refused_does_not_move_here(world: World, kits: tuple[Kit, Kit]) -> None:
    world.registry.referrers = ReferrersApi()
    old = world.push("production", kits[0])
    await sign(world, old)
    async with world.grove(policy=MUST_BE_INDEXED) as grove:
        assert await grove.target("production") == old
        world.asked()
        world.clock.jump(TTL)
        await grove.target("production")
        assert world.asked() == [("HEAD", "manifests/production")]  # it is judged once
        new = world.push("production", kits[1])
        world.clock.jump(TTL)
        assert await grove.target("production") == old
        (state,) = grove.states()
        assert (state.shown, state.refused) == (old, new)
        assert "no chunk index signed" in state.reason
        await sign(world, new)
        world.clock.jump(RETRY_SECONDS)
        assert await grove.target("production") == new
        assert [(state.shown, state.refused) for state in grove.states()] == [(new, None)]
        assert world.means.client.statistics().tags_moved == 1


@pytest.mark.logs("the tag 7b means sha256:[0-9a-f]+ now, which is refused, and leads nowhere", "is refused: the artifact has no")
async def test_a_tag_that_never_meant_anything_allowed_is_refused_and_so_is_its_digest(world: World, kits: tuple[Kit, Kit]) -> None:
    digest = world.push("7b", kits[0])
    async with world.grove(policy=MUST_BE_INDEXED) as grove:
        assert await refusal(grove.target, "7b") == "EACCES"
        assert await refusal(world.enter, grove, digest) == "EACCES"
        assert grove.artifacts == []


async def test_no_layer_is_touched_by_judging(world: World, kits: tuple[Kit, Kit]) -> None:
    world.registry.referrers = ReferrersApi()
    old = world.push("production", kits[0])
    await sign(world, old)
    world.registry.log.clear()
    async with world.grove(policy=MUST_BE_INDEXED) as grove:
        await grove.target("production")
    blobs = {served.digest for served in world.registry.log if "/blobs/" in served.path}
    assert not blobs & {layer.digest for layer in kits[0].layers}
