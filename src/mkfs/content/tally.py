"""What the layers of one mount went through, counted together: plain integers that only grow, whatever becomes of a layer."""

from typing import final

from msgspec import Struct


@final
class TallyStatistics(Struct, frozen=True):
    """A moment's counts since the beginning."""

    misses: int  # reads that the cache could not answer, so that they waited for bytes to come
    wrong_layers: int  # fetches of whole layers that did not have the layer's digest
    wrong_chunks: int  # fetches of chunks that did not have the chunk's digest
    wrong_answers: int  # times that bytes handed out by `content.deferred` turned out wrong, or could not be proven
    chunk_requests: int  # requests for runs of chunks
    chunks_fetched: int


@final
class Tally:
    """The counts of one mount. To be changed on its loop."""

    __slots__ = ("chunk_requests", "chunks_fetched", "misses", "wrong_answers", "wrong_chunks", "wrong_layers")

    def __init__(self) -> None:
        self.misses = self.wrong_layers = self.wrong_chunks = self.wrong_answers = 0
        self.chunk_requests = self.chunks_fetched = 0

    def statistics(self) -> TallyStatistics:
        """A snapshot; cheap enough for every poll."""
        return TallyStatistics(
            self.misses, self.wrong_layers, self.wrong_chunks, self.wrong_answers, self.chunk_requests, self.chunks_fetched
        )
