"""Runs pass in the order of their layer, and no buffer stays away, whatever happens on the way."""

from pathlib import Path

import pytest

from mkfs.content.engine import Engine
from mkfs.content.frontier import Frontier
from mkfs.content.laps import Run, runs
from mkfs.errors import BadArchive
from mkfs.proof.grid import grid_of
from mkfs.proof.whole import WholeProof
from tests.support.layers import LARGE, engine_at

GRID = grid_of(None, len(LARGE.content))
RUNS = list(runs(GRID))


class Listener:
    """Takes what passed, up to a byte that it does not like."""

    def __init__(self, refuses_after_bytes: int | None = None) -> None:
        self.content = bytearray()
        self._limit = refuses_after_bytes

    def restart(self) -> None:
        self.content.clear()

    async def take(self, data: memoryview) -> None:
        if self._limit is not None and len(self.content) >= self._limit:
            raise BadArchive("enough")
        self.content += data


def frontier_of(engine: Engine, taker: Listener | None = None) -> tuple[Frontier, WholeProof]:
    proof = WholeProof(LARGE.descriptor, GRID, tar=False)
    return Frontier(engine, proof, taker), proof


async def arrive(frontier: Frontier, proof: WholeProof, run: Run) -> None:
    buffer = await frontier.borrow(run)
    data = LARGE.content[run.bytes.start : run.bytes.stop]
    buffer[: len(data)] = data
    proof.take_chunks(run.chunks, memoryview(data))
    frontier.arrived(run, buffer)


async def test_what_came_last_first_passes_in_order(tmp_path: Path) -> None:
    async with engine_at(tmp_path) as engine:
        listener = Listener()
        frontier, proof = frontier_of(engine, listener)
        for run in reversed(RUNS[1:]):
            await arrive(frontier, proof, run)
            await frontier.drain()
        assert (frontier.number, engine.buffers.lent, listener.content) == (0, len(RUNS) - 1, b"")
        await arrive(frontier, proof, RUNS[0])
        await frontier.drain()
        assert (frontier.number, engine.buffers.lent) == (len(RUNS), 0)
        assert listener.content == LARGE.content
        assert proof.finish().layer == LARGE.digest


async def test_only_the_run_at_the_frontier_is_hot_and_none_where_somebody_takes_the_bytes(tmp_path: Path) -> None:
    async with engine_at(tmp_path) as engine:
        frontier, _ = frontier_of(engine)
        assert [frontier.is_hot(run) for run in RUNS] == [True, False, False]
        frontier.passed(await frontier.borrow(RUNS[0]))
        assert [frontier.is_hot(run) for run in RUNS] == [False, True, False]
        assert engine.buffers.lent == 0
        assert not any(map(frontier_of(engine, Listener())[0].is_hot, RUNS))


async def test_what_will_not_pass_gives_its_buffers_back(tmp_path: Path) -> None:
    async with engine_at(tmp_path) as engine:
        frontier, proof = frontier_of(engine, Listener(refuses_after_bytes=1))
        for run in RUNS:
            await arrive(frontier, proof, run)
        with pytest.raises(BadArchive):
            await frontier.drain()
        assert engine.buffers.lent == 1  # the one behind the refusal
        frontier.close()
        assert engine.buffers.lent == 0
