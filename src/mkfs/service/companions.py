"""What runs beside a mount that serves: each a task that ends with it, and imported only where it is wanted."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import trio
from msgspec import Struct

from mkfs.content.artifact import Artifact
from mkfs.content.layer import Layer
from mkfs.fuse.session import Session
from mkfs.registry.repository import Repository
from mkfs.service.opening import Means
from mkfs.service.settings import MountSettings
from mkfs.service.tag_standing import TagStanding
from mkfs.service.weighing import Weigher
from mkfs.vfs.model_fs import ModelFS

if TYPE_CHECKING:  # one artifact has none
    from mkfs.service.targets import TagState


@final
class Mounted(Struct, frozen=True, eq=False):
    """A mount that serves, for whoever tells of it or works for it."""

    settings: MountSettings
    means: Means
    file_system: ModelFS
    session: Session
    weigher: Weigher
    artifacts: list[Artifact]  # what is shown; more come and none goes
    tags: "Callable[[], Sequence[TagState]] | None" = None  # of a repository: what its links show, and what was refused

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers of all that is shown, each once: artifacts of a repository share them."""
        return list(dict.fromkeys(layer for artifact in self.artifacts for layer in artifact.layers))


def accompany(mounted: Mounted, nursery: trio.Nursery) -> None:
    """Starts, in `nursery`, what the settings ask for."""
    settings, means = mounted.settings, mounted.means
    if means.exporter is not None:
        means.exporter.show(mounted)
    if settings.fill:
        from mkfs.service.background import fill

        nursery.start_soon(fill, mounted.layers)
    if settings.scrub_bytes_per_second is not None:
        from mkfs.service.scrubbing import scrub_slowly

        nursery.start_soon(scrub_slowly, means.engine.cache, settings.scrub_bytes_per_second)
    tag: TagStanding | None = None
    if settings.tag_ttl_seconds and isinstance(means.repository, Repository) and means.reference.tag is not None:
        description = mounted.artifacts[0].description
        tag = TagStanding(means.reference.tag, description.index or description.digest)
        nursery.start_soon(means.repository.watch_tag, means.reference, tag.digest, settings.tag_ttl_seconds, tag.heard)
    if settings.control_socket is not None:
        from mkfs.service.control import start

        start(mounted, tag, nursery, Path(settings.control_socket))
