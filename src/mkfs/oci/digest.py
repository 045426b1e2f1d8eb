"""Content digests: `algorithm:hex`, as OCI image-spec descriptor.md, "Digests".

Rules of this file: pure values, nothing here reads or waits. A `Digest` that exists is well formed; whether bytes match it is
asked of `Verifier`, and only there.
"""

import hashlib
import hmac
import re
from typing import Final, Self, final

from msgspec import Struct

from mkfs.errors import BadDigest, Mismatch

# image-spec: sha256 MUST be supported, sha512 MAY. Upper-case hex MUST NOT be used. ASCII only: `\d` would admit other digits.
_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
_GRAMMAR: Final = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)


def mismatch(expected: "Digest", got: str) -> Mismatch:
    """The error for bytes that are not what `expected` promised; `got` is a digest or says what is wrong with the length."""
    return Mismatch(f"content does not match its digest (got {got}, expected {expected})")


@final
class Digest(Struct, frozen=True, order=True):
    """The name of some bytes by their content.

    Raises `BadDigest` from `parse`; the constructor itself trusts its caller.
    """

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `algorithm:hex`. Exactly that: no white space, no upper-case hex, no trailing newline."""
        if not _GRAMMAR.fullmatch(text):
            raise BadDigest(f"not a digest: {text[:200]!r} (expected algorithm:hex)")
        algorithm, _, value = text.partition(":")
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            raise BadDigest(f"digest algorithm {algorithm!r} is not supported (expected {' or '.join(_HEX_LENGTH)})")
        if not re.fullmatch(rf"[0-9a-f]{{{length}}}", value, re.ASCII):
            raise BadDigest(f"not a {algorithm} digest: {text[:200]!r} (expected {length} lower-case hex digits)")
        return cls(algorithm, value)

    @classmethod
    def found_in(cls, text: str) -> Self | None:
        """As `parse`; None for text that is no digest, or none that can be checked. For what nothing rests on."""
        try:
            return cls.parse(text)
        except BadDigest:
            return None

    @classmethod
    def of(cls, data: bytes | memoryview) -> Self:
        """The sha256 digest of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@final
class Verifier:
    """Checks a stream of known length against its digest; refuses the first byte too many.

    `feed` may run in a thread (hashlib releases the GIL above 2 KiB) but not in two at once. `finish` is the only way to learn
    that the bytes were right, and can be asked once.
    """

    __slots__ = ("_digest", "_hash", "_left")

    def __init__(self, digest: Digest, size_bytes: int) -> None:
        self._digest, self._left = digest, size_bytes
        self._hash = hashlib.new(digest.algorithm)

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next bytes in order. Raises `Mismatch` as soon as they are more than promised."""
        self._left -= len(data)
        if self._left < 0:
            raise mismatch(self._digest, f"{-self._left} bytes too many")
        self._hash.update(data)

    def finish(self) -> None:
        """Returns if all bytes came and match. Raises `Mismatch` otherwise."""
        if self._left:
            raise mismatch(self._digest, f"{self._left} bytes too few")
        got = self._hash.hexdigest()
        if not hmac.compare_digest(got, self._digest.hex):
            raise mismatch(self._digest, f"{self._digest.algorithm}:{got}")
