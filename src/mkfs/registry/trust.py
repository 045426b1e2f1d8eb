"""Whom TLS believes, host by host: the system's authorities, `--ca-file`, and what a directory of the host's own name adds.

    certs.d/registry.example.org:5000/ca.crt         an authority, for this host alone
    certs.d/registry.example.org:5000/us.cert, .key  the certificate we show it, and its key

Sources: containers-certs.d(5), docker docs "Verify repository client with certificates". The first directory that exists for a host
is the only one for it. A certificate is shown to no other host, so a storage host that a registry names never sees it.

Files are read when a host is first asked, and not again.
"""

import ssl
from pathlib import Path
from typing import Final, final

import httpx2

from mkfs.errors import UsageError
from mkfs.registry.hosts import names_of
from mkfs.registry.settings import TlsSettings
from mkfs.registry.urls import Origin

_PARTNERS: Final = {".cert": ".key", ".key": ".cert"}


@final
class Trust:
    """Makes the TLS contexts of one client, each once."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._directories = [Path(directory) for directory in settings.directories]
        self._contexts: dict[Path | None, ssl.SSLContext] = {}

    def directory(self, origin: Origin) -> Path | None:
        """The directory about `origin`; None where there is none. Hosts with the same answer share a context."""
        candidates = (directory / name for directory in self._directories for name in names_of(origin))
        return next((candidate for candidate in candidates if _is_directory(candidate)), None)

    def context(self, directory: Path | None) -> ssl.SSLContext:
        """What to believe and show, for a `directory` or for all other hosts. Raises `UsageError` naming the file that is off."""
        context = self._contexts.get(directory)
        if context is None:
            context = self._contexts[directory] = self._new(directory)
        return context

    def _new(self, directory: Path | None) -> ssl.SSLContext:
        context = httpx2.create_ssl_context(verify=self._settings.verify)  # SSL_CERT_FILE and SSL_CERT_DIR, else the system's
        if self._settings.ca_file:
            _believe(context, Path(self._settings.ca_file))
        if directory is not None:
            try:
                files = sorted(directory.iterdir())
            except OSError as error:
                raise _unusable(directory, error) from error
            for path in files:
                if path.suffix == ".crt":
                    _believe(context, path)
                elif path.suffix in _PARTNERS:
                    _show(context, path, path.with_suffix(_PARTNERS[path.suffix]))
        return context


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


def _show(context: ssl.SSLContext, path: Path, partner: Path) -> None:
    if not partner.exists():
        raise UsageError(f"{path.name} has no {partner.name} beside it", str(path.parent), "a client certificate needs its key")
    if path.suffix == ".cert":
        try:
            context.load_cert_chain(path, partner)
        except OSError as error:
            raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> UsageError:
    reason = "no certificate in PEM form, or one that does not fit its key" if isinstance(error, ssl.SSLError) else error.strerror
    return UsageError(f"certificates cannot be used ({reason})", str(path))
