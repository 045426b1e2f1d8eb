"""Whom TLS believes, host by host: the system's authorities, `--ca-file`, and what a directory of the host's own name adds.

    certs.d/registry.example.org:5000/ca.crt         an authority, for this host alone
    certs.d/registry.example.org:5000/us.cert, .key  the certificate we show it, and its key

Sources: containers-certs.d(5), docker docs "Verify repository client with certificates". The first directory that exists for a host
is the only one for it. A certificate is shown to no other host, so a storage host that a registry names never sees it.

Where a `hosts.toml` speaks of a host's certificates (`routes`), that counts instead. Files are read when a host is first asked, and
not again.
"""

import ssl
from pathlib import Path
from typing import Final, final

import httpx2
from msgspec import Struct

from mkfs.errors import UsageError
from mkfs.registry.hosts import names_of
from mkfs.registry.settings import TlsSettings
from mkfs.registry.urls import Origin

_PARTNERS: Final = {".cert": ".key", ".key": ".cert"}


@final
class HostTls(Struct, frozen=True):
    """What a `hosts.toml` says of one host, by absolute paths: authorities, and certificates with their keys ("": in one file)."""

    authorities: tuple[str, ...] = ()
    clients: tuple[tuple[str, str], ...] = ()
    verify: bool = True


@final
class Trust:
    """Makes the TLS contexts of one client, each once."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._directories = [Path(directory) for directory in settings.directories]
        self._about: dict[Origin, Path | HostTls | None] = {}
        self._contexts: dict[Path | HostTls | None, ssl.SSLContext] = {}

    def tell(self, origin: Origin, tls: HostTls) -> None:
        """From now on this is what counts for `origin`, and no directory."""
        self._about[origin] = tls

    def about(self, origin: Origin) -> Path | HostTls | None:
        """What says whom to believe of `origin`: what was told, its directory, or None. Hosts with the same answer share a
        context.
        """
        if origin not in self._about:
            candidates = (directory / name for directory in self._directories for name in names_of(origin))
            self._about[origin] = next((candidate for candidate in candidates if _is_directory(candidate)), None)
        return self._about[origin]

    def context(self, about: Path | HostTls | None) -> ssl.SSLContext:
        """What to believe and show, by what `about` gave. Raises `UsageError` naming the file that is off."""
        context = self._contexts.get(about)
        if context is None:
            context = self._contexts[about] = self._new(about)
        return context

    def _new(self, about: Path | HostTls | None) -> ssl.SSLContext:
        verify = self._settings.verify and (not isinstance(about, HostTls) or about.verify)
        context = httpx2.create_ssl_context(verify=verify)  # SSL_CERT_FILE and SSL_CERT_DIR, else the system's
        if self._settings.ca_file:
            _believe(context, Path(self._settings.ca_file))
        if isinstance(about, HostTls):
            for authority in about.authorities:
                _believe(context, Path(authority))
            for cert, key in about.clients:
                _show(context, Path(cert), Path(key) if key else None)
        elif about is not None:
            _read(context, about)
        return context


def _read(context: ssl.SSLContext, directory: Path) -> None:
    try:
        files = sorted(directory.iterdir())
    except OSError as error:
        raise _unusable(directory, error) from error
    for path in files:
        if path.suffix == ".crt":
            _believe(context, path)
        elif path.suffix in _PARTNERS:
            partner = path.with_suffix(_PARTNERS[path.suffix])
            if not partner.exists():
                where, hint = str(path.parent), "a client certificate needs its key"
                raise UsageError(f"{path.name} has no {partner.name} beside it", where, hint)
            if path.suffix == ".cert":
                _show(context, path, partner)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # above it is something we may not enter: not for us, as podman sees it
        return False


def _believe(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:  # `ssl.SSLError` is one: no certificate in it
        raise _unusable(path, error) from error


def _show(context: ssl.SSLContext, path: Path, key: Path | None) -> None:
    try:
        context.load_cert_chain(path, key)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> UsageError:
    reason = "no certificate in PEM form, or one that does not fit its key" if isinstance(error, ssl.SSLError) else error.strerror
    return UsageError(f"certificates cannot be used ({reason})", str(path))
