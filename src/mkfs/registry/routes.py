"""Whom to ask for a repository: its registry, or what the node's administrator says in `hosts.toml` or `registries.conf`.

The first of these that says something about a registry decides: a directory of it with a `hosts.toml` (containerd), an entry of
`registries.conf` (podman), nothing. Files are read when a repository is first asked for, and not again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar, final

from mkfs.errors import UsageError
from mkfs.registry.hosts import is_loopback, names_of, origin_of
from mkfs.registry.retries import CONNECT_SECONDS
from mkfs.registry.settings import HostsSettings
from mkfs.registry.trust import HostTls
from mkfs.registry.urls import Origin, Url

if TYPE_CHECKING:  # most nodes have neither
    from mkfs.registry.hosts_toml import HostEntry
    from mkfs.registry.registries_conf import Place, RegistryEntry

T = TypeVar("T")

_DEFAULT: Final = "_default"
_FILE: Final = "hosts.toml"


@final
@dataclass(frozen=True, slots=True)
class Route:
    """One host, and how it is asked for one repository. `registry` is the name its credentials are kept under; `namespace` the
    registry it stands for, where it wants to be told (`?ns=`). `plain_http`: credentials may be shown over plain HTTP.
    """

    origin: Origin
    registry: str
    repository: str
    plain_http: bool
    root: str = "/v2"
    namespace: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tls: HostTls | None = None
    tags: bool = True
    digests: bool = True
    connect_seconds: float = CONNECT_SECONDS


@final
class Routes:
    """The routes of one client. Blocks for some small files."""

    def __init__(self, settings: HostsSettings, *, plain_http: bool | None) -> None:
        self._settings, self._plain_http = settings, plain_http
        self._entries: tuple[RegistryEntry, ...] | None = None

    def of(self, registry: str, repository: str) -> tuple[Route, ...]:
        """Mirrors in their order, and last the registry itself. Raises `UsageError`: a host or file that makes no sense, or a
        registry that is blocked.
        """
        own = Route(origin_of(registry, plain_http=self._plain_http), registry, repository, bool(self._plain_http))
        directory = self._directory(own.origin)
        if directory is not None:
            from mkfs.registry import hosts_toml

            entries = _read(directory / _FILE, hosts_toml.LIMIT_BYTES, hosts_toml.decode_hosts_toml)
            *mirrors, server = (self._from_containerd(entry, own, directory) for entry in entries)
            return (*(mirror for mirror in mirrors if mirror.tags or mirror.digests), server)
        if not self._settings.registries_conf:
            return (own,)
        from mkfs.registry import registries_conf

        if self._entries is None:
            read = (
                _read(Path(path), registries_conf.LIMIT_BYTES, registries_conf.decode_registries_conf)
                for path in self._settings.registries_conf
            )
            self._entries = tuple(entry for entries in read for entry in entries)
        found = registries_conf.best_entry(self._entries, f"{registry}/{repository}")
        if found is None:
            return (own,)
        if found.blocked:
            raise UsageError(f"{registry}/{repository} is blocked by registries.conf", ", ".join(self._settings.registries_conf))
        return tuple(route for place in found.places(f"{registry}/{repository}") for route in self._from_podman(place, own))

    def _directory(self, origin: Origin) -> Path | None:
        names = (*names_of(origin), _DEFAULT)
        candidates = (Path(directory, name) for directory in self._settings.directories for name in names)
        try:
            return next((candidate for candidate in candidates if (candidate / _FILE).is_file()), None)
        except OSError as error:  # what it says might matter, so it is not passed over
            where = ", ".join(self._settings.directories)
            raise UsageError(f"cannot look for {_FILE} of {origin.authority}: {error.strerror}", where) from error

    def _from_containerd(self, entry: "HostEntry", own: Route, directory: Path) -> Route:
        route = own
        if entry.url:
            try:
                origin = _origin(entry.url)
            except ValueError as error:
                raise UsageError(f"{entry.url[:80]!a} is no host ({error})", str(directory / _FILE)) from error
            same = origin.host == own.origin.host
            route = replace(
                own, origin=origin, registry=own.registry if same else origin.authority, plain_http=origin.scheme == "http"
            )
            route = replace(route, namespace="" if origin.authority == own.origin.authority else own.registry)
        tls = HostTls(
            tuple(str(directory / path) for path in entry.authorities),
            tuple((str(directory / cert), str(directory / key) if key else "") for cert, key in entry.clients),
            not entry.skip_verify,
        )
        return replace(
            route,
            root=entry.path,
            headers=entry.headers,
            tls=None if tls == HostTls() else tls,
            tags="resolve" in entry.capabilities,
            digests="pull" in entry.capabilities,
            connect_seconds=min(entry.dial_seconds or CONNECT_SECONDS, CONNECT_SECONDS),
        )

    def _from_podman(self, place: "Place", own: Route) -> Iterable[Route]:
        """An insecure place is asked by TLS that believes anybody, then without TLS: containers-registries.conf(5)."""
        registry, _, repository = place.name.partition("/")
        if not repository:
            raise UsageError(f"{place.name!a} names no repository", ", ".join(self._settings.registries_conf))
        ways = (False, True) if place.insecure else (self._plain_http,)
        for plain_http in ways:
            origin = origin_of(registry.lower(), plain_http=plain_http)
            tls = HostTls(verify=False) if place.insecure and not plain_http else None
            yield replace(
                own,
                origin=origin,
                registry=registry,
                repository=repository,
                plain_http=bool(plain_http),
                tls=tls,
                tags=place.tags,
                digests=place.digests,
            )


def _origin(url: str) -> Origin:
    """A host's URL as containerd reads it: https where it does not say, but for this machine."""
    if "://" in url:
        return Url.parse(url).origin
    secure = Origin.of("https", url)
    return Origin.of("http", url) if is_loopback(secure.host) and secure.port != 443 else secure


def _read(path: Path, limit_bytes: int, decode: Callable[[bytes], T]) -> T:
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise UsageError(f"too large (expected at most {limit_bytes} bytes)")
        return decode(data)
    except OSError as error:
        raise UsageError(f"cannot be read ({(error.strerror or type(error).__name__).lower()})", str(path)) from error
    except UsageError as error:
        raise UsageError(error.what, str(path)) from error
