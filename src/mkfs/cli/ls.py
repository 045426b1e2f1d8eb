"""`mkfs ls REF`: the names an artifact would show, without mounting it."""

import json
import stat
from dataclasses import dataclass
from typing import Final, final

import click
import trio

from mkfs.cli.options import source_options
from mkfs.cli.progress import showing_when_needed
from mkfs.cli.settings.options import SettingCommand
from mkfs.content.artifact import Artifact
from mkfs.errors import printable
from mkfs.service.opening import opening
from mkfs.service.progress import Showing
from mkfs.service.settings import SourceSettings
from mkfs.service.streaming import open_shown
from mkfs.tree.nodes import File, Node, Symlink
from mkfs.units import format_size

SCHEMA_VERSION: Final = 1


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One path. `size_bytes` is None for a directory; `provisional`: the name and size are what an unproven header says."""

    path: str
    mode: int  # type and permission bits
    size_bytes: int | None
    provisional: bool
    target: str = ""  # of a symbolic link


@click.command("ls", cls=SettingCommand)
@source_options("ls")
def command(*, long: bool, form: str, source: SourceSettings) -> None:
    """List the files of the artifact REF, one path a line. Fetches headers and small layers only; compressed layers that nothing is
    known of must be read whole, and are in the cache then.
    """
    with showing_when_needed(source.reference) as shown:
        reference, notices, rows = trio.run(_list, source, shown)
    for notice in notices:
        click.echo(printable(notice), err=True)
    if form == "json":
        click.echo(json.dumps(_document(reference, rows), indent=2))
        return
    for row in rows:
        if long:
            size = "" if row.size_bytes is None else format_size(row.size_bytes)
            click.echo(f"{stat.filemode(row.mode)} {size:>10} {'?' if row.provisional else ' '} ", nl=False)
        end = "/" if row.size_bytes is None else f" -> {row.target}" if row.target else ""
        click.echo(printable(row.path + end))
    if long and any(row.provisional for row in rows):
        click.echo("?: the name and size are what unproven headers say; reading the file proves them", err=True)


async def _list(settings: SourceSettings, shown: Showing) -> tuple[str, tuple[str, ...], list[Row]]:
    async with opening(settings) as means:
        artifact = await open_shown(means, shown, names_only=True)
        try:
            description = artifact.description
            name = str(means.reference.pinned(description.digest))
            return name, description.notices, [_row(artifact, path, node) for path, node in artifact.tree.walk()]
        finally:
            artifact.close()


def _row(artifact: Artifact, path: bytes, node: Node) -> Row:
    text = path.decode("utf-8", "surrogateescape")
    if isinstance(node, Symlink):
        return Row(
            text, stat.S_IFLNK | 0o777, len(node.target), provisional=False, target=node.target.decode("utf-8", "surrogateescape")
        )
    if isinstance(node, File):
        provisional = node.layer is not None and artifact.layers[node.layer].provisional
        return Row(text, stat.S_IFREG | node.mode & 0o555, node.size_bytes, provisional)
    return Row(text, stat.S_IFDIR | node.mode & 0o555, None, provisional=False)


def _document(reference: str, rows: list[Row]) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": reference,
        "entries": [
            {
                "path": row.path,
                "type": "directory" if row.size_bytes is None else "symlink" if row.target else "file",
                "mode": f"{row.mode & 0o7777:04o}",
                "size_bytes": row.size_bytes,
                "provisional": row.provisional,
                **({"target": row.target} if row.target else {}),
            }
            for row in rows
        ],
    }
