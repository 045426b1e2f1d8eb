"""`mkfs resolve REF`: what a tag means now, as a digest."""

from dataclasses import replace

import click
import trio

from mkfs.cli.options import client_options
from mkfs.cli.settings.options import SettingCommand, config_of
from mkfs.errors import NotFound
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.registry.settings import ClientSettings
from mkfs.service.asking import asked


@click.command("resolve", cls=SettingCommand)
@click.argument("ref")
@client_options("resolve")
def command(*, ref: str, client: ClientSettings) -> None:
    """Print the digest of the artifact REF, computed from its manifest. REF may be oci:DIRECTORY[:TAG], an OCI layout directory.

    Where REF has a tag and a digest, the digest decides; a tag that says otherwise is told.
    """
    reference = Reference.parse_source(ref, config_of(click.get_current_context()).alias)
    digest, says = trio.run(_resolve, client, reference)
    click.echo(str(digest))
    if says:
        click.echo(says, err=True)


async def _resolve(client: ClientSettings, reference: Reference) -> tuple[Digest, str]:
    async with asked(client, reference) as repository:
        digest = (await repository.resolve(reference)).digest
        if reference.tag is None or reference.digest is None:
            return digest, ""
        try:
            now = await repository.digest_of(replace(reference, digest=None))
        except NotFound:
            return digest, f"there is no tag {reference.tag} any more"
        return digest, "" if now == digest else f"the tag {reference.tag} means {now} now"
