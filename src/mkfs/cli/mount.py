"""`mkfs mount REF DIR`."""

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from mkfs.cache.layout import refuse_our_mounts
from mkfs.cli import places
from mkfs.cli.options import source_options
from mkfs.cli.progress import LINE_SECONDS, showing_when_needed
from mkfs.cli.report import fail
from mkfs.cli.settings.options import SettingCommand, completing, verbosity
from mkfs.cli.supervision import take_supervision
from mkfs.content.prefetch import Prefetch
from mkfs.errors import MountpointUnusable, UsageError, printable
from mkfs.fuse import handover, kernel
from mkfs.registry.settings import UNVERIFIED
from mkfs.service.control_place import socket_name
from mkfs.service.launch import launch
from mkfs.service.listening import Address
from mkfs.service.pipe import Outcome
from mkfs.service.process import DaemonProcess
from mkfs.service.progress import Showing
from mkfs.service.settings import MountSettings, SourceSettings


@click.command("mount", cls=SettingCommand)
@source_options("mount", or_repository=True)
# DIR is no click.Path: that asks the file system, and a stuck one never answers.
@click.argument("directory", metavar="DIR", type=Path, shell_complete=completing("dir"))
def command(
    *,
    directory: Path,
    foreground: bool,
    allow_other: bool,
    noexec: bool,
    uid: int,
    gid: int,
    umask: int,
    read_timeout: float,
    timeout: int | None,
    tag_ttl: float,
    log_file: Path | None,
    log_format: str,
    log_level: str | None,
    scrub: int | None,
    proof: str,
    prefetch: str,
    stop_timeout: float,
    fill: bool,
    xattr: bool,
    metrics_address: Address | None,
    quiet: bool,
    source: SourceSettings,
) -> None:
    """Mount the artifact REF read-only at DIR, which must be an empty directory.

    Returns when DIR is readable; a daemon serves it until `umount DIR`. REF is REGISTRY/REPOSITORY:TAG or @DIGEST, or
    oci:DIRECTORY[:TAG] for an OCI layout directory. REGISTRY/REPOSITORY alone shows all of it: DIR/tags/TAG leads to
    DIR/digests/DIGEST, opened when somebody goes there. DIR may be /dev/fd/N, a mount that `kitfs handover` made for us.

    \b
    EXAMPLES
      kitfs mount ghcr.io/acme/llama:7b /mnt/llama
      kitfs mount localhost:5000/llama:7b /mnt/llama --foreground
      kitfs mount ghcr.io/acme/llama /mnt/all && readlink /mnt/all/tags/production
    """  # noqa: D301 - click's mark for lines that stay lines
    handed = handover.descriptor_of(directory)
    if handed is None:
        kernel.check_fuse()
        kernel.check_mountpoint(directory)
        place = kernel.resolve(directory)
    else:
        if not foreground:
            raise UsageError(
                f"{directory} needs --foreground", "a descriptor was handed to this process, not to a daemon of its own"
            )
        kernel.check_library()
        handover.check_descriptor(handed)
        place = directory
        if click.get_current_context().get_parameter_source("allow_other") is ParameterSource.DEFAULT:
            allow_other = True  # whoever handed it over is another user as a rule
    refuse_our_mounts(Path(source.cache_dir))
    _keep_apart(place, Path(os.path.realpath(source.cache_dir)))
    if log_file is None and not foreground:
        log_file = places.log_directory() / f"{'-'.join(place.parts[1:]) or 'root'}.log"
    waiting = ExitStack()
    shown = Showing(lambda _moment: None, LINE_SECONDS) if quiet else waiting.enter_context(showing_when_needed(source.reference))
    settings = MountSettings(
        source=replace(source, deferred=proof == "deferred", prefetch=Prefetch(prefetch)),
        mountpoint=str(place),
        allow_other=allow_other,
        noexec=noexec,
        uid=uid,
        gid=gid,
        umask=umask,
        read_timeout_seconds=read_timeout,
        timeout_seconds=timeout,
        progress_seconds=shown.period_seconds,
        tag_ttl_seconds=tag_ttl or None,
        fill=fill,
        xattr=xattr,
        scrub_bytes_per_second=scrub,
        verbosity=-1 if quiet else verbosity(click.get_current_context()),
        log_file=str(log_file.absolute()) if log_file else None,
        control_socket=_control_socket(place if handed is None else handover.place_of(handed)),
        stop_timeout_seconds=stop_timeout,
        notify=take_supervision(os.environ),
        log_format=log_format,
        log_level=log_level,
        journal_stream=os.environ.get("JOURNAL_STREAM", ""),
        metrics_address=metrics_address,
    )
    if foreground:
        from mkfs.service.mounted import run

        def announce(outcome: Outcome) -> None:
            waiting.close()
            _tell(outcome, quiet=quiet)

        with waiting:
            exit_code = run(settings, announce, shown.show)
        if exit_code:
            raise SystemExit(exit_code)
        return
    if not source.client.tls.verify:
        click.echo(UNVERIFIED, err=True)  # also in the daemon's log, which nobody reads now
    with waiting, click.get_current_context().obj or DaemonProcess() as daemon:
        outcome = launch(settings, daemon, shown.show)
    _tell(outcome, quiet=quiet)


def _control_socket(place: Path | None) -> str | None:
    """Where `status` looks for a mount at `place`; None where nobody knows the place."""
    return None if place is None else str(places.runtime_directory(os.environ) / socket_name(place))


def _keep_apart(place: Path, cache: Path) -> None:
    """A cache below its own mount would be read through it, a mount below the cache would be swept with it."""
    if place == cache or place in cache.parents or cache in place.parents:
        raise MountpointUnusable(
            f"the cache and the mountpoint {place} lie in one another", f"cache {cache}", "choose another --cache-dir"
        )


def _tell(outcome: Outcome, *, quiet: bool) -> None:
    if outcome.exit_code:
        fail(outcome.exit_code, outcome.lines)
    if not quiet:
        for line in outcome.lines:
            click.echo(printable(line), err=True)
