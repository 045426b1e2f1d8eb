"""`mkfs mount REF DIR`."""

import os
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click

from mkfs.cache.layout import refuse_our_mounts
from mkfs.cli import places
from mkfs.cli.options import filter_option, offline_option, reads, source_options, verbosity, which_options
from mkfs.cli.progress import LINE_SECONDS, showing_when_needed
from mkfs.cli.report import fail
from mkfs.cli.text import printable
from mkfs.content.prefetch import Prefetch
from mkfs.errors import MountpointUnusable, UsageError
from mkfs.fuse import kernel
from mkfs.registry.settings import UNVERIFIED
from mkfs.service.control_place import socket_name
from mkfs.service.launch import launch
from mkfs.service.pipe import Outcome
from mkfs.service.process import DaemonProcess
from mkfs.service.progress import Showing
from mkfs.service.settings import MountSettings, SourceSettings
from mkfs.units import parse_duration, parse_size

# Long enough for a layer of some hundred GB on a fast link; an O_DIRECT read that waits can't be interrupted, so it must end by
# itself.
_READ_TIMEOUT_SECONDS: Final = 300.0


def _rate(text: str) -> int:
    rate = parse_size(text)
    if not rate:
        raise UsageError("a scrub of no bytes a second never ends (expected at least 1)")
    return rate


@click.command("mount")
@partial(source_options, or_repository=True)
@offline_option
@filter_option
@which_options
@click.argument("directory", metavar="DIR", type=Path)  # not click.Path: that asks the file system, and a stuck one never answers
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to stderr; Ctrl-C unmounts.")
@click.option(
    "--allow-other/--no-allow-other",
    default=None,
    help="Let other users read. Needs user_allow_other in /etc/fuse.conf unless root. [default: on for root]",
)
@click.option("--noexec", is_flag=True, help="No program in it can be run. [default: a kit's code may be]")
@click.option("--uid", type=click.IntRange(min=0), help="Owner of all files. [default: you]")
@click.option("--gid", type=click.IntRange(min=0), help="Group of all files. [default: yours]")
@click.option("--umask", type=str, default="000", show_default=True, help="Permission bits taken away, octal.")
@click.option(
    "--read-timeout",
    type=click.FloatRange(min=1),
    default=_READ_TIMEOUT_SECONDS,
    show_default=True,
    help="Seconds after which a waiting O_DIRECT read fails (buffered reads can be interrupted and wait).",
)
@click.option(
    "--timeout",
    metavar="DURATION",
    callback=reads(parse_duration),
    help="Give up (12) if DIR is not readable after so long (e.g. 90s, 10min): compressed layers that nothing is known of are read "
    "whole before. [default: however long it takes]",
)
@click.option(
    "--tag-ttl",
    metavar="DURATION",
    callback=reads(parse_duration),
    envvar="MKFS_TAG_TTL",
    default="15min",
    show_default=True,
    help="How often it is looked whether the tag moved: that is logged, and the mount stays as it is. 0s: never. Of a repository: "
    "how long it is believed what a tag means. 0s: it is asked each time.",
)
@click.option(
    "--log-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the daemon logs. [default: in /var/log/mkfs or ~/.local/state/mkfs/log]",
)
@click.option(
    "--scrub",
    metavar="SIZE",
    callback=reads(_rate),
    help="Hash all of the cache again and again in the background, so many bytes a second (e.g. 10MiB). [default: off]",
)
@click.option(
    "--verify",
    "proof",
    type=click.Choice(["strict", "deferred"]),
    default="strict",
    show_default=True,
    help="strict: no byte is answered before it is proven. deferred: the first reads of a layer do not wait for its proof; what "
    "turns out wrong is logged, forgotten by the kernel and an error from then on, but somebody has read it.",
)
@click.option(
    "--prefetch",
    type=click.Choice([each.value for each in Prefetch]),
    default=Prefetch.MODEL.value,
    show_default=True,
    help="What is fetched ahead of readers. sequential: where reads follow each other. model: also the rest of a tensor that is "
    "read, and the next shard when two were read in order.",
)
@click.option("--fill", is_flag=True, help="Fetch all of it in the background, behind what is read.")
@click.option("--xattr", is_flag=True, help="Show digest and proof of each file as user.mkfs.* attributes; slows `ls -l`.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors; log warnings only.")
def command(
    *,
    directory: Path,
    foreground: bool,
    allow_other: bool | None,
    noexec: bool,
    uid: int | None,
    gid: int | None,
    umask: str,
    read_timeout: float,
    timeout: int | None,
    tag_ttl: float,
    log_file: Path | None,
    scrub: int | None,
    proof: str,
    prefetch: str,
    fill: bool,
    xattr: bool,
    quiet: bool,
    source: SourceSettings,
) -> None:
    """Mount the artifact REF read-only at DIR, which must be an empty directory.

    Returns when DIR is readable; a daemon serves it until `umount DIR`. REF is REGISTRY/REPOSITORY:TAG or @DIGEST, or
    oci:DIRECTORY[:TAG] for an OCI layout directory. REGISTRY/REPOSITORY alone shows all of it: DIR/tags/TAG leads to
    DIR/digests/DIGEST, opened when somebody goes there.

    \b
    EXAMPLES
      kitfs mount ghcr.io/acme/llama:7b /mnt/llama
      kitfs mount localhost:5000/llama:7b /mnt/llama --foreground
      kitfs mount ghcr.io/acme/llama /mnt/all && readlink /mnt/all/tags/production
    """  # noqa: D301 - click's mark for lines that stay lines
    mask = _octal(umask)
    kernel.check_fuse()
    kernel.check_mountpoint(directory)
    place = kernel.resolve(directory)
    refuse_our_mounts(Path(source.cache_dir))
    _keep_apart(place, Path(os.path.realpath(source.cache_dir)))
    if log_file is None and not foreground:
        log_file = places.log_directory() / f"{'-'.join(place.parts[1:]) or 'root'}.log"
    waiting = ExitStack()
    shown = Showing(lambda _moment: None, LINE_SECONDS) if quiet else waiting.enter_context(showing_when_needed(source.reference))
    settings = MountSettings(
        source=replace(source, deferred=proof == "deferred", prefetch=Prefetch(prefetch)),
        mountpoint=str(place),
        allow_other=os.geteuid() == 0 if allow_other is None else allow_other,
        noexec=noexec,
        uid=os.getuid() if uid is None else uid,
        gid=os.getgid() if gid is None else gid,
        umask=mask,
        read_timeout_seconds=read_timeout,
        timeout_seconds=timeout,
        progress_seconds=shown.period_seconds,
        tag_ttl_seconds=tag_ttl or None,
        fill=fill,
        xattr=xattr,
        scrub_bytes_per_second=scrub,
        verbosity=-1 if quiet else verbosity(click.get_current_context()),
        log_file=str(log_file.absolute()) if log_file else None,
        control_socket=str(places.runtime_directory(os.environ) / socket_name(place)),
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


def _octal(text: str) -> int:
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise click.BadParameter(f"{text!r} is not an octal mask such as 022", param_hint="--umask")
    return value
