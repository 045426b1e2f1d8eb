"""`mkfs verify REF|DIR`: every byte of an artifact, hashed now."""

import sys
from functools import partial
from pathlib import Path

import click
import trio

from mkfs.cli.layer_report import tell
from mkfs.cli.options import source_options
from mkfs.cli.progress import showing
from mkfs.cli.settings.options import SettingCommand
from mkfs.errors import UsageError, printable
from mkfs.fuse.kernel import resolve
from mkfs.fuse.mountinfo import mount_at, unspelled
from mkfs.proof.policy import Trust
from mkfs.service.layer_work import LayerOutcome, WorkReport, verify
from mkfs.service.settings import SourceSettings
from mkfs.units import format_duration, format_size


def _reference(words: str) -> str:
    """`words`, or where they name a directory that we have mounted, the reference with its digest that is mounted there."""
    mounted = mount_at(resolve(Path(words))) if sys.platform == "linux" else None
    if mounted is not None and mounted.ours:
        return unspelled(mounted.source)
    if words.startswith(("/", ".")):
        raise UsageError(f"nothing of ours is mounted at {words}", hint="name a mounted directory, or a reference")
    return words


@click.command("verify", cls=SettingCommand)
@source_options("verify", reference=_reference)
def command(*, form: str, source: SourceSettings) -> None:
    """Hash every byte of the artifact REF, or of what is mounted at the directory that REF names: what is in the cache from there,
    the rest from the registry, all of it against the layers' digests.

    Says what was proven before. Exits with 13 and names layer and range if something is not what its digest says.
    """
    with showing(source.reference) as shown:
        report = trio.run(partial(verify, source, shown))
    tell(report, _summary(report), form)


def _summary(report: WorkReport) -> str:
    right = [layer for layer in report.layers if layer.outcome is not LayerOutcome.FAILED]
    before = format_size(sum(layer.size_bytes for layer in right if layer.before is Trust.OWN))
    layers = f"{len(right)} of {len(report.layers)} layers" if report.failed else f"{len(right)} layers"
    size = format_size(sum(layer.size_bytes for layer in right))
    how = f"{before} of it were proven before, in {format_duration(report.seconds)}"
    return f"{printable(report.reference)}: {size} in {layers} are what their digests say, {how}"
