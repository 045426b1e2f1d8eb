"""Reads that do not wait for the proof: what they cost, what is said when they were wrong, and that nobody gets them unasked."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from mkfs.content.engine import Engine
from mkfs.content.layer import Layer
from mkfs.errors import Mismatch
from mkfs.proof.policy import Trust
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Flip, IgnoreRange, Match, Stall
from mkfs.testing.sources import MemoryReader
from mkfs.units import MIB
from tests.support.layers import TWO_LAPS, Everybody, engine_at

WHOLE = TWO_LAPS.whole
FAR = ByteRange(39 * MIB + 5, 39 * MIB + 25)


class Watching:
    """Counts how often it is told that bytes were wrong."""

    def __init__(self) -> None:
        self.told = 0

    async def __call__(self) -> None:
        self.told += 1


@asynccontextmanager
async def deferred(root: Path, reader: MemoryReader) -> AsyncGenerator[tuple[Engine, Layer, Watching], None]:
    async with engine_at(root / "cache") as engine:
        layer = Layer(
            engine=engine, reader=reader, access=Everybody(), blob=TWO_LAPS.descriptor, label="model test", tar=False, deferred=True
        )
        watching = Watching()
        layer.watch(watching)
        await layer.open()
        yield engine, layer, watching


async def proven(layer: Layer) -> None:
    """Returns when the proof behind the reads is over and compared with them."""
    while layer.trust is not Trust.OWN:
        await trio.lowlevel.checkpoint()
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_read_is_answered_while_the_proof_still_waits_for_bytes(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    held = Stall(after_bytes=10)
    reader.faults.install(Fault(Match(offset=0), held))
    async with deferred(tmp_path, reader) as (_, layer, watching):
        assert bytes(await layer.read(FAR)) == TWO_LAPS.content[FAR.start : FAR.stop]
        assert (layer.trust, layer.read_now(FAR)) == (Trust.DEFERRED, None)
        held.release()
        await proven(layer)
        assert watching.told == 0
        assert bytes(await layer.read(WHOLE)) == TWO_LAPS.content


async def test_what_the_proof_has_received_is_not_asked_for_again(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    held = Stall(after_bytes=1000)  # of the second request: the first 32 MiB come
    reader.faults.install(Fault(Match(offset=WHOLE.stop - 1), held, times=1))
    async with deferred(tmp_path, reader) as (_, layer, _watching):
        await layer.read(ByteRange(0, 10))
        while layer._proofs.received(ByteRange(20 * MIB, 21 * MIB)) is None:
            await trio.lowlevel.checkpoint()
        asked = len(reader.requests())
        wanted = ByteRange(20 * MIB + 7, 21 * MIB)
        assert bytes(await layer.read(wanted)) == TWO_LAPS.content[wanted.start : wanted.stop]
        assert len(reader.requests()) == asked
        held.release()


@pytest.mark.logs("does not match its digest", r"bytes \[40894464, 41943040\) that were read are not what the layer proves")
async def test_a_wrong_byte_that_was_handed_out_is_told_and_later_reads_are_right(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    held = Stall(after_bytes=10)
    reader.faults.install(Fault(Match(offset=0), held, times=1))
    reader.faults.install(Fault(Match(offset=FAR.start), Flip(FAR.start), times=2))  # for the reader and the first proof
    async with deferred(tmp_path, reader) as (_, layer, watching):
        assert bytes(await layer.read(FAR)) != TWO_LAPS.content[FAR.start : FAR.stop]
        held.release()
        await proven(layer)
        assert watching.told == 1
        assert bytes(await layer.read(FAR)) == TWO_LAPS.content[FAR.start : FAR.stop]


@pytest.mark.logs("does not match its digest", "same wrong bytes", "was never proven")
async def test_what_cannot_be_proven_is_told_and_an_error_from_then_on(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(), Flip(7)))
    async with deferred(tmp_path, reader) as (_, layer, watching):
        await layer.read(FAR)
        while not watching.told:
            await trio.lowlevel.checkpoint()
        with pytest.raises(Mismatch):
            await layer.read(FAR)


async def test_a_server_that_ignores_ranges_answers_when_it_is_proven(tmp_path: Path) -> None:
    reader = TWO_LAPS.reader()
    reader.faults.install(Fault(Match(), IgnoreRange()))
    async with deferred(tmp_path, reader) as (_, layer, _watching):
        assert bytes(await layer.read(FAR)) == TWO_LAPS.content[FAR.start : FAR.stop]
        assert layer.trust is Trust.OWN
