"""A repository shown at a directory: `tags/` and `digests/` (`vfs.top`). Imported where a repository is mounted."""

from collections.abc import Callable
from functools import partial

import trio

from mkfs.content.artifact import Artifact
from mkfs.service.background import fill
from mkfs.service.companions import Mounted
from mkfs.service.grove import RepositoryGrove
from mkfs.service.opening import Means
from mkfs.service.orders import Orders
from mkfs.service.pipe import Outcome
from mkfs.service.settings import MountSettings
from mkfs.service.showing import Shown, forget, ownership, show
from mkfs.vfs.forest import Forest, Planted
from mkfs.vfs.model_fs import ModelFS
from mkfs.vfs.top import Top


async def show_repository(means: Means, settings: MountSettings, announce: Callable[[Outcome], None], orders: Orders) -> None:
    """Mounts the repository of `means`, serves it until it is unmounted or `orders` say so, unmounts it. `announce` is told when
    the directory is readable.

    The tags are listed before: so a name that is no repository, or a login that does not do, is told at once. Raises what that
    raises, and what mounting raises.
    """
    forest, owner = Forest(), ownership(settings)
    grove = RepositoryGrove(means, forest, settings.tag_ttl_seconds or 0, settings.read_timeout_seconds)
    file_system = ModelFS(forest, owner, Top(forest, grove, owner))
    trees: list[Planted] = []

    def begun(mounted: Mounted, nursery: trio.Nursery) -> None:
        def opened(artifact: Artifact, planted: Planted) -> None:
            trees.append(planted)
            for layer in artifact.layers:
                layer.watch(partial(forget, mounted.session, trees, layer))
            if settings.fill:
                nursery.start_soon(fill, artifact.layers)

        grove.on_opened = opened

    try:
        await grove.tags()
        shown = Shown(str(means.reference), file_system, grove.artifacts, (), begun, grove.states)
        await show(shown, means, settings, announce, orders)
    finally:
        grove.close()
