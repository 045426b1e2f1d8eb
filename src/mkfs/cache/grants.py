"""Who may be served what: the cache answers for a repository only with what that repository has shown that it lets us have.

The cache is shared by all mounts of one user, and these may come from repositories that not everybody may read. Knowing a digest is
not having its bytes: so a mount is answered from the cache only if its own host and repository were granted that digest, by having
sent it, or by saying so to a HEAD. Grants do not run out: whoever may read a manifest today is asked by the registry, and the bytes
that it names were there for us once.
"""

from typing import Final, final

from mkfs.cache.records import Records
from mkfs.cache.shared import Shared
from mkfs.oci.digest import Digest

_GRANTED: Final = b"granted\n"


@final
class Grants:
    """The grants of one cache. Blocks for a small file's time; raises nothing."""

    __slots__ = ("_records",)

    def __init__(self, shared: Shared) -> None:
        self._records = Records(shared, "grant", lambda: shared.layout.grants)

    def granted(self, host: str, repository: str, digest: Digest) -> bool:
        """Whether `repository` of `host` (`host[:port]` as in references) once let us have the bytes of `digest`."""
        return self._records.get(_name(host, repository, digest)) == _GRANTED

    def grant(self, host: str, repository: str, digest: Digest) -> None:
        """Keeps that it did, as well as it can be done."""
        self._records.keep(_name(host, repository, digest), _GRANTED)


def _name(host: str, repository: str, digest: Digest) -> str:
    return f"{host} {repository} {digest}"  # a space may be in a directory, and in nothing else
