"""docker's `config.json`: what it says of registries and who may pull from them. Pure: bytes in, values out.

Sources: docker/cli cli/config/configfile (auths, credHelpers, credsStore; the form of keys), and what podman, oras and kit write in
the same form; containers/image pkg/docker/config for keys that name a repository or what is above it. `HttpHeaders` and `proxies`
in that file are for other traffic and are not read.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self, final

from mkfs.oci.json import decode_json
from mkfs.units import MIB

CONFIG_LIMIT_BYTES: Final = MIB  # real ones have a few KiB

# Docker Hub has many names; docker itself writes the first, as a URL with a path.
_DOCKER_HUB_KEYS: Final = ("index.docker.io", "docker.io", "registry-1.docker.io")
_API_PATHS: Final = frozenset({"", "v1", "v2"})
_DOCKER_HUB_SERVER: Final = "https://index.docker.io/v1/"  # what helpers are asked for


@final
@dataclass(frozen=True, slots=True)
class Credential:
    """What may be shown to one registry: user and password, or a token of either kind. `repr` shows none of it."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)  # to be exchanged for an access token (OAuth2 refresh token)
    registry_token: str = field(default="", repr=False)  # an access token: shown as it is

    def __bool__(self) -> bool:
        return bool(self.username or self.password or self.identity_token or self.registry_token)

    def basic(self) -> str:
        """The value of an `Authorization` header with user and password (RFC 7617, in UTF-8)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


@final
@dataclass(frozen=True, slots=True)
class DockerConfig:
    """The parts of one file that matter here. Equal where all that they say is equal.

    Keys are `host[:port]` in lower case; those of `auths` may go on with `/` and a repository, or the beginning of some.
    """

    auths: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads the file's content. Raises `BadDocument`, without any of the content.

        Entries that make no sense are left out, as one bad entry must not lock out of every other registry.
        """
        document = decode_json(data, CONFIG_LIMIT_BYTES, "docker config")
        auths: dict[str, Credential] = {}
        for key, entry in _mapping(document.get("auths")).items():
            credential = _credential(_mapping(entry))
            if credential and (_place(key) not in auths or key == _place(key)):  # the plain host wins over URLs of it
                auths[_place(key)] = credential
        named = _mapping(document.get("credHelpers")).items()
        helpers = {_host(key): name for key, name in named if isinstance(name, str) and name}
        store = document.get("credsStore")
        return cls(auths, helpers, store if isinstance(store, str) else "")

    def credential(self, registry: str, repository: str = "") -> Credential | None:
        """What `auths` holds for `repository` of `registry`: under its own name, else under the next one above, last under the
        registry's.
        """
        hosts = _keys(registry)
        while repository:
            for host in hosts:
                if (found := self.auths.get(f"{host}/{repository}")) is not None:
                    return found
            repository = repository.rpartition("/")[0]
        return next((self.auths[host] for host in hosts if host in self.auths), None)

    def helper(self, registry: str) -> str:
        """The name of the program that keeps the credentials of `registry`; "" where there is none."""
        return next((self.helpers[key] for key in _keys(registry) if key in self.helpers), self.store)


def server_of(registry: str) -> str:
    """The name by which helpers know `registry`."""
    return _DOCKER_HUB_SERVER if registry in _DOCKER_HUB_KEYS else registry


def _keys(registry: str) -> tuple[str, ...]:
    return _DOCKER_HUB_KEYS if registry in _DOCKER_HUB_KEYS else (registry,)


def _host(key: str) -> str:
    """`host[:port]` of a key, which may carry a scheme and a path."""
    return key.rpartition("://")[2].partition("/")[0].lower()


def _place(key: str) -> str:
    """The same with the repository that a key without a scheme may name. A URL's path is the API's, and so is a bare `v1/`."""
    host, _, path = key.rpartition("://")[2].partition("/")
    path = path.strip("/")
    return host.lower() if "://" in key or path in _API_PATHS else f"{host.lower()}/{path}"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _credential(entry: Mapping[str, object]) -> Credential:
    def text(name: str) -> str:
        value = entry.get(name)
        return value if isinstance(value, str) else ""

    username, password = _unpack(text("auth"))
    return Credential(
        username or text("username"),
        password or text("password"),
        text("identitytoken"),
        text("registrytoken"),
    )


def _unpack(auth: str) -> tuple[str, str]:
    """User and password out of `auth`: base64 of `user:password`, by some writers with NULs at its end."""
    try:
        username, colon, password = base64.b64decode(auth.strip(), validate=True).decode("utf-8").partition(":")
    except ValueError:  # not ASCII, not base64, not UTF-8 inside
        return "", ""
    return (username, password.rstrip("\0")) if colon and username else ("", "")
