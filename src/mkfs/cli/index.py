"""`mkfs index build|push|show`: the chunk index of an artifact, made, hung on it, looked at."""

import json
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from mkfs.cli.options import source_options
from mkfs.cli.progress import showing
from mkfs.cli.settings.options import SettingCommand, setting_options
from mkfs.cli.trust import read_key_file
from mkfs.errors import UsageError, printable
from mkfs.oci.digest import Digest
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES, ArtifactIndex
from mkfs.proof.keys import SigningKey
from mkfs.service.indexing import Built, build, push
from mkfs.service.settings import SourceSettings
from mkfs.units import format_size

SCHEMA_VERSION: Final = 1
# What holds the password of an encrypted key: cosign's own name for it, so that a script that signs with cosign signs with us.
PASSWORD_VARIABLE: Final = "COSIGN_PASSWORD"  # noqa: S105 - the name of a variable


@click.group("index")
def command() -> None:
    """Chunk indexes: with one, the first read of a large layer fetches and proves only the chunks it wants.

    An index is made from an artifact whose layers were proven, and hangs on it in its registry; the artifact itself is not changed.
    Who mounts decides whom to believe: --trust-key, --trust-index registry, [trust] in the config file.
    """


@command.command("build", cls=SettingCommand)
@source_options("index build")
def build_command(*, output: Path, form: str, source: SourceSettings) -> None:
    """Prove the layers of the artifact REF and write their chunk index to a file."""
    with showing(source.reference) as shown:
        built = trio.run(partial(build, source, shown))
    try:
        output.write_bytes(built.document)
    except OSError as error:
        raise UsageError(f"the index cannot be written: {error.strerror}", str(output)) from error
    _tell(built, {"file": str(output)}, form)


@command.command("push", cls=SettingCommand)
@source_options("index push")
def push_command(*, sign_key: Path | None, expires: int | None, form: str, source: SourceSettings) -> None:
    """Prove the layers of the artifact REF and hang their chunk index on it in the registry."""
    if expires is not None and sign_key is None:
        raise UsageError("--expires is of the signature, and without --sign-key there is none")
    key = None if sign_key is None else _signing_key(sign_key)
    until = None if expires is None else datetime.now(UTC) + timedelta(seconds=expires)
    with showing(source.reference) as shown:
        pushed = trio.run(partial(push, source, shown, key=key, expires=until))
    where = {"index": str(pushed.index)}
    if pushed.bundle is not None and key is not None:
        where |= {"bundle": str(pushed.bundle), "signed_by": key.public.id}
    _tell(pushed.built, where, form)


@command.command("show", cls=SettingCommand)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@setting_options("index show")
def show_command(*, file: Path, form: str) -> None:
    """Show what a chunk index file says: the artifact it is of, its layers and their entries. Proves nothing.

    What hangs on an artifact in its registry, and whether it is believed, is shown by `inspect`.
    """
    try:
        with file.open("rb") as opened:
            document = opened.read(DOCUMENT_LIMIT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the index cannot be read: {error.strerror}", str(file)) from error
    index = ArtifactIndex.decode(document)
    if form == "json":
        click.echo(json.dumps(_document(index, document), indent=2))
        return
    click.echo(f"chunk index of {index.subject}")
    for row in index.layers:
        entries = "one file" if row.table is None else f"{len(row.table)} entries"
        how = f", {row.compression}" if row.compression else ""
        click.echo(f"  {format_size(row.stored_bytes):>10}  {row.grid.count} chunks  {entries}{how}  {row.layer}")


def _signing_key(path: Path) -> SigningKey:
    password = os.environ.get(PASSWORD_VARIABLE)
    return SigningKey.read(read_key_file(path).encode(), password.encode() if password else None, str(path))


def _tell(built: Built, where: dict[str, str], form: str) -> None:
    if form == "json":
        document = _document(built.index, built.document)
        click.echo(json.dumps({**document, "reference": built.reference, **where}, indent=2))
        return
    content = sum(layer.grid.size_bytes for layer in built.index.layers)
    click.echo(
        f"{printable(built.reference)}: chunk index of {len(built.index.layers)} layers, {format_size(content)}, "
        f"takes {format_size(len(built.document))}"
    )
    for name, value in where.items():
        click.echo(f"{name.replace('_', ' '):<9}  {printable(value)}")


def _document(index: ArtifactIndex, document: bytes) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "subject": str(index.subject),
        "digest": str(Digest.of(document)),
        "size_bytes": len(document),
        "layers": [
            {
                "digest": str(layer.layer),
                "stored_bytes": layer.stored_bytes,
                "compression": layer.compression,
                "content_bytes": layer.grid.size_bytes,
                "chunks": layer.grid.count,
                "entries": None if layer.table is None else len(layer.table),
            }
            for layer in index.layers
        ],
    }
