"""`mkfs inspect REF`: what an artifact says of itself, and what of it is here and proven."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, final

import click
import trio

from mkfs import formats
from mkfs.cache.store import Cache
from mkfs.cli.options import source_options
from mkfs.cli.settings.options import SettingCommand
from mkfs.content.describing import Description, describe
from mkfs.errors import BadDocument, printable
from mkfs.formats.diff_ids import differing
from mkfs.formats.lint import lint
from mkfs.formats.plan import PlannedLayer, RawLayer
from mkfs.formats.properties import PROPERTIES, Answer
from mkfs.oci.digest import Digest
from mkfs.proof.policy import Trust
from mkfs.service.opening import opening
from mkfs.service.settings import SourceSettings
from mkfs.units import format_size

SCHEMA_VERSION: Final = 1
PUBLISHED: Final = "published"  # in the cache, each chunk checked when it is read


@final
@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer for a person: its producer's word and id, what is stored, and what proof a read of it rests on now."""

    element: str
    name: str
    path: str  # of a raw layer; "" where the names are inside a tar
    media_type: str
    digest: str
    size_bytes: int
    proof: str


@final
@dataclass(frozen=True, slots=True)
class Account:
    """What is told: the artifact, a row for each layer, and what looks wrong, as far as it can be seen without fetching a layer."""

    description: Description
    rows: tuple[LayerRow, ...]
    doubts: tuple[str, ...]


@click.command("inspect", cls=SettingCommand)
@source_options("inspect")
def command(*, linting: bool, form: str, source: SourceSettings) -> None:
    """Show digest, format, properties and layers of the artifact REF. Fetches its manifest and config only."""
    account = trio.run(_describe, source)
    for notice in account.description.notices:
        click.echo(printable(notice), err=True)
    findings = lint(account.description.documents) if linting else []
    if form == "json":
        click.echo(json.dumps(_document(account) | ({"findings": findings} if linting else {}), indent=2))
    else:
        _print(account)
        for finding in findings:
            click.echo(f"lint: {printable(finding)}")
    if findings:
        raise SystemExit(BadDocument.exit_code)


async def _describe(settings: SourceSettings) -> Account:
    async with opening(settings) as means:
        description = await describe(means.engine, means.repository, means.reference, means.terms)
        layers = description.plan.layers
        proofs = [await means.engine.on_disk(_own_proof, means.engine.cache, planned) for planned in layers]
    rows = tuple(_row(description, planned, proof) for planned, (proof, _) in zip(layers, proofs, strict=True))
    return Account(description, rows, (*description.plan.doubts, *differing(layers, [diff_id for _, diff_id in proofs])))


def _row(description: Description, planned: PlannedLayer, own_proof: str) -> LayerRow:
    blob = planned.descriptor
    path = planned.reading.path.decode("utf-8", "surrogateescape") if isinstance(planned.reading, RawLayer) else ""
    proof = own_proof or description.judged(planned).words(blob.digest)
    return LayerRow(planned.element, planned.name, path, blob.media_type, str(blob.digest), blob.size_bytes, proof)


def _own_proof(cache: Cache, planned: PlannedLayer) -> tuple[str, Digest | None]:
    """What this node has proven of a layer itself, "" for nothing; and the digest of its content, if that is known. Blocks."""
    digest, compression = planned.descriptor.digest, planned.reading.compression
    proof, index = "", None
    if (stored := cache.layer(digest)) is not None:
        stored.close()
        proof, index = PUBLISHED, stored.index
    elif (index := cache.index(digest)) is not None:
        proof = Trust.OWN.value
    if index is not None and index.compression == compression:  # else it is of the same bytes as another artifact takes them
        return proof, index.diff_id
    return "", None if compression else digest


def _document(account: Account) -> dict[str, object]:
    description, rows = account.description, account.rows
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": str(description.reference),
        "digest": str(description.digest),
        "index": None if description.index is None else str(description.index),
        "resolved_at": _time(description.resolved_at),
        "format": description.plan.format_name,
        "properties": dict(description.plan.properties),
        "model": [
            {
                "property": answer.claim.property,
                "value": answer.claim.value,
                "origin": answer.claim.origin,
                "contradictions": [{"value": other.value, "origin": other.origin} for other in answer.contradictions],
            }
            for answer in _answers(description)
        ],
        "parents": [
            {"reference": str(parent), "covered_by_digest": parent not in description.plan.uncovered_parents}
            for parent in description.plan.parents
        ],
        "warnings": [*description.plan.warnings, *account.doubts],
        "signed_by": list(description.verdict.signed_by),
        "refused": [asdict(refusal) for refusal in description.verdict.refused],
        "size_bytes": sum(row.size_bytes for row in rows),
        "layers": [asdict(row) for row in rows],
    }


def _answers(description: Description) -> tuple[Answer, ...]:
    return formats.answers(description.plan, description.documents.manifest, description.reference.tag)


def _time(seconds: int | None) -> str | None:
    """RFC 3339, or None: the registry was asked just now, or did not need to be."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _print(account: Account) -> None:
    description, rows = account.description, account.rows
    total = format_size(sum(row.size_bytes for row in rows))
    pairs = [
        ("reference", str(description.reference)),
        ("digest", str(description.digest)),
        *([] if description.index is None else [("of index", str(description.index))]),
        ("format", description.plan.format_name),
        *((name, value) for name, value in description.plan.properties.items() if name not in PROPERTIES),
        *[("signed by", key_id) for key_id in description.verdict.signed_by],
        ("layers", f"{len(rows)}, {total} together"),
    ]
    answers = _answers(description)
    width = max(map(len, [*(printable(name) for name, _ in pairs), *(answer.claim.property for answer in answers)]))
    for name, value in pairs:
        click.echo(f"{printable(name):<{width}}  {printable(value)}")
    for answer in answers:
        claim = answer.claim
        click.echo(f"{claim.property:<{width}}  {printable(claim.value)}  [{printable(claim.origin)}]")
        for other in answer.contradictions:
            click.echo(f"{'':<{width}}  but {printable(other.value)}  [{printable(other.origin)}]")
    for row in rows:
        what = " ".join(each for each in (row.element, row.name, row.path) if each)
        click.echo(f"  {format_size(row.size_bytes):>10}  {row.proof:<9}  {row.digest}  {printable(what)}")
    for refusal in description.verdict.refused:
        click.echo(f"not believed: {printable(refusal.what)}: {printable(refusal.reason)}", err=True)
    for doubt in account.doubts:
        click.echo(f"warning: {printable(doubt)}", err=True)
