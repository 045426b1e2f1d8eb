"""Bytes whose digest and size matched what a descriptor promised, as a type of their own."""

from typing import Final, final

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest, Verifier

_KEY: Final = object()


@final
class Proven:
    """Immutable bytes that matched their digest. Made by `prove` and nowhere else."""

    __slots__ = ("data", "digest")

    def __init__(self, key: object, digest: Digest, data: bytes) -> None:
        if key is not _KEY:
            raise TypeError("bytes are proven by prove(), not by saying so")
        self.digest, self.data = digest, data

    def __repr__(self) -> str:
        return f"<Proven {self.digest}, {len(self.data)} bytes>"


def prove(blob: Descriptor, data: bytes) -> Proven:
    """`data`, if it is what `blob` describes: size first, then digest. Raises `Mismatch`."""
    verifier = Verifier(blob.digest, blob.size_bytes)
    verifier.feed(data)
    verifier.finish()
    return Proven(_KEY, blob.digest, data)
