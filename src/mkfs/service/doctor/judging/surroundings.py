"""What is around us: proxies, TLS, logins, and who starts services here."""

from typing import Final, final
from urllib.parse import urlsplit

from msgspec import Struct

from mkfs.errors import UsageError
from mkfs.service.doctor.finding import Finding, fail, ok, warn

_SHOWN: Final = 8  # hosts of one file; somebody with more knows them


@final
class ProxiesInForce(Struct, frozen=True):
    """As the environment says them; a URL may hold a password, and `repr` shows none of it."""

    http: str
    https: str
    exceptions: tuple[str, ...]

    def __repr__(self) -> str:
        return "<ProxiesInForce>"


@final
class Tls(Struct, frozen=True):
    """`authorities`: how many are believed; `origin`: where they are from; `trouble`: why there are none, "" where there are."""

    verify: bool
    authorities: int
    origin: str
    trouble: str


@final
class LoginFile(Struct, frozen=True):
    """What a file of logins has, names only. `helpers` are programs, `missing` those of them that are not installed; `trouble`: why
    it cannot be used. `open_to_others`: it holds passwords, and others may read it.
    """

    path: str
    hosts: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    trouble: str = ""
    open_to_others: bool = False


@final
class Manager(Struct, frozen=True):
    """Who starts services: systemd's version ("" where it does not run), whether it started us, Kubernetes."""

    systemd: str
    is_unit: bool
    kubernetes: bool
    root: bool
    lingers: bool | None  # whether services of this user outlive a login; None: not known


def redacted(url: str) -> str:
    """A proxy's URL without user and password; "not a URL" for what has no host. Pure."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return "not a URL"
    if not host or not parts.scheme.isalnum() or not host.isprintable():
        return "not a URL"
    name = f"[{host}]" if ":" in host else host
    secret = "***@" if parts.username is not None or parts.password is not None else ""
    return f"{parts.scheme}://{secret}{name}{f':{port}' if port else ''}"


def judge_proxies(facts: ProxiesInForce) -> Finding:
    """Which proxies are in force, and whether they make sense."""
    said = {name: redacted(url) for name, url in (("http", facts.http), ("https", facts.https)) if url}
    bad = [name for name, url in said.items() if url == "not a URL" or not url.startswith(("http://", "https://"))]
    if bad:
        variable = f"{bad[0].upper()}_PROXY"
        return fail(UsageError, f"{variable} is not the URL of a proxy", f"export {variable}=http://HOST:PORT, or unset it")
    if not said:
        return ok("no proxy")
    text = ", ".join(f"{name} through {url}" for name, url in said.items())
    exceptions = ", ".join(facts.exceptions)
    return ok(f"{text}; not for {exceptions}" if exceptions else text)


def judge_tls(facts: Tls) -> Finding:
    """Whether certificates are verified, and by whom."""
    if facts.trouble:
        return fail(UsageError, facts.trouble, "check --ca-file, SSL_CERT_FILE and the certs.d directories")
    if not facts.verify:
        text = "certificates are not verified: bytes are proven all the same, but anybody on the way may listen, and move a tag"
        return warn(text, "drop --tls-verify=false; for an authority of your own: --ca-file FILE")
    if not facts.authorities:
        return warn(
            f"no certificate authorities in {facts.origin}: TLS will fail", "apt install ca-certificates, or --ca-file FILE"
        )
    return ok(f"{facts.authorities} certificate authorities, from {facts.origin}")


def judge_logins(facts: tuple[LoginFile, ...]) -> Finding:
    """Which logins there are: files, hosts and helpers by name, never more."""
    said = [_words(each) for each in facts if each.hosts or each.helpers]
    text = "; ".join(said) or f"no logins (looked in {len(facts)} places): registries are asked as anybody"
    if missing := [name for each in facts for name in each.missing]:
        remedy = f"install {missing[0]}, or log in again without it: docker login HOST"
        return warn(f"{text}; not installed: {', '.join(missing)}", remedy)
    if broken := [each for each in facts if each.trouble]:
        return warn(f"{broken[0].path} {broken[0].trouble}: its logins are not used", f"mend or remove {broken[0].path}")
    if readable := [each.path for each in facts if each.open_to_others]:
        return warn(f"{text}; others may read {readable[0]}", f"chmod 600 {readable[0]}")
    return ok(text)


def judge_manager(facts: Manager) -> Finding:
    """How mounts are kept here."""
    if facts.kubernetes:
        return ok("Kubernetes: see deploy/kubernetes for a pod that mounts for others")
    if not facts.systemd:
        return ok("no systemd: a mount lasts until its daemon ends or the machine does")
    here = f"systemd {facts.systemd}{', and we are a unit of it' if facts.is_unit else ''}"
    if not facts.root and facts.lingers is False:
        return warn(f"{here}; services of this user end with the last login, and mounts with them", "loginctl enable-linger")
    return ok(f"{here}: see deploy/systemd for units that mount at boot")


def _words(each: LoginFile) -> str:
    hosts = ", ".join(each.hosts[:_SHOWN]) + (f" and {len(each.hosts) - _SHOWN} more" if len(each.hosts) > _SHOWN else "")
    helpers = f"helper {', '.join(each.helpers)}" if each.helpers else ""
    return f"{each.path}: {', '.join(words for words in (hosts, helpers) if words)}"
