"""What `warmup` and `verify` say at their end of each layer, and which of its failures becomes the exit code."""

import json
from typing import Final

import click

from mkfs.errors import printable
from mkfs.service.layer_work import LayerOutcome, LayerResult, WorkReport

SCHEMA_VERSION: Final = 1


def tell(report: WorkReport, summary: str, form: str) -> None:
    """Prints `report` as JSON or `summary`. Raises the error of the first layer that failed; of the others a line is printed."""
    click.echo(json.dumps(document(report), indent=2) if form == "json" else summary)
    for warning in report.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    for layer in report.failed[1:]:
        click.echo(f"also failed: {printable(layer.label)}: {layer.error}", err=True)
    if report.failed and report.failed[0].error is not None:
        raise report.failed[0].error


def document(report: WorkReport) -> dict[str, object]:
    """The report for programs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": report.reference,
        "size_bytes": report.size_bytes(),
        "fetched_bytes": report.size_bytes(LayerOutcome.FETCHED),
        "seconds": round(report.seconds, 3),
        "warnings": list(report.warnings),
        "layers": [_row(layer) for layer in report.layers],
    }


def _row(layer: LayerResult) -> dict[str, object]:
    return {
        "name": layer.label,
        "digest": str(layer.digest),
        "size_bytes": layer.size_bytes,
        "before": layer.before.value,
        "outcome": layer.outcome.value,
        "error": None if layer.error is None else str(layer.error),
    }
