"""Options that several verbs share, and what they come to once the environment and the config file were asked."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mkfs.cli import places
from mkfs.cli.config import load_config
from mkfs.oci.reference import Reference
from mkfs.registry.proxies import Proxies
from mkfs.service.settings import SourceSettings

F = TypeVar("F", bound=Callable[..., Any])


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


def source_options(function: F) -> F:
    """REF and everything that says where it comes from; see `source_settings`."""
    for decorate in reversed(
        (
            click.argument("ref"),
            click.option(
                "--plain-http",
                is_flag=True,
                envvar="MKFS_PLAIN_HTTP",
                help="Talk HTTP to the registry. Loopback hosts need no flag.",
            ),
            click.option(
                "--cache-dir",
                type=click.Path(path_type=Path),
                envvar="MKFS_CACHE_DIR",
                help="Where proven bytes are kept. [default: /var/cache/mkfs for root, else ~/.cache/mkfs]",
            ),
            click.option(
                "--config",
                type=click.Path(path_type=Path, dir_okay=False),
                envvar="MKFS_CONFIG",
                help="Config file. [default: ~/.config/mkfs/config.toml, else /etc/mkfs/config.toml]",
            ),
            verbosity_option,
        )
    ):
        function = decorate(function)
    return function


def source_settings(*, ref: str, plain_http: bool, cache_dir: Path | None, config: Path | None) -> SourceSettings:
    """The settings of the options above. Raises `BadReference`, `UsageError`."""
    read = load_config(config, places.config_files(os.environ))
    reference = Reference.parse(ref, read.alias)
    return SourceSettings(
        reference=str(reference),
        cache_dir=str((cache_dir or places.cache_directory(os.environ)).absolute()),
        credentials_file=str(places.docker_config(os.environ).absolute()),
        plain_http=plain_http,
        proxies=Proxies.from_environment(os.environ),
    )
