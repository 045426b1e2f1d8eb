"""What a read of a layer rests on: which chunk index is believed, and by whose word."""

from dataclasses import dataclass
from enum import Enum
from typing import final

from mkfs.proof.chunk_index import ChunkIndex


@final
class Basis(Enum):
    """Where the trust in a layer's chunk index comes from. The values are shown to people and scripts."""

    NOTHING = "per layer"  # there is none yet: the first read fetches the layer and proves it whole
    DEFERRED = "deferred"  # there is none yet, and reads do not wait for it: the user asked for that
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
