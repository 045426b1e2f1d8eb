"""podman's `registries.conf`: where a repository really is, and its mirrors (containers-registries.conf(5), version 2). Pure.

    [[registry]]
    prefix = "ghcr.io/acme"
    location = "harbor.example.org/ghcr/acme"
    [[registry.mirror]]
    location = "mirror.example.org/acme"

What decides is the entry whose prefix fits best: the longest one that ends where a part of the name ends, or `*.example.org` for
all hosts below. Where several files have the same prefix the last one counts. Short names, helpers and the rest are not read: a
reference here has a host, and credentials have their own order.
"""

from collections.abc import Iterable
from typing import Final, final

from msgspec import Struct

from mkfs.errors import UsageError
from mkfs.oci.toml import decode_toml
from mkfs.units import MIB

LIMIT_BYTES: Final = MIB  # those of distributions have some KiB

_PULLS: Final = ("all", "digest-only", "tag-only")


@final
class Place(Struct, frozen=True):
    """One place of a repository: `host[:port]/repository`."""

    name: str
    insecure: bool = False
    tags: bool = True
    digests: bool = True


@final
class RegistryEntry(Struct, frozen=True):
    """What is said of all names that begin with `prefix`: mirrors in order, with locations that stand for the prefix."""

    prefix: str
    location: str
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Place, ...] = ()

    def places(self, name: str) -> tuple[Place, ...]:
        """Where `name`, which the prefix fits, is looked for: mirrors first, the place itself last."""
        prefix = name.partition("/")[0] if self.prefix.startswith("*.") else self.prefix
        rest = name[len(prefix) :]
        own = Place(f"{self.location or prefix}{rest}", self.insecure)
        return (*(Place(f"{each.name}{rest}", each.insecure, each.tags, each.digests) for each in self.mirrors), own)

    def fits(self, name: str) -> bool:
        """Whether `name` (`host[:port]/repository`) is one of those."""
        if self.prefix.startswith("*."):
            return name.partition("/")[0].partition(":")[0].endswith(self.prefix[1:])
        return name == self.prefix or name.startswith(f"{self.prefix}/")


def decode_registries_conf(data: bytes) -> tuple[RegistryEntry, ...]:
    """The entries of one file. Raises `UsageError` without a place."""
    document = decode_toml(data)
    return tuple(_registry(fields) for fields in _tables(document, "registry"))


def best_entry(entries: Iterable[RegistryEntry], name: str) -> RegistryEntry | None:
    """The entry that decides about `name`; None where none fits. `entries` are in the order in which files are read."""
    fitting = [entry for entry in entries if entry.fits(name)]
    longest = max((len(entry.prefix) for entry in fitting), default=0)
    return next((entry for entry in reversed(fitting) if len(entry.prefix) == longest), None)


def _registry(fields: dict[str, object]) -> RegistryEntry:
    location = _text(fields, "location").rstrip("/")
    prefix = _text(fields, "prefix").rstrip("/") or location
    if not prefix:
        raise UsageError("[[registry]] has neither prefix nor location")
    digest_only = _flag(fields, "mirror-by-digest-only")
    mirrors = tuple(_mirror(mirror, digest_only=digest_only) for mirror in _tables(fields, "mirror"))
    return RegistryEntry(prefix, location, _flag(fields, "insecure"), _flag(fields, "blocked"), mirrors)


def _mirror(fields: dict[str, object], *, digest_only: bool) -> Place:
    location = _text(fields, "location").rstrip("/")
    if not location:
        raise UsageError("[[registry.mirror]] has no location")
    pulls = _text(fields, "pull-from-mirror") or ("digest-only" if digest_only else "all")
    if pulls not in _PULLS:
        raise UsageError(f"pull-from-mirror is {pulls[:80]!a} (expected {', '.join(_PULLS)})")
    return Place(location, _flag(fields, "insecure"), pulls != "digest-only", pulls != "tag-only")


def _tables(fields: dict[str, object], key: str) -> list[dict[str, object]]:
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise UsageError(f"{key} is no list of tables")
    return value


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{key} is no string")
    return value


def _flag(fields: dict[str, object], key: str) -> bool:
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise UsageError(f"{key} is neither true nor false")
    return value
