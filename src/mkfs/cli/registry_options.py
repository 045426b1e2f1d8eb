"""What the options that say how registries are spoken to come to, once the machine was asked: for every verb that asks one."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mkfs.cli import places
from mkfs.registry.proxies import Proxies
from mkfs.registry.settings import ClientSettings, HostsSettings, TlsSettings


def client_settings(words: Mapping[str, Any]) -> ClientSettings:
    """How registries are spoken to. `words`: what a verb that asks one got for its options."""
    authfile: Path | None = words["authfile"]
    ca_file: Path | None = words["ca_file"]
    hosts: tuple[Path, ...] = words["hosts_dirs"] or places.hosts_directories()
    searched = (*([authfile] if authfile else []), *places.credential_files(os.environ))
    return ClientSettings(
        plain_http=words["plain_http"],
        credential_files=_names(searched),
        tls=TlsSettings(
            ca_file=str(ca_file.absolute()) if ca_file else "",
            verify=words["tls_verify"],
            directories=_names((*places.certificate_directories(os.environ), *hosts)),
        ),
        hosts=HostsSettings(_names(hosts), _names(places.registries_conf(os.environ))) if words["mirrors"] else HostsSettings(),
        proxies=Proxies.from_environment(os.environ),
    )


def _names(paths: Iterable[Path]) -> tuple[str, ...]:
    """As a daemon gets them, which runs elsewhere."""
    return tuple(str(path.absolute()) for path in paths)
