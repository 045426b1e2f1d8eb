"""Debian's docker-registry (distribution 2.8) as a process of our own: filesystem storage in a directory, a free port on loopback.

Its storage can be damaged behind its back: `stored(digest)` is the file it serves. It keeps no descriptor cache, so what is in the
file is what it sends.
"""

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mkfs.oci.digest import Digest
from tests.support.certificates import Authority, Certificate
from tests.support.processes import listening

_LISTENING: Final = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")


@dataclass(frozen=True)
class DockerRegistry:
    """A registry that runs. `host` is `127.0.0.1:port`, as it stands in a reference; `log` grows a line for every answer."""

    host: str
    storage: Path
    log: Sequence[str] = ()

    def stored(self, digest: Digest | str) -> Path:
        """The file that holds the bytes of a blob or manifest (distribution, registry/storage/paths.go)."""
        algorithm, _, value = str(digest).partition(":")
        return self.storage / "docker/registry/v2/blobs" / algorithm / value[:2] / value / "data"

    @contextmanager
    def damaged(self, digest: Digest | str, offset: int) -> Iterator[None]:
        """One bit of the stored bytes is wrong until the block is left: the lowest of the byte at `offset`."""
        self.flip(digest, offset)
        try:
            yield
        finally:
            self.flip(digest, offset)

    def flip(self, digest: Digest | str, offset: int) -> None:
        """Turns that bit; twice mends it."""
        with self.stored(digest).open("r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes((byte[0] ^ 1,)))


@contextmanager
def running(
    program: Path,
    directory: Path,
    *,
    users: dict[str, str] | None = None,
    tls: Certificate | None = None,
    clients: Authority | None = None,
    redirect_to: str = "",
    proxy_of: str = "",
    auth: dict[str, object] | None = None,
    storage: dict[str, object] | None = None,
) -> Iterator[DockerRegistry]:
    """Runs `program` until the block is left, with everything it keeps in `directory`. With `users`, names to passwords, nobody
    else may in (htpasswd of apache2-utils: bcrypt is the only kind this registry reads). With `tls` it speaks that, and with
    `clients` only to those whom that authority signed. `redirect_to`: who asks for a blob is sent to that URL. `proxy_of`: it is a
    pull-through cache of the registry at that URL. `auth` and `storage` take the place of what its configuration has there.
    """
    kept, config = directory / "storage", directory / "config.yml"
    kept.mkdir(parents=True)
    http: dict[str, object] = {"addr": "127.0.0.1:0", "secret": "of this test"}
    document: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": storage or {"filesystem": {"rootdirectory": str(kept)}, "delete": {"enabled": True}},
        "http": http,
    }
    if tls is not None:
        http["tls"] = {"certificate": str(tls.cert), "key": str(tls.key), "clientcas": [str(clients.own.cert)] if clients else []}
    if redirect_to:
        document["middleware"] = {"storage": [{"name": "redirect", "options": {"baseurl": redirect_to}}]}
    if proxy_of:
        document["proxy"] = {"remoteurl": proxy_of}
    if auth is not None:
        document["auth"] = auth
    if users is not None:
        passwords = directory / "htpasswd"
        passwords.write_bytes(b"".join(_htpasswd(user, password) for user, password in users.items()))
        document["auth"] = {"htpasswd": {"realm": "a registry under test", "path": str(passwords)}}
    config.write_text(json.dumps(document))  # which is YAML, too
    log: list[str] = []
    with listening([program, "serve", config], _LISTENING, log) as host:
        yield DockerRegistry(host, kept, log)


def _htpasswd(user: str, password: str) -> bytes:
    command = ["htpasswd", "-n", "-i", "-B", "-C", "4", user]
    return subprocess.run(command, input=password.encode(), capture_output=True, check=True).stdout.strip() + b"\n"
