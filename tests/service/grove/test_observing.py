"""What is told of a repository whose artifacts share their weights."""

from types import SimpleNamespace
from typing import cast

import trio
import trio.testing

from mkfs.content.prefetch import Prefetch
from mkfs.fuse.session import Session
from mkfs.service.companions import Mounted
from mkfs.service.grove import RepositoryGrove
from mkfs.service.observing import Observer
from mkfs.service.settings import MountSettings
from mkfs.service.weighing import Weigher
from mkfs.testing.kits import Kit
from mkfs.vfs.attributes import Ownership
from mkfs.vfs.model_fs import ModelFS
from tests.service.grove.world import World


def mounted(world: World, grove: RepositoryGrove) -> Mounted:
    """The grove as a mount, but for a kernel."""
    source = SimpleNamespace(deferred=False, prefetch=Prefetch.NONE, offline=False)
    settings = cast("MountSettings", SimpleNamespace(mountpoint="/mnt", source=source))
    file_system = ModelFS(world.forest, Ownership(0, 0))
    session, weigher = cast("Session", SimpleNamespace(tuning=None)), Weigher(world.means.engine)
    return Mounted(settings, world.means, file_system, session, weigher, grove.artifacts, grove.states)


async def test_layers_that_artifacts_share_are_counted_once(world: World, kits: tuple[Kit, Kit]) -> None:
    async with world.grove() as grove, trio.open_nursery() as nursery:
        observer = Observer(mounted(world, grove), None)
        nursery.start_soon(observer.sample)
        await trio.testing.wait_all_tasks_blocked()
        for tag, kit in zip("ab", kits, strict=True):
            await world.enter(grove, world.push(tag, kit))
        for artifact in grove.artifacts:
            for layer in artifact.layers:
                await layer.fill()
        world.clock.jump(1)
        report = await observer.report()
        nursery.cancel_scope.cancel()
    digests = {layer.digest for kit in kits for layer in kit.layers}
    fetched_bytes = sum(map(world.registry.bytes_sent, digests))
    assert [len(artifact.layers) for artifact in report.artifacts] == [2, 2]
    assert report.transfer.fetched_bytes == report.cold_start.fetched_bytes == fetched_bytes > 0
    assert report.transfer.fetched_bytes_per_second == fetched_bytes
