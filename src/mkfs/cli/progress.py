"""What is shown of long work: a bar where a person watches, else a line now and then."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, final

import click

from mkfs.errors import printable
from mkfs.service.progress import Progress, Showing
from mkfs.units import format_size

LINE_SECONDS: Final = 10.0
_BAR_SECONDS: Final = 0.2


@contextmanager
def showing(reference: str) -> Iterator[Showing]:
    """How to show the work on `reference`, for the length of the block. Writes to stderr."""
    if not sys.stderr.isatty():
        yield Showing(Lines().show, LINE_SECONDS)
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

        yield Showing(show, _BAR_SECONDS)


@contextmanager
def showing_when_needed(reference: str) -> Iterator[Showing]:
    """As `showing`, for work that is mostly done before anything is worth showing: nothing is loaded or printed until then."""
    with ExitStack() as stack:
        shown: Showing | None = None

        def show(moment: Progress) -> None:
            nonlocal shown
            shown = shown or stack.enter_context(showing(reference))
            shown.show(moment)

        yield Showing(show, _BAR_SECONDS if sys.stderr.isatty() else LINE_SECONDS)


@final
class Lines:
    """A line per moment, but none when everything is said by the summary."""

    def __init__(self) -> None:
        self._before_bytes = 0

    def show(self, moment: Progress) -> None:
        """Prints the line of `moment`."""
        if moment.done_layers == moment.layers:
            return
        speed = max(0, moment.done_bytes - self._before_bytes) / LINE_SECONDS
        self._before_bytes = moment.done_bytes
        done, size = format_size(moment.done_bytes), format_size(moment.size_bytes)
        layers = f"{moment.done_layers} of {moment.layers} layers"
        click.echo(f"{done} of {size}, {layers}, {format_size(int(speed))}/s", err=True)
