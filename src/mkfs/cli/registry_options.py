"""Options that say how registries are spoken to: for every verb that asks one."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from mkfs.cli import places
from mkfs.registry.proxies import Proxies
from mkfs.registry.settings import ClientSettings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--plain-http", is_flag=True, envvar="MKFS_PLAIN_HTTP", help="Talk HTTP to the registry. Loopback hosts need no flag."
    ),
    click.option(
        "--authfile",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="MKFS_AUTHFILE",
        help="Look for logins in this file (docker's config.json, podman's auth.json) before those of docker, podman and kit.",
    ),
)


def registry_options(function: F) -> F:
    """All of them; `function` gets what they come to as `client`."""

    @functools.wraps(function)
    def with_client(*, plain_http: bool, authfile: Path | None, **others: object) -> object:
        searched = (*([authfile] if authfile else []), *places.credential_files(os.environ))
        client = ClientSettings(
            plain_http=plain_http,
            credential_files=tuple(str(path.absolute()) for path in searched),
            proxies=Proxies.from_environment(os.environ),
        )
        return function(client=client, **others)

    decorated = with_client
    for decorate in reversed(_OPTIONS):
        decorated = decorate(decorated)
    return cast(F, decorated)
