"""What a read of a layer rests on: which chunk index is believed, by whose word, and what two of them must not say."""

from dataclasses import dataclass
from enum import Enum
from typing import final

from mkfs.errors import IntegrityError
from mkfs.proof.chunk_index import ChunkIndex


@final
class Basis(Enum):
    """Where the trust in a layer's chunk index comes from. The values are shown to people and scripts."""

    NOTHING = "per layer"  # there is none yet: the first read fetches the layer and proves it whole
    OWN = "own"  # the layer had its digest when all of it passed by here
    SIGNED = "signed"  # made over this manifest's digest, with a signature that the user's policy accepts
    REGISTRY = "registry"  # unsigned, from the same registry that said what the tag means


@final
@dataclass(frozen=True, slots=True)
class TrustedIndex:
    """A chunk index that came with the artifact and that the user's policy accepts. `words` say why: `signed by key 1f3a…`."""

    index: ChunkIndex
    basis: Basis
    words: str


def check_agreement(own: ChunkIndex, other: ChunkIndex) -> None:
    """Returns if both can be true. Raises `IntegrityError` naming layer and range where they cannot.

    Chunks are compared where both cut the layer in the same way; tables where both have one.
    """
    where = f"layer {own.layer}"
    if own.grid.size_bytes != other.grid.size_bytes:
        raise IntegrityError(
            f"two chunk indexes of one layer disagree about its size ({own.grid.size_bytes} and {other.grid.size_bytes} bytes)",
            where,
        )
    if own.grid == other.grid and own.digests != other.digests:
        number = next(each for each in range(own.grid.count) if own.digest_of(each) != other.digest_of(each))
        raise IntegrityError(f"two chunk indexes of one layer disagree about bytes {own.grid.chunk_range(number)}", where)
    if own.table is not None and other.table is not None and own.table != other.table:
        raise IntegrityError("two chunk indexes of one layer disagree about the names in it", where)
