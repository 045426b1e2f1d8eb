"""References: `registry/repository[:tag][@digest]`, the grammar of distribution-spec "Pulling manifests" with the host always said.
And sources, which a person may name besides: `oci:DIR[:tag][@digest]`, an OCI layout directory.

Rules of this file: ASCII only, nothing is guessed. No default registry of ours (docker, kit and modctl each have another), only one
that a person configured; no default tag, no `library/`. Where both a tag and a digest are given, both are kept and the digest
decides. An error never repeats what may be a password.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Self, final

from mkfs.errors import BadDigest, BadReference
from mkfs.oci.digest import Digest

NAME_LIMIT: Final = 255  # characters of registry/repository: distribution-spec warns that many clients stop there

LAYOUT_PREFIX: Final = "oci:"  # as skopeo has it
UNSAID: Final = ""  # the alias that stands before a reference without a registry

_UNNAMEABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # in a mount table, or in UTF-8
_LAYOUT_DIGEST: Final = re.compile(r"@(sha(?:256|512):[^/@]*)\Z", re.ASCII)
_REPOSITORY: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*", re.ASCII)
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_HOST_LABEL: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST: Final = rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[(?P<ipv6>[0-9a-fA-F:.]+)\]"
_REGISTRY: Final = re.compile(rf"(?:{_HOST})(?::(?P<port>[1-9][0-9]{{0,4}}))?", re.ASCII)
_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://", re.ASCII)
_CREDENTIALS: Final = re.compile(r"[^/]*@(?!sha(?:256|512):)", re.ASCII)  # user:password@host, not repository@digest
_HIGHEST_PORT: Final = 65535

_NO_ALIASES: Final[Mapping[str, str]] = MappingProxyType({})


@final
@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an artifact in a registry, by tag, by digest, or both; with neither, of the repository as a whole.

    `registry` is `host[:port]` in lower case. `parse` checks; the constructor trusts its caller. An artifact of a layout has no
    registry (""), its repository is the directory, and it may have neither tag nor digest: the only one there is.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str, aliases: Mapping[str, str] = _NO_ALIASES, *, or_repository: bool = False) -> Self:
        """Reads what a person typed. `aliases` replaces the first component, once: its value is a registry, or one with a path. The
        one of `UNSAID` is put before a text whose first component is neither an alias nor a registry. `or_repository`: a repository
        will do, without tag and digest.

        Raises `BadReference` with a hint that says what to write instead.
        """
        scheme = _SCHEME.match(text)
        rest = text[scheme.end() :] if scheme else text
        if _CREDENTIALS.match(rest):
            raise BadReference(
                "the reference has '@' before its repository",
                hint="write REGISTRY/REPOSITORY:TAG; user and password come from the login (docker config.json)",
            )
        if scheme:
            plain = "; plain HTTP is asked for with --plain-http" if scheme[0].lower() == "http://" else ""
            raise BadReference(f"{_show(text)} starts with a scheme", hint=f"write it without: {_plain(rest)}{plain}")
        first, slash, path = text.partition("/")
        if not slash or (first not in aliases and not _is_host(first)):
            first, path = UNSAID, text
        if first in aliases:
            text = f"{aliases[first].rstrip('/')}/{path}"
            if _SCHEME.match(text) or _CREDENTIALS.match(text):
                whose = f"the alias {_show(first)}" if first else "the default registry"
                raise BadReference(
                    f"{whose} is not a registry", hint='write its value as host[:port][/path], e.g. "localhost:5000"'
                )
        registry, path = _split_registry(text)
        name, at, digest_text = path.partition("@")
        repository, colon, tag = name.partition(":")
        _check_repository(repository, registry)
        if colon and not is_tag(tag):
            grammar = "a tag has up to 128 letters, digits, '_', '.' and '-', and does not begin with '.' or '-'"
            hint = "name one tag" if "," in tag else grammar
            raise BadReference(f"not a tag: {_show(tag)}", hint=hint)
        if not (colon or at or or_repository):
            raise BadReference(
                f"{_show(f'{registry}/{repository}')} names neither a tag nor a digest",
                hint=f"write {registry}/{repository}:latest if you mean that tag",
            )
        return cls(registry, repository, tag if colon else None, _digest(digest_text) if at else None)

    @classmethod
    def parse_source(cls, text: str, aliases: Mapping[str, str] = _NO_ALIASES, *, or_repository: bool = False) -> Self:
        """Reads a reference as `parse` does, or a layout. Only for what a person typed: no artifact may lead to a directory of this
        machine.

        Raises `BadReference`.
        """
        if not text.startswith(LAYOUT_PREFIX):
            return cls.parse(text, aliases, or_repository=or_repository)
        rest = text.removeprefix(LAYOUT_PREFIX)
        match = _LAYOUT_DIGEST.search(rest)
        digest = _digest(match[1]) if match else None
        directory, colon, tag = rest[: match.start()].rpartition(":") if match else rest.rpartition(":")
        if not colon or not _TAG.fullmatch(tag):  # a colon within the directory
            directory, tag = directory + colon + tag, ""
        if not directory or _UNNAMEABLE.search(directory):
            raise BadReference(f"{_show(text)} names no directory", hint="write oci:DIR, oci:DIR:TAG or oci:DIR@DIGEST")
        return cls("", directory, tag or None, digest)

    @property
    def is_layout(self) -> bool:
        """Whether it names a directory instead of a registry."""
        return not self.registry

    @property
    def is_named(self) -> bool:
        """Whether it says which artifact of its repository is meant."""
        return self.tag is not None or self.digest is not None

    @property
    def name(self) -> str:
        """`registry/repository`, or `oci:DIR`."""
        return f"{LAYOUT_PREFIX}{self.repository}" if self.is_layout else f"{self.registry}/{self.repository}"

    @property
    def selector(self) -> str:
        """What to ask the registry for: the digest where there is one, else the tag. Raises `ValueError` where there is neither."""
        if self.tag is None and self.digest is None:
            raise ValueError("a reference needs a tag or a digest")
        return str(self.digest or self.tag)

    def pinned(self, digest: Digest) -> "Reference":
        """The same name, decided by `digest`; the tag is kept for people."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return f"{self.name}{tag}" if self.digest is None else f"{self.name}{tag}@{self.digest}"


def is_tag(text: str) -> bool:
    """Whether `text` may be a tag."""
    return _TAG.fullmatch(text) is not None


def _is_host(component: str) -> bool:
    """Whether a first component is meant as a registry."""
    return "." in component or ":" in component or component.lower() == "localhost"


def _split_registry(text: str) -> tuple[str, str]:
    """The registry, checked and in lower case, and everything behind its slash."""
    registry, slash, path = text.partition("/")
    if not slash or not _is_host(registry):
        host = registry.partition(":")[0]
        name = _plain(text) if host and "." not in host and host != "localhost" else "NAME"  # not ghcr.io/ghcr.io
        whose = f'"{_plain(registry)}"' if slash and registry else "it"
        raise BadReference(
            f"{_show(text)} names no registry{'' if slash else ' and repository'}",
            hint=f"write the registry, e.g. ghcr.io/{name}, or give {whose} an alias in the config",
        )
    match = _REGISTRY.fullmatch(registry)
    if not match or int(match["port"] or 1) > _HIGHEST_PORT or (match["ipv6"] and not _is_ipv6(match["ipv6"])):
        raise BadReference(f"not a registry: {_show(registry)}", hint="write host or host:port, e.g. ghcr.io or localhost:5000")
    if registry.lower().startswith(LAYOUT_PREFIX):  # its name would be read as a directory's: in a mount table, or typed again
        raise BadReference(
            f"not a registry: {_show(registry)} begins a directory",
            hint="name this host by its domain or address, e.g. oci.lan:5000",
        )
    return registry.lower(), path


def _check_repository(repository: str, registry: str) -> None:
    if not _REPOSITORY.fullmatch(repository):
        if _REPOSITORY.fullmatch(repository.lower()):
            hint = f"repositories are lower case: {registry}/{repository.lower()}"
        else:
            hint = "between slashes: lower-case letters and digits, joined by '.', '_', '__' or dashes"
        raise BadReference(f"not a repository: {_show(repository)}", hint=hint)
    if len(registry) + 1 + len(repository) > NAME_LIMIT:
        raise BadReference(f"the name is too long (expected at most {NAME_LIMIT} characters): {_show(repository)}")


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except BadDigest as error:
        raise BadReference(error.what, hint="write @sha256: and 64 lower-case hex digits behind the name") from error


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _plain(text: str) -> str:
    """What somebody typed, for a message: short and printable."""
    return ascii(text[:200])[1:-1]


def _show(text: str) -> str:
    return f"'{_plain(text)}'"
