"""Credential helpers: programs `docker-credential-NAME` that keep passwords in a key ring (docker/docker-credential-helpers).

Protocol of `get`: the server's name on stdin; on stdout JSON with `Username` and `Secret`, or, when the program fails, why. The
user `<token>` says that the secret is an identity token.
"""

import re
import subprocess
from typing import Final, final

import trio

from mkfs.errors import BadDocument
from mkfs.oci.json import decode_json
from mkfs.registry.docker_config import Credential
from mkfs.units import KIB

# A key ring may ask a person to unlock it, but a mount must not wait for somebody who is not there.
HELPER_SECONDS: Final = 10.0
_ANSWER_LIMIT_BYTES: Final = 128 * KIB
_SAID_LIMIT: Final = 200  # characters
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)  # part of a program's name: no path
_NOTHING_KEPT: Final = "credentials not found"
_TOKEN_USER: Final = "<token>"  # noqa: S105 - the protocol's word, no secret


@final
class HelperFailed(Exception):
    """A helper that gave no answer to believe. Its text continues "the helper …"."""


async def ask_helper(name: str, server: str) -> Credential | None:
    """What the helper `name` keeps for `server`; None where it keeps nothing.

    Raises `HelperFailed` when there is no such program, it fails, or does not answer within `HELPER_SECONDS`. Cancelling ends
    the program.
    """
    if not _NAME.fullmatch(name):
        raise HelperFailed("is not the name of a program")
    command = [f"docker-credential-{name}", "get"]
    try:
        with trio.fail_after(HELPER_SECONDS):
            done = await trio.run_process(
                command,
                stdin=server.encode(),
                capture_stdout=True,
                stderr=subprocess.DEVNULL,
                check=False,
                deliver_cancel=_end,
            )
    except trio.TooSlowError as error:
        raise HelperFailed(f"did not answer within {HELPER_SECONDS:.0f} s") from error
    except OSError as error:
        raise HelperFailed(f"cannot be run ({(error.strerror or type(error).__name__).lower()})") from error
    if done.returncode != 0:
        said = ascii(" ".join(done.stdout[:_SAID_LIMIT].decode("utf-8", "replace").split()))
        if _NOTHING_KEPT in said.lower():
            return None
        raise HelperFailed(f"failed with {said}")
    return _credential(done.stdout)


async def _end(process: trio.Process) -> None:
    """Ends a helper that nobody waits for any more, at once: it holds nothing to tidy up."""
    process.kill()


def _credential(data: bytes) -> Credential:
    try:
        answer = decode_json(data, _ANSWER_LIMIT_BYTES, "credential")
    except BadDocument as error:
        raise HelperFailed("answered something that is no credential") from error
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        raise HelperFailed("answered something that is no credential")
    return Credential(identity_token=secret) if username == _TOKEN_USER else Credential(username, secret)
