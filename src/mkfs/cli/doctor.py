"""`mkfs doctor [REF]`: what stands in the way of a mount here, and of this artifact; each line with its remedy."""

import json
import os
from collections.abc import Iterator
from typing import Final

import click

from mkfs.cli import places
from mkfs.cli.options import source_options
from mkfs.cli.settings.options import SettingCommand, verbosity
from mkfs.errors import printable
from mkfs.service.doctor.checks import CHECKS
from mkfs.service.doctor.children import Told
from mkfs.service.doctor.examining import examine
from mkfs.service.doctor.finding import Finding, Status
from mkfs.service.doctor.loaders import Advice, advise
from mkfs.service.doctor.situation import Situation
from mkfs.service.settings import SourceSettings

SCHEMA_VERSION: Final = 1
# What of the environment says where we run, and whom TLS believes. Nothing else of it leaves here.
_VARIABLES: Final = ("container", "KUBERNETES_SERVICE_HOST", "INVOCATION_ID", "SSL_CERT_FILE", "SSL_CERT_DIR")
_COLOURS: Final = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}
_WIDTH: Final = max(len(check.id) for check in CHECKS)


@click.command("doctor", cls=SettingCommand)
@source_options("doctor", required=False)
def command(*, form: str, read_timeout: float, source: SourceSettings) -> None:
    """Look for what stands in the way of a mount: FUSE, kernel, confinement, limits, cache, network; with REF also its registry,
    and the artifact itself. Each line says ok, warn or fail, what was found, and what to do about it.

    Changes nothing, needs no rights, and no check takes longer than its time limit. Ends with 0 where nothing failed, else with the
    exit code a mount would end with.

    \b
    EXAMPLES
      kitfs doctor
      kitfs doctor ghcr.io/acme/llama:7b
    """  # noqa: D301 - click's mark for lines that stay lines
    situation = Situation(
        source=source,
        log_dir=str(places.log_directory()),
        runtime_dir=str(places.runtime_directory(os.environ)),
        read_timeout_seconds=read_timeout,
        uid=os.geteuid(),
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )
    told = examine(situation, traces=verbosity(click.get_current_context()) > 1)
    found: dict[str, Finding] = {}
    files: tuple[str, ...] | None = None if not source.reference else ()
    for check, finding, paths in _unpacked(told):
        if finding is None:
            files = paths
            continue
        found[check] = finding
        if form == "text":
            _print(check, finding)
    advices = advise(files)
    first = next((finding.exit_code for finding in found.values() if finding.status is Status.FAIL), 0)
    if form == "json":
        click.echo(json.dumps(_document(source, found, advices, first), indent=2))
    else:
        _print_advices(advices)
    raise SystemExit(first)


def _unpacked(told: Iterator[Told]) -> Iterator[tuple[str, Finding | None, tuple[str, ...]]]:
    for each in told:
        yield each.check, each.finding, each.files


def _print(check: str, finding: Finding) -> None:
    word = click.style(f"{finding.status.value:<4}", fg=_COLOURS[finding.status])
    click.echo(f"{word}  {check:<{_WIDTH}}  {printable(finding.text)}")
    if finding.remedy:
        click.echo(f"{'':<4}  {'':<{_WIDTH}}  -> {printable(finding.remedy)}")


def _print_advices(advices: tuple[Advice, ...]) -> None:
    if advices:
        click.echo("\nLoaders (DIR is where it is mounted):")
    for advice in advices:
        click.echo(f"  {advice.loader}: {printable(advice.command)}\n    {printable(advice.reason)}")


def _document(source: SourceSettings, found: dict[str, Finding], advices: tuple[Advice, ...], exit_code: int) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": printable(source.reference) or None,
        "exit_code": exit_code,
        "checks": [
            {"id": check, "status": finding.status.value, "finding": printable(finding.text), "remedy": printable(finding.remedy)}
            for check, finding in found.items()
        ],
        "loaders": [{"loader": advice.loader, "command": printable(advice.command), "reason": advice.reason} for advice in advices],
    }
