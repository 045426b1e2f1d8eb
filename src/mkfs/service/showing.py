"""An artifact shown at a directory, until it is unmounted or told to stop. Imported while the registry is asked: see
`service.mounted`.
"""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import trio
from msgspec import Struct

from mkfs.content.artifact import Artifact
from mkfs.content.layer import Layer
from mkfs.fuse.session import MountOptions, Session, mount
from mkfs.service.companions import Mounted, accompany
from mkfs.service.opening import Means
from mkfs.service.orders import Orders
from mkfs.service.pipe import Outcome
from mkfs.service.settings import MountSettings
from mkfs.service.weighing import Weigher
from mkfs.vfs.attributes import Ownership
from mkfs.vfs.forest import Forest, Planted
from mkfs.vfs.model_fs import ModelFS

if TYPE_CHECKING:  # one artifact has no tags to tell of
    from mkfs.service.targets import TagState

log = logging.getLogger(__name__)

DEFERRED_NOTICE: Final = "--verify deferred: reads may be answered before they are proven; the log says so if one was wrong"


@final
class Shown(Struct, frozen=True, eq=False):
    """What a mount shows, under the `name` that mount(8) and df have for it. `begun` is called before the first request is
    answered; what it starts in the nursery ends with the mount.
    """

    name: str
    file_system: ModelFS
    artifacts: list[Artifact]  # more may come
    notices: tuple[str, ...]  # what a person should know before reading, one line each
    begun: Callable[[Mounted, trio.Nursery], None]
    tags: "Callable[[], Sequence[TagState]] | None" = None  # see `Mounted`


async def show_artifact(
    artifact: Artifact, means: Means, settings: MountSettings, announce: Callable[[Outcome], None], orders: Orders
) -> None:
    """Mounts `artifact`, serves it until it is unmounted or `orders` say so, unmounts it. `announce` is told when the directory is
    readable. Raises what mounting raises.
    """
    description = artifact.description
    forest = Forest()
    planted = forest.plant(artifact.tree, artifact.layers, description.digest)

    def begun(mounted: Mounted, _nursery: trio.Nursery) -> None:
        for layer in artifact.layers:
            layer.watch(partial(forget, mounted.session, (planted,), layer))

    name = str(description.reference.pinned(description.digest))
    file_system = ModelFS(forest, ownership(settings))
    await show(Shown(name, file_system, [artifact], artifact.notices, begun), means, settings, announce, orders)


async def show(shown: Shown, means: Means, settings: MountSettings, announce: Callable[[Outcome], None], orders: Orders) -> None:
    """Mounts, serves and unmounts what is `shown`. As `show_artifact`."""
    name = shown.name
    session = mount(
        shown.file_system,
        MountOptions(
            Path(settings.mountpoint), name, settings.allow_other, settings.read_timeout_seconds, settings.xattr, settings.noexec
        ),
    )
    mounted = Mounted(settings, means, shown.file_system, session, Weigher(means.engine), shown.artifacts, shown.tags)
    orders.unmount = session.unmount
    try:
        async with trio.open_nursery() as nursery:

            async def serve(task_status: trio.TaskStatus[Session]) -> None:
                await session.serve(task_status=task_status)
                nursery.cancel_scope.cancel()

            async def stop_when_told() -> None:
                await orders.until_told_to_end()
                await orders.unless_at_once(session.drain)
                session.stop()

            shown.begun(mounted, nursery)
            await nursery.start(serve)
            orders.serves()
            nursery.start_soon(stop_when_told)
            accompany(mounted, nursery)
            log.info("mounted %s at %s, pid %d", name, settings.mountpoint, os.getpid())
            notices = (*shown.notices, DEFERRED_NOTICE) if settings.source.deferred else shown.notices
            if means.exporter is not None:
                log.info(means.exporter.notice)
                notices = (*notices, means.exporter.notice)
            orders.notifier.ready(f"serving {name} at {settings.mountpoint}")
            try:
                announce(Outcome(0, (f"{name} mounted at {settings.mountpoint}", *notices)))
            except BrokenPipeError:  # whoever asked for it was killed while waiting
                log.info("nobody waits for this mount any more: unmounting %s", settings.mountpoint)
                session.stop()
    finally:
        orders.notifier.stopping("unmounting")
        session.close(unmount=session.clean or orders.ending)
    log.info("unmounted %s", settings.mountpoint)


def ownership(settings: MountSettings) -> Ownership:
    """Whose the files are."""
    return Ownership(settings.uid, settings.gid, settings.umask, settings.allow_other)


async def forget(session: Session, trees: Sequence[Planted], layer: Layer) -> None:
    """Has the kernel forget the content of all files of `layer`, wherever they are."""
    for planted in trees:
        await session.forget(planted.files_of(layer))
