"""Debian's docker-registry (distribution 2.8) as a process of our own: filesystem storage in a directory, a free port on loopback.

Its storage can be damaged behind its back: `stored(digest)` is the file it serves. It keeps no descriptor cache, so what is in the
file is what it sends.
"""

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
_CONFIG: Final = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http:
  addr: "127.0.0.1:0"
  secret: of this test
"""
_TLS: Final = "  tls: {{certificate: {cert}, key: {key}, clientcas: [{clients}]}}\n"
_SIGN_IN: Final = "auth: {{htpasswd: {{realm: a registry under test, path: {passwords}}}}}\n"


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
) -> Iterator[DockerRegistry]:
    """Runs `program` until the block is left, with everything it keeps in `directory`. With `users`, names to passwords, nobody
    else may in (htpasswd of apache2-utils: bcrypt is the only kind this registry reads). With `tls` it speaks that, and with
    `clients` only to those whom that authority signed.
    """
    storage, config = directory / "storage", directory / "config.yml"
    storage.mkdir(parents=True)
    text = _CONFIG.format(storage=storage)
    if tls is not None:
        text += _TLS.format(cert=tls.cert, key=tls.key, clients=clients.own.cert if clients else "")
    if users is not None:
        passwords = directory / "htpasswd"
        passwords.write_bytes(b"".join(_htpasswd(user, password) for user, password in users.items()))
        text += _SIGN_IN.format(passwords=passwords)
    config.write_text(text)
    log: list[str] = []
    with listening([program, "serve", config], _LISTENING, log) as host:
        yield DockerRegistry(host, storage, log)


def _htpasswd(user: str, password: str) -> bytes:
    command = ["htpasswd", "-n", "-i", "-B", "-C", "4", user]
    return subprocess.run(command, input=password.encode(), capture_output=True, check=True).stdout.strip() + b"\n"
