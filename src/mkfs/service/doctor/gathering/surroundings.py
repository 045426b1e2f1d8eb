"""Proxies, certificates, logins, systemd. Of logins, only names leave this module."""

import os
import re
import shutil
import ssl
import stat
from pathlib import Path
from typing import Final

from mkfs.errors import BadDocument, UsageError
from mkfs.registry.docker_config import CONFIG_LIMIT_BYTES, DockerConfig
from mkfs.registry.trust import Trust
from mkfs.service.doctor.judging.surroundings import LoginFile, Manager, ProxiesInForce, Tls
from mkfs.service.doctor.situation import Situation

_HELPER: Final = "docker-credential-"
_PROGRAM: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9._:/\[\]-]+", re.ASCII)  # of a key; what else stands there may be anything
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+", re.ASCII)  # openssl-rehash(1)
_OTHERS_MAY_READ: Final = 0o044
_VERSION: Final = re.compile(r"libsystemd-shared-([0-9]+)")


def proxies(situation: Situation) -> ProxiesInForce:
    """Those of the client's settings."""
    found = situation.source.client.proxies
    return ProxiesInForce(found.http, found.https, found.exceptions)


def tls(situation: Situation) -> Tls:
    """The context that most hosts get, and how many authorities are in it. Directories of certificates are loaded host by host, so
    they count as unknown.
    """
    settings = situation.source.client.tls
    paths = ssl.get_default_verify_paths()
    file, directory = situation.variables.get("SSL_CERT_FILE"), situation.variables.get("SSL_CERT_DIR")
    origin = file or directory or paths.cafile or paths.capath or "the system's store"
    origin = f"{settings.ca_file} and {origin}" if settings.ca_file else origin
    try:
        context = Trust(settings).context(None)
    except UsageError as error:
        return Tls(settings.verify, 0, origin, str(error))
    except OSError as error:  # SSL_CERT_FILE that is none
        return Tls(settings.verify, 0, origin, f"certificates of {origin} cannot be used ({error.strerror or 'not PEM'})")
    count = context.cert_store_stats()["x509_ca"] or _hashed(directory or paths.capath)
    return Tls(settings.verify, count, origin, "")


def logins(situation: Situation) -> tuple[LoginFile, ...]:
    """Those that a mount would look in, in its order."""
    return tuple(_login_file(Path(path)) for path in situation.source.client.credential_files)


def manager(situation: Situation) -> Manager:
    """sd_booted(3), and what systemd tells the processes that it starts (systemd.exec(5))."""
    machine = situation.machine
    booted = machine.path("/run/systemd/system").is_dir()
    user = machine.path(f"/run/user/{situation.uid}").exists()
    linger = machine.path("/var/lib/systemd/linger")
    lingers = None
    if booted and user and linger.is_dir():
        names = {entry.name for entry in linger.iterdir()}
        lingers = _user_name(situation.uid) in names
    return Manager(
        systemd=_systemd_version(situation) if booted else "",
        is_unit="INVOCATION_ID" in situation.variables,
        kubernetes="KUBERNETES_SERVICE_HOST" in situation.variables,
        root=situation.root,
        lingers=lingers,
    )


def _login_file(path: Path) -> LoginFile:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            config = DockerConfig.parse(file.read(CONFIG_LIMIT_BYTES + 1))
    except FileNotFoundError:
        return LoginFile(str(path))
    except BadDocument:
        return LoginFile(str(path), trouble="is not JSON that makes sense")
    except OSError as error:
        return LoginFile(str(path), trouble=f"cannot be read ({(error.strerror or type(error).__name__).lower()})")
    names = dict.fromkeys(name for name in (*config.helpers.values(), config.store) if name)
    helpers = tuple(f"{_HELPER}{name}" for name in names if _PROGRAM.fullmatch(name))
    hosts = dict.fromkeys(host for host in (*config.auths, *config.helpers) if _HOST.fullmatch(host))
    return LoginFile(
        str(path),
        tuple(hosts),
        helpers,
        tuple(program for program in helpers if shutil.which(program) is None),
        open_to_others=bool(config.auths) and bool(stat.S_IMODE(mode) & _OTHERS_MAY_READ),
    )


def _hashed(directory: str | None) -> int:
    """How many certificates a directory has by their hashes: OpenSSL reads these when it meets a certificate, not before."""
    try:
        return len([entry for entry in Path(directory or "/").iterdir() if _HASHED.fullmatch(entry.name)])
    except OSError:
        return 0


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _systemd_version(situation: Situation) -> str:
    """By the name of its shared library: no program has to be run for it."""
    for directory in ("/usr/lib/systemd", "/usr/lib64/systemd", "/lib/systemd", "/usr/lib/x86_64-linux-gnu/systemd"):
        try:
            names = [entry.name for entry in situation.machine.path(directory).iterdir()]
        except OSError:
            continue
        for name in names:
            if found := _VERSION.match(name):
                return found[1]
    return "of unknown version"
