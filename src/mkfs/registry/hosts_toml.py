"""containerd's `hosts.toml`: which hosts to ask instead of a registry, in which order (containerd docs/hosts.md). Pure.

    server = "https://ghcr.io"

    [host."https://mirror.example.org:5000"]
      capabilities = ["pull", "resolve"]
      ca = "ca.crt"

Keys nobody here asks for are ignored, as containerd does: `proxy`, and what comes with later versions.
"""

import re
from collections.abc import Mapping
from typing import Final, final

from msgspec import Struct

from mkfs.errors import UsageError
from mkfs.oci.toml import decode_toml
from mkfs.units import KIB

LIMIT_BYTES: Final = 256 * KIB  # real ones have some hundred

_ALL: Final = frozenset({"pull", "resolve", "push"})
_API: Final = "/v2"
# As Go writes durations: "1.5s", "1m30s".
_UNIT_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART: Final = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h)"


@final
class HostEntry(Struct, frozen=True):
    """One host. `url` may lack its scheme; `path` is where its API begins. Files are as written: relative ones to the file's own
    directory. `clients` are certificates with their keys, "" where both are in one file.
    """

    url: str
    path: str
    capabilities: frozenset[str] = _ALL
    authorities: tuple[str, ...] = ()
    clients: tuple[tuple[str, str], ...] = ()
    skip_verify: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    dial_seconds: float | None = None  # for a connection; None: as long as usual


def decode_hosts_toml(data: bytes) -> tuple[HostEntry, ...]:
    """The hosts, in the file's order; last the server, where the file names one (its `url` is "" where it only says more of it).

    Raises `UsageError` without a place.
    """
    document = decode_toml(data)
    hosts = document.pop("host", {})
    if not isinstance(hosts, dict) or not all(isinstance(fields, dict) for fields in hosts.values()):
        raise UsageError('[host."URL"] is no table')
    server = document.pop("server", "")
    entries = [_entry(url, fields) for url, fields in hosts.items()]
    if not isinstance(server, str):
        raise UsageError("server is no string")
    return (*entries, _entry(server, document))


def _entry(url: str, fields: Mapping[str, object]) -> HostEntry:
    scheme, separator, rest = url.rpartition("://")
    authority, _, path = rest.partition("/")
    path = f"/{path.strip('/')}" if path.strip("/") else ""
    if not _flag(fields, "override_path") and not path.endswith(_API):
        path += _API
    return HostEntry(
        f"{scheme}{separator}{authority}",
        path,
        frozenset(_texts(fields, "capabilities")) if "capabilities" in fields else _ALL,
        _texts(fields, "ca"),
        _clients(fields.get("client")),
        _flag(fields, "skip_verify"),
        _headers(fields.get("header")),
        _seconds(fields, "dial_timeout"),
    )


def _flag(fields: Mapping[str, object], key: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise UsageError(f"{key} is neither true nor false")
    return value


def _seconds(fields: Mapping[str, object], key: str) -> float | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(f"(?:{_DURATION_PART})+", value, re.ASCII):
        raise UsageError(f'{key} is no duration, as "5s" or "500ms"')
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in re.findall(_DURATION_PART, value)) or None


def _texts(fields: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A string, or a list of strings."""
    value = fields.get(key, [])
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise UsageError(f"{key} is neither a string nor a list of strings")
    return tuple(listed)


def _clients(value: object) -> tuple[tuple[str, str], ...]:
    """One file, several of them, or pairs of files."""
    listed = [value] if isinstance(value, str) else [] if value is None else value
    pairs = [[each, ""] if isinstance(each, str) else each for each in listed] if isinstance(listed, list) else [None]
    found = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) > 2 or not pair or not all(isinstance(text, str) for text in pair):
            raise UsageError("client is neither a file, nor a list of files or of pairs of files")
        found.append((pair[0], pair[1] if len(pair) > 1 else ""))
    return tuple(found)


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise UsageError("header is no table")
    return tuple((name, text) for name in value for text in _texts(value, name))
