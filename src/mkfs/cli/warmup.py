"""`mkfs warmup REF`: all layers into the cache, proven, without mounting."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, final

import click
import trio

from mkfs.cli.options import source_options
from mkfs.cli.text import printable
from mkfs.service.settings import SourceSettings
from mkfs.service.warming import Outcome, Progress, Warmed, WarmedLayer, warm
from mkfs.units import format_duration, format_size

SCHEMA_VERSION: Final = 1
# Layers at once; each is fetched by several streams, and a registry gives a client only so much.
CONCURRENCY: Final = 4
_MOST_LAYERS_AT_ONCE: Final = 64
_LINE_SECONDS: Final = 10.0
_BAR_SECONDS: Final = 0.2

Show = Callable[[Progress], None]


@click.command("warmup")
@source_options
@click.option(
    "--concurrency",
    type=click.IntRange(1, _MOST_LAYERS_AT_ONCE),
    default=CONCURRENCY,
    show_default=True,
    envvar="MKFS_CONCURRENCY",
    help="Layers fetched at once.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(*, concurrency: int, form: str, source: SourceSettings) -> None:
    """Fetch the artifact REF into the cache, every byte proven, so that a mount of it need not wait.

    Interrupted and called again, it goes on with the layers that are not there yet.
    """
    with _progress(source.reference) as (show, period_seconds):

        async def work() -> Warmed:
            return await warm(source, concurrency=concurrency, show=show, period_seconds=period_seconds)

        warmed = trio.run(work)
    click.echo(json.dumps(_document(warmed), indent=2) if form == "json" else _summary(warmed))
    for layer in warmed.failed[1:]:
        click.echo(f"also failed: {printable(layer.label)}: {layer.error}", err=True)
    if warmed.failed and warmed.failed[0].error is not None:
        raise warmed.failed[0].error


@contextmanager
def _progress(reference: str) -> Iterator[tuple[Show, float]]:
    """What to call with each moment, and how often: a bar where a person watches, else a line now and then."""
    if not sys.stderr.isatty():
        yield _Lines().show, _LINE_SECONDS
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(binary_units=True))
    with Bar(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        name = printable(reference)
        task = bar.add_task(name, total=None)

        def show(moment: Progress) -> None:
            description = f"{name}  {moment.done_layers}/{moment.layers} layers"
            bar.update(task, description=description, total=moment.size_bytes, completed=moment.done_bytes)

        yield show, _BAR_SECONDS


@final
class _Lines:
    """A line per moment, but none when everything is said by the summary."""

    def __init__(self) -> None:
        self._before_bytes = 0

    def show(self, moment: Progress) -> None:
        if moment.done_layers == moment.layers:
            return
        speed = max(0, moment.done_bytes - self._before_bytes) / _LINE_SECONDS
        self._before_bytes = moment.done_bytes
        done, size = format_size(moment.done_bytes), format_size(moment.size_bytes)
        layers = f"{moment.done_layers} of {moment.layers} layers"
        click.echo(f"{done} of {size}, {layers}, {format_size(int(speed))}/s", err=True)


def _summary(warmed: Warmed) -> str:
    there = len(warmed.layers) - len(warmed.failed)
    size_bytes = warmed.size_bytes(Outcome.CACHED) + warmed.size_bytes(Outcome.FETCHED)
    fetched = format_size(warmed.size_bytes(Outcome.FETCHED))
    layers = f"{there} of {len(warmed.layers)} layers" if warmed.failed else f"{there} layers"
    how = f"{fetched} of it fetched in {format_duration(warmed.seconds)}"
    return f"{printable(warmed.reference)}: {format_size(size_bytes)} in {layers} in the cache, {how}"


def _document(warmed: Warmed) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": warmed.reference,
        "size_bytes": warmed.size_bytes(),
        "fetched_bytes": warmed.size_bytes(Outcome.FETCHED),
        "seconds": round(warmed.seconds, 3),
        "layers": [_row(layer) for layer in warmed.layers],
    }


def _row(layer: WarmedLayer) -> dict[str, object]:
    return {
        "name": layer.label,
        "digest": str(layer.digest),
        "size_bytes": layer.size_bytes,
        "outcome": layer.outcome.value,
        "error": None if layer.error is None else str(layer.error),
    }
