"""Options that say how registries are spoken to: for every verb that asks one."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from mkfs.cli import places
from mkfs.registry.proxies import Proxies
from mkfs.registry.settings import ClientSettings, TlsSettings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--plain-http/--no-plain-http",
        default=None,
        envvar="MKFS_PLAIN_HTTP",
        help="Talk HTTP to the registry, or TLS. [default: HTTP to loopback hosts, TLS to all others]",
    ),
    click.option(
        "--authfile",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="MKFS_AUTHFILE",
        help="Look for logins in this file (docker's config.json, podman's auth.json) before those of docker, podman and kit.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="MKFS_CA_FILE",
        help="Believe the authorities in this PEM file too. Those of single registries, and client certificates, are looked for in "
        "certs.d directories of containers and docker.",
    ),
    click.option(
        "--tls-verify",
        type=bool,
        default=True,
        show_default=True,
        envvar="MKFS_TLS_VERIFY",
        help="Whether TLS certificates are verified. Without, bytes are proven all the same, but anybody may listen.",
    ),
)


def registry_options(function: F) -> F:
    """All of them; `function` gets what they come to as `client`."""

    @functools.wraps(function)
    def with_client(
        *, plain_http: bool | None, authfile: Path | None, ca_file: Path | None, tls_verify: bool, **others: object
    ) -> object:
        searched = (*([authfile] if authfile else []), *places.credential_files(os.environ))
        client = ClientSettings(
            plain_http=plain_http,
            credential_files=tuple(str(path.absolute()) for path in searched),
            tls=TlsSettings(
                ca_file=str(ca_file.absolute()) if ca_file else "",
                verify=tls_verify,
                directories=tuple(map(str, places.certificate_directories(os.environ))),
            ),
            proxies=Proxies.from_environment(os.environ),
        )
        return function(client=client, **others)

    decorated = with_client
    for decorate in reversed(_OPTIONS):
        decorated = decorate(decorated)
    return cast(F, decorated)
