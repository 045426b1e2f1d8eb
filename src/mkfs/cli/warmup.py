"""`mkfs warmup REF`: all layers into the cache, proven, without mounting."""

from functools import partial

import click
import trio

from mkfs.cli.layer_report import tell
from mkfs.cli.options import source_options
from mkfs.cli.progress import showing
from mkfs.cli.settings.options import SettingCommand
from mkfs.errors import printable
from mkfs.service.layer_work import LayerOutcome, WorkReport, warm
from mkfs.service.settings import SourceSettings
from mkfs.units import format_duration, format_size


@click.command("warmup", cls=SettingCommand)
@source_options("warmup")
def command(*, concurrency: int, form: str, source: SourceSettings) -> None:
    """Fetch the artifact REF into the cache, every byte proven, so that a mount of it need not wait.

    Interrupted and called again, it goes on where it was, also in the middle of a layer.
    """
    with showing(source.reference) as shown:
        report = trio.run(partial(warm, source, shown, concurrency=concurrency))
    tell(report, _summary(report), form)


def _summary(report: WorkReport) -> str:
    there = len(report.layers) - len(report.failed)
    size_bytes = report.size_bytes(LayerOutcome.CACHED, LayerOutcome.FETCHED)
    fetched = format_size(report.size_bytes(LayerOutcome.FETCHED))
    layers = f"{there} of {len(report.layers)} layers" if report.failed else f"{there} layers"
    how = f"{fetched} of it fetched in {format_duration(report.seconds)}"
    return f"{printable(report.reference)}: {format_size(size_bytes)} in {layers} in the cache, {how}"
