"""Opening an artifact while somebody waits: compressed layers may have to be streamed whole before a name is known, and that takes
as long as it takes. So it is shown how far it is, and the wait may have an end.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.content.layer import Layer
from mkfs.errors import Unreachable
from mkfs.service.opening import Means
from mkfs.service.progress import Progress, Showing
from mkfs.units import format_duration, format_size


async def open_shown(
    means: Means, showing: Showing | None = None, timeout_seconds: float | None = None, *, names_only: bool = False
) -> Artifact:
    """`content.artifact.open_artifact`. While layers are streamed for it, `showing` is told how far they are.

    Raises what that raises, and `Unreachable` when it was not done within `timeout_seconds` (None: however long it takes).
    """
    streamed: list[Layer] = []
    artifact: Artifact | None = None

    def begun(layers: Sequence[Layer]) -> None:
        streamed.extend(layer for layer in layers if layer.opaque)

    with _narrated(means, streamed, showing), trio.move_on_after(float("inf") if timeout_seconds is None else timeout_seconds):
        artifact = await open_artifact(
            means.engine, means.repository, means.reference, means.terms, names_only=names_only, begun=begun
        )
    if artifact is None:
        raise _too_late(means, streamed, timeout_seconds or 0)
    return artifact


@contextmanager
def _narrated(means: Means, streamed: Sequence[Layer], showing: Showing | None) -> Iterator[None]:
    async def narrate(showing: Showing) -> None:
        with narration:
            while True:
                await trio.sleep(showing.period_seconds)
                if streamed:
                    showing.show(_progress(streamed))

    narration = trio.CancelScope()
    if showing is not None:
        means.engine.nursery.start_soon(narrate, showing)
    try:
        yield
    finally:
        narration.cancel()


def _progress(streamed: Sequence[Layer]) -> Progress:
    sizes = [layer.blob.size_bytes for layer in streamed]
    done = [
        min(size_bytes if layer.proven else layer.statistics().received_bytes, size_bytes)
        for layer, size_bytes in zip(streamed, sizes, strict=True)
    ]
    return Progress(sum(done), sum(sizes), sum(layer.proven for layer in streamed), len(streamed))


def _too_late(means: Means, streamed: Sequence[Layer], timeout_seconds: float) -> Unreachable:
    what = f"not ready after {format_duration(timeout_seconds)}"
    if not streamed:
        return Unreachable(what, str(means.reference), "wait longer: --timeout")
    progress = _progress(streamed)
    done, size = format_size(progress.done_bytes), format_size(progress.size_bytes)
    return Unreachable(
        f"{what}: {done} of {size} of compressed layers were here, which must be read whole before a name is known",
        str(means.reference),
        f"wait longer (--timeout), or have them fetched beforehand: mkfs warmup {means.reference}",
    )
