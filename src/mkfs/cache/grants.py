"""Who may be served what: the cache answers for a repository only with what that repository has shown that it lets us have.

The cache is shared by all mounts of one user, and these may come from repositories that not everybody may read. Knowing a digest is
not having its bytes: so a mount is answered from the cache only if its own host and repository were granted that digest, by having
sent it, or by saying so to a HEAD.

Each mount asks the registry for the manifest, with the credentials of now: who may not read the repository any more is refused
there, whatever was granted. A grant says of one digest that the repository has it. That can end too, as when a layer was pushed by
mistake and taken back; so a grant is *fresh* for a day, and then the repository is asked again, if it can be asked. Where it
cannot, an old grant counts: the bytes are on this machine, and whoever could have them then is whose cache it is.
"""

import time
from typing import Final, final

from mkfs.cache.records import Records
from mkfs.cache.shared import Shared
from mkfs.errors import BadDigest
from mkfs.oci.digest import Digest

# How long a repository that lost a layer may be served it from here. Costs a HEAD per layer and day, all at once.
FRESH_SECONDS: Final = 24 * 3600.0
_GRANTED: Final = b"granted "


@final
class Grants:
    """The grants of one cache. Blocks for a small file's time; raises nothing.

    `host` is `host[:port]` as in references; times are seconds since the epoch by this machine's clock.
    """

    __slots__ = ("_records",)

    def __init__(self, shared: Shared) -> None:
        self._records = Records(shared, "grant", lambda: shared.layout.grants)

    def granted(self, host: str, repository: str, digest: Digest) -> float | None:
        """When `repository` of `host` last let us have the bytes of `digest`; None: never, as far as is known."""
        record = self._records.get(_name(host, repository, digest))
        if record is None or not record.startswith(_GRANTED):
            return None
        try:
            return float(record.removeprefix(_GRANTED))
        except ValueError:  # sealed, so it is ours: of another version
            return None

    def grant(self, host: str, repository: str, digest: Digest, now: float | None = None) -> None:
        """Keeps that it did just `now`, as well as it can be done."""
        self._records.keep(_name(host, repository, digest), b"%s%d" % (_GRANTED, time.time() if now is None else now))

    def revoke(self, host: str, repository: str, digest: Digest) -> None:
        """Forgets that it ever did."""
        self._records.drop(_name(host, repository, digest))


def is_fresh(granted: float, now: float) -> bool:
    """Whether a grant needs no word of the repository's. One of the future is none: a clock was wrong."""
    return 0 <= now - granted < FRESH_SECONDS


def digest_in(name: str) -> Digest | None:
    """What a grant's record is about, by its name."""
    try:
        return Digest.parse(name.rpartition(" ")[2])
    except BadDigest:
        return None


def _name(host: str, repository: str, digest: Digest) -> str:
    return f"{host} {repository} {digest}"  # a space may be in a directory, and in nothing else
