"""`mkfs tags REPOSITORY`: which tags there are, and which of them are the same artifact."""

import json
from datetime import UTC, datetime
from typing import Final

import click
import trio

from mkfs.cli.options import client_options
from mkfs.cli.settings.options import SettingCommand, config_of
from mkfs.errors import printable
from mkfs.oci.reference import LAYOUT_PREFIX, Reference
from mkfs.registry.settings import ClientSettings
from mkfs.service.asking import asked
from mkfs.service.tagging import Tagged, tagged
from mkfs.units import format_age, format_size

SCHEMA_VERSION: Final = 1


@click.command("tags", cls=SettingCommand)
@click.argument("repository")
@client_options("tags")
def command(*, repository: str, client: ClientSettings, form: str) -> None:
    """List the tags of REPOSITORY, those of one artifact together, newest first: digest, size, age, tags.

    REPOSITORY is REGISTRY/REPOSITORY, or oci:DIRECTORY, an OCI layout directory; a tag behind it is ignored.
    """
    named = ":" in repository.rpartition("/")[2] or "@" in repository or repository.startswith(LAYOUT_PREFIX)
    aliases = config_of(click.get_current_context()).alias
    reference = Reference.parse_source(repository if named else f"{repository}:latest", aliases)
    found = trio.run(_tagged, client, reference)
    if form == "json":
        click.echo(json.dumps(_document(reference, found), indent=2))
        return
    now = datetime.now(UTC)
    for each in found:
        size = "-" if each.size_bytes is None else format_size(each.size_bytes)
        age = "-" if each.created is None else format_age((now - each.created).total_seconds())
        click.echo(f"{each.digest}  {size:>10}  {age:>9}  {' '.join(each.tags)}")


async def _tagged(client: ClientSettings, reference: Reference) -> list[Tagged]:
    async with asked(client, reference) as repository:
        return await tagged(repository)


def _document(reference: Reference, found: list[Tagged]) -> dict[str, object]:
    rows = [
        {
            "digest": str(each.digest),
            "tags": list(each.tags),
            "size_bytes": each.size_bytes,
            "created": None if each.created is None else each.created.isoformat(),
        }
        for each in found
    ]
    return {"schema_version": SCHEMA_VERSION, "repository": printable(reference.name), "artifacts": rows}
