"""Options that say how registries are spoken to: for every verb that asks one."""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from mkfs.cli import places
from mkfs.registry.proxies import Proxies
from mkfs.registry.settings import ClientSettings, HostsSettings, TlsSettings

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
    click.option(
        "--mirrors/--no-mirrors",
        default=True,
        show_default=True,
        envvar="MKFS_MIRRORS",
        help="Whether mirrors are asked first: those of containerd's hosts.toml files, else of podman's registries.conf.",
    ),
    click.option(
        "--hosts-dir",
        "hosts_dirs",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        multiple=True,
        envvar="MKFS_HOSTS_DIR",
        help="Look for REGISTRY/hosts.toml in this directory. [default: /etc/containerd/certs.d]",
    ),
)


def registry_options(function: F) -> F:
    """All of them; `function` gets what they come to as `client`."""

    @functools.wraps(function)
    def with_client(
        *,
        plain_http: bool | None,
        authfile: Path | None,
        ca_file: Path | None,
        tls_verify: bool,
        mirrors: bool,
        hosts_dirs: tuple[Path, ...],
        **others: object,
    ) -> object:
        hosts = hosts_dirs or places.hosts_directories()
        searched = (*([authfile] if authfile else []), *places.credential_files(os.environ))
        client = ClientSettings(
            plain_http=plain_http,
            credential_files=_words(searched),
            tls=TlsSettings(
                ca_file=str(ca_file.absolute()) if ca_file else "",
                verify=tls_verify,
                directories=_words((*places.certificate_directories(os.environ), *hosts)),
            ),
            hosts=HostsSettings(_words(hosts), _words(places.registries_conf(os.environ))) if mirrors else HostsSettings(),
            proxies=Proxies.from_environment(os.environ),
        )
        return function(client=client, **others)

    decorated = with_client
    for decorate in reversed(_OPTIONS):
        decorated = decorate(decorated)
    return cast(F, decorated)


def _words(paths: Iterable[Path]) -> tuple[str, ...]:
    """As a daemon gets them, which runs elsewhere."""
    return tuple(str(path.absolute()) for path in paths)
