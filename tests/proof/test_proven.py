"""Proven bytes: made of what matched its digest, and of nothing else."""

import pytest

from mkfs.errors import Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.proven import Proven, prove

BLOB = Descriptor("application/x", Digest.of(b"content"), 7)


def test_what_matches_is_proven_under_its_digest() -> None:
    proven = prove(BLOB, b"content")
    assert (proven.digest, proven.data) == (BLOB.digest, b"content")


@pytest.mark.parametrize("data", [b"contend", b"conten", b"content\0", b""])
def test_nothing_else_is_proven(data: bytes) -> None:
    with pytest.raises(Mismatch):
        prove(BLOB, data)


def test_nobody_says_so_without_a_proof() -> None:
    with pytest.raises(TypeError):
        Proven(object(), BLOB.digest, b"content")
