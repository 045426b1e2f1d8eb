"""Options that several verbs share, and what they come to once the environment and the config file were asked."""

import functools
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar, cast, final

import click
from msgspec import Struct

from mkfs.cli import places
from mkfs.cli.config import load_config
from mkfs.cli.registry_options import registry_options
from mkfs.cli.trust import read_key_file
from mkfs.errors import UsageError
from mkfs.oci.reference import Reference
from mkfs.proof.trust_settings import REGISTRY, KeyFile
from mkfs.registry.settings import ClientSettings
from mkfs.service.settings import SourceSettings
from mkfs.units import parse_size

F = TypeVar("F", bound=Callable[..., Any])


_PERCENT: Final = re.compile(r"([0-9]{1,2})\s*%", re.ASCII)
_VERBOSITY = "mkfs.verbosity"  # in click's `meta`, so that no verb has to carry it


def _remember(context: click.Context, _parameter: click.Parameter, value: int) -> None:
    context.meta[_VERBOSITY] = value


verbosity_option = click.option(
    "-v", "--verbose", count=True, expose_value=False, callback=_remember, help="Say more; twice: tracebacks."
)


def verbosity(context: click.Context) -> int:
    """How often `-v` was given."""
    value: int = context.meta.get(_VERBOSITY, 0)
    return value


def reads(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, str | None], object]:
    """A callback for options whose words `parse` reads: its `UsageError` becomes click's, which names the option."""

    def convert(context: click.Context, parameter: click.Parameter, value: str | None) -> object:
        try:
            return None if value is None else parse(value)
        except UsageError as error:
            raise click.BadParameter(error.what, context, parameter) from error

    return convert


@final
class MinFree(Struct, frozen=True):
    """What stays free on the cache's disk: a share of its bytes and inodes, or bytes."""

    ratio: float
    size_bytes: int


def parse_min_free(text: str) -> MinFree:
    """`10%` or a size. Raises `UsageError`."""
    percent = _PERCENT.fullmatch(text.strip())
    return MinFree(int(percent[1]) / 100, 0) if percent else MinFree(0.0, parse_size(text))


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="MKFS_CONFIG",
    help="Config file. [default: ~/.config/mkfs/config.toml, else /etc/mkfs/config.toml]",
)
cache_dir_option = click.option(
    "--cache-dir",
    metavar="PATH",
    type=Path,  # not click.Path: that asks the file system, and a stuck one never answers
    envvar="MKFS_CACHE_DIR",
    help="Where proven bytes are kept. [default: /var/cache/mkfs for root, else ~/.cache/mkfs]",
)
cache_limit_options = (
    click.option(
        "--cache-size",
        metavar="SIZE",
        callback=reads(parse_size),
        envvar="MKFS_CACHE_SIZE",
        help="What the cache may occupy, e.g. 200GiB; what was used longest ago goes first. [default: no limit but --min-free]",
    ),
    click.option(
        "--min-free",
        metavar="PERCENT|SIZE",
        callback=reads(parse_min_free),
        envvar="MKFS_MIN_FREE",
        default="10%",
        show_default=True,
        help="What the cache leaves free on its disk, of bytes and inodes (10%), or of bytes (50GiB, and 10% of the inodes).",
    ),
)


_trust_options = (
    click.option(
        "--trust-key",
        type=click.Path(path_type=Path, dir_okay=False),
        multiple=True,
        envvar="MKFS_TRUST_KEY",
        help="A file of public keys (PEM): a chunk index that one of them signed is believed. Repeatable.",
    ),
    click.option(
        "--trust-index",
        type=click.Choice([REGISTRY]),
        envvar="MKFS_TRUST_INDEX",
        help="Believe an unsigned chunk index from the artifact's own registry, too; never for a reference with a digest.",
    ),
    click.option(
        "--verify-signature",
        is_flag=True,
        envvar="MKFS_VERIFY_SIGNATURE",
        help="Refuse the artifact unless one of the keys signed it (cosign).",
    ),
)


def source_options(function: F, *, reference: Callable[[str], str] = str, or_repository: bool = False) -> F:
    """REF and everything that says where it comes from and what is kept of it; `function` gets it as `source`.

    `reference` makes a reference of what the user gave for REF; with `or_repository` REF may be a repository as well. Calling the
    command raises `BadReference`, and `UsageError` for what click cannot judge.
    """

    @functools.wraps(function)
    def with_source(
        *,
        ref: str,
        client: ClientSettings,
        cache_dir: Path | None,
        cache_size: int | None,
        min_free: MinFree,
        config: Path | None,
        trust_key: tuple[Path, ...],
        trust_index: str | None,
        verify_signature: bool,
        **others: object,
    ) -> object:
        read = load_config(config, places.config_files(os.environ))
        source = SourceSettings(
            reference=str(_absolute(Reference.parse_source(reference(ref), read.alias, or_repository=or_repository))),
            cache_dir=str((cache_dir or places.cache_directory(os.environ)).absolute()),
            client=client,
            cache_size_bytes=cache_size,
            min_free_ratio=min_free.ratio,
            min_free_bytes=min_free.size_bytes,
            trust=read.trust.with_options(
                tuple(KeyFile(str(path), read_key_file(path)) for path in trust_key),
                verify_signature=verify_signature,
                trust_registry=trust_index == REGISTRY,
            ),
        )
        return function(source=source, **others)

    decorated = with_source
    for decorate in reversed(
        (
            click.argument("ref"),
            registry_options,
            cache_dir_option,
            *cache_limit_options,
            config_option,
            *_trust_options,
            verbosity_option,
        )
    ):
        decorated = decorate(decorated)
    return cast(F, decorated)


def _absolute(reference: Reference) -> Reference:
    """A layout's directory as the daemon finds it, wherever it works. A slash at the end keeps a colon in it from being a tag's.

    Raises `BadReference` where we stand in a directory that cannot be named.
    """
    if not reference.is_layout:
        return reference
    path = str(Path(reference.repository).absolute())
    full = replace(reference, repository=f"{path}/" if ":" in path.rpartition("/")[2] else path)
    return Reference.parse_source(str(full))


def filter_option(function: F) -> F:
    """`--filter`, for verbs with `source_options`, below these: `source` has its words. Calling the command raises `UsageError`."""

    @functools.wraps(function)
    def with_filters(*, source: SourceSettings, filters: tuple[str, ...], **others: object) -> object:
        if filters:
            from mkfs.formats.filters import parse_filter

            for text in filters:
                parse_filter(text)
        return function(source=replace(source, filters=filters), **others)

    decorate = click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="TYPE[,TYPE…][:ID[,ID…]]",
        help="Only these: kitfile, model, datasets, code, prompts, docs, mcpservers; of them what goes by one of the ids (name or "
        "path in the Kitfile). More than once: what any of them wants. As kit unpack --filter.",
    )
    return cast(F, decorate(with_filters))


def which_options(function: F) -> F:
    """`--select` and `--allow-reference-host`, for verbs with `source_options`, below these: `source` has their words. Calling the
    command raises `UsageError`.
    """

    @functools.wraps(function)
    def with_words(
        *, source: SourceSettings, labels: tuple[str, ...], reference_hosts: tuple[str, ...], **others: object
    ) -> object:
        if labels:
            from mkfs.formats.selection import parse_labels

            parse_labels(labels)
        return function(source=replace(source, labels=labels, reference_hosts=reference_hosts), **others)

    select = click.option(
        "--select",
        "labels",
        multiple=True,
        metavar="KEY=VALUE",
        help="Where REF is an index: the artifact with this label, or of this platform (os, architecture, variant). More than "
        "once: with all of them. [default: the only one, or the one for this machine]",
    )
    allow = click.option(
        "--allow-reference-host",
        "reference_hosts",
        multiple=True,
        metavar="HOST[:PORT]",
        help="Follow a model that is a reference to a ModelKit at this registry. Its own registry needs no flag.",
    )
    return cast(F, select(allow(with_words)))


def offline_option(function: F) -> F:
    """`--offline`, for verbs with `source_options`, below these: `source` says whether it was given."""

    @functools.wraps(function)
    def with_offline(*, source: SourceSettings, offline: bool, **others: object) -> object:
        return function(source=replace(source, offline=offline), **others)

    decorate = click.option(
        "--offline",
        is_flag=True,
        envvar="MKFS_OFFLINE",
        help="Ask nobody: what is needed must be in the cache, and a tag means what it meant when it was asked for last.",
    )
    return cast(F, decorate(with_offline))
