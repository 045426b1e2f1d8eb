"""Which host is asked how, and which hosts a registry may send us to. Pure: names in, decisions out.

Sources: distribution-spec (redirects), and the faults of other clients (CVE-2025-51471, CVE-2026-48978, CVE-2026-33990): a
registry is a stranger who may name any address, so a client inside a cluster must not carry its requests to metadata services, nor
credentials to whoever is named. A guard that is too strict breaks private registries: the registry's own host is always allowed.

Names are judged as written; what some of them resolve to is looked at where a connection is made (`peers`).
"""

import ipaddress
from typing import Final

from mkfs.errors import NotAuthorised, Unsupported, UsageError
from mkfs.registry.hopeless import Hopeless
from mkfs.registry.urls import Origin, Url

# Docker Hub is the one registry whose name in references is not the host that speaks the protocol.
DOCKER_HUB: Final = "docker.io"
_DOCKER_HUB_HOST: Final = "registry-1.docker.io"

_METADATA_NAMES: Final = frozenset({"metadata.google.internal", "metadata.goog", "metadata"})
# Metadata services outside of link-local: AWS over IPv6, Alibaba Cloud, Oracle Cloud.
_METADATA_ADDRESSES: Final = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def origin_of(registry: str, *, plain_http: bool | None) -> Origin:
    """Where `registry` (`host[:port]` of a reference) speaks the protocol: https or plain HTTP as `plain_http` says; where that is
    None, https but for this machine (without its port 443). Raises `UsageError`.
    """
    host = _DOCKER_HUB_HOST if registry == DOCKER_HUB else registry
    try:
        secure = Origin.of("https", host)
        here = is_loopback(secure.host) and not host.endswith(":443")
        return Origin.of("http", host) if plain_http or (here and plain_http is None) else secure
    except ValueError as error:
        hint = "write host or host:port, e.g. localhost:5000"
        raise UsageError(f"{registry!r} is not a registry ({error})", hint=hint) from error


def names_of(origin: Origin) -> tuple[str, ...]:
    """How files and directories about a host may call it: with its port, where that goes without saying also without, Docker Hub as
    in references, and in containerd's way, which does without a colon.
    """
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    hub = (DOCKER_HUB,) if origin.host == _DOCKER_HUB_HOST else ()
    return tuple(dict.fromkeys((origin.authority, f"{host}:{origin.port}", f"{host}_{origin.port}_", *hub)))


def check_parent(child: str | None, parent: str, allowed: frozenset[str]) -> bool:
    """Returns if an artifact of the registry `child` may lead us to the registry `parent` (each `host[:port]` as in references),
    and whether what the name of that host resolves to must be no address of a private network.

    Its own registry: always, and whatever its address. Another one only where the caller allows it by its very name; link-local and
    metadata addresses never; private and loopback ones only where that name is such an address itself. `child` is None for an
    artifact that comes from no registry. Raises `Unsupported`.
    """
    if child is not None and _normal(parent) == _normal(child):
        return False
    host = _host(parent)
    if _is_metadata(host):
        raise Unsupported(f"the artifact refers to {parent}, which is no address of a registry")
    if _normal(parent) not in map(_normal, allowed):
        whose = "comes from no registry itself" if child is None else f"is at {child}"
        hint = f"if you trust it, allow it: --allow-reference-host {parent}"
        raise Unsupported(f"the artifact refers to another registry, {parent}, and {whose}", hint=hint)
    return not (is_loopback(host) or _addresses(host))


def is_private(address: str) -> bool:
    """Whether `address` (an IP address) is one of a private network, of this machine, or of its link."""
    found = _addresses(address.partition("%")[0])
    return not found or _is_metadata(str(found[0])) or any(not each.is_global for each in found)


def _normal(registry: str) -> str:
    """Without the port that https has anyway."""
    return registry.lower().removesuffix(":443")


def _host(registry: str) -> str:
    """The host of `host[:port]`, an IPv6 address without its brackets."""
    if registry.startswith("["):
        return registry[1:].partition("]")[0]
    return registry.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine: `localhost`, `*.localhost` (RFC 6761), 127.0.0.0/8, ::1."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return any(address.is_loopback for address in _addresses(host))


def check_redirect(source: Url, target: Url) -> None:
    """Returns if the answer of `source` may send us to `target`. Raises `Hopeless`.

    Not from https to http, not to link-local and metadata addresses. That no credentials go to another origin is the sender's part.
    """
    where, to = source.origin.authority, target.origin.authority
    if source.origin.scheme == "https" and target.origin.scheme == "http":
        raise Hopeless(f"redirect from https to plain http refused (to {to})", where)
    if target.origin.host != source.origin.host and _is_metadata(target.origin.host):
        raise Hopeless(f"redirect to {to} refused: it is no address of a storage host", where)


def check_realm(registry: Origin, realm: Url) -> None:
    """Returns if `registry` may send us to `realm` for a token. Raises `NotAuthorised`.

    On the registry's own host: https, or what the registry itself speaks. On another host: https, and no address of a private
    network.
    """
    if realm.origin.scheme == "http" and (registry.scheme != "http" or realm.origin.host != registry.host):
        raise NotAuthorised(f"the registry names a token server that is asked in plain HTTP ({realm.origin})", registry.authority)
    if realm.origin.host == registry.host:
        return
    private = is_loopback(realm.origin.host) or any(not address.is_global for address in _addresses(realm.origin.host))
    if private or _is_metadata(realm.origin.host):
        raise NotAuthorised(f"the registry names a token server within a private network ({realm.origin})", registry.authority)


def _is_metadata(host: str) -> bool:
    if host in _METADATA_NAMES:
        return True
    return any(address.is_link_local or address.is_unspecified or address in _METADATA_ADDRESSES for address in _addresses(host))


def _addresses(host: str) -> list[_Address]:
    """The addresses that `host` is written as: itself, and the IPv4 address an IPv6 one may carry. Empty for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    carried: list[_Address | None] = [address, address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [each for each in carried if each is not None]
