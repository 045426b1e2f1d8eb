"""What is fetched before somebody asks: by streams, by tensors, by shards. Counted in requests and bytes."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from struct import pack

import pytest
import trio
import trio.testing

from mkfs.content.admission import Urgency
from mkfs.content.engine import Engine
from mkfs.content.foreseeing import foresee, natural_key
from mkfs.content.layer import Layer
from mkfs.content.prefetch import Prefetch
from mkfs.content.streams import FIRST_WINDOW_BYTES
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.grid import grid_of
from mkfs.proof.policy import LayerTrust, Trust
from mkfs.ranges import ByteRange
from mkfs.service.background import fill
from mkfs.testing.faults import Fault, Match, Stall, Status
from mkfs.testing.sources import MemoryReader
from mkfs.tree.nodes import Directory, Extent, File
from mkfs.tree.tree import ROOT, Tree
from mkfs.units import KIB, MIB
from tests.support.layers import Blob, Everybody, engine_at, quiet, seeded

LARGE = Blob(seeded(11, 64 * MIB + 77))


def tensors_of(sizes: Sequence[int], seed: int) -> Blob:
    """A safetensors file with tensors of these sizes, in order."""
    header, at = {}, 0
    for number, size_bytes in enumerate(sizes):
        header[f"t{number}"] = {"dtype": "U8", "shape": [size_bytes], "data_offsets": [at, at + size_bytes]}
        at += size_bytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return Blob(pack("<Q", len(text)) + text + seeded(seed, at))


SIZES = [3 * MIB, 12 * MIB, 5000, 9 * MIB, 20 * MIB]
MODEL = tensors_of(SIZES, 12)
DATA = len(MODEL.content) - sum(SIZES)
SHARDS = [tensors_of([6 * MIB, 3 * MIB], 20 + number) for number in range(4)]


class Shown:
    """Files side by side in one directory, each a raw layer of its own, as a mount shows them."""

    def __init__(self, engine: Engine, files: dict[str, Blob], *, indexed: bool, prefetch: Prefetch) -> None:
        self.engine = engine
        self.reader = MemoryReader({blob.digest: blob.content for blob in files.values()}, stall_seconds=30)
        self.files = files
        self.layers = {
            name: Layer(
                engine=engine,
                reader=self.reader,
                access=Everybody(),
                blob=blob.descriptor,
                label=name,
                tar=False,
                trusted=LayerTrust(index_of(blob), Trust.SIGNED, "signed by a test") if indexed else None,
                prefetch=prefetch,
            )
            for name, blob in files.items()
        }
        names = sorted(name.encode() for name in files)
        nodes: list[Directory | File] = [Directory(ROOT, ROOT, 0o755, {name: ROOT + 1 + at for at, name in enumerate(names)})]
        for at, name in enumerate(names):
            size_bytes = len(files[name.decode()].content)
            layer = list(files).index(name.decode())
            nodes.append(File(ROOT + 1 + at, 0o644, size_bytes, layer, (Extent(0, 0, size_bytes),)))
        if prefetch is Prefetch.MODEL:
            foresee(engine.nursery, Tree(nodes, [(ROOT, b"")] + [(ROOT, name) for name in names]), list(self.layers.values()))

    async def look(self, name: str, start: int, stop: int) -> None:
        """Reads as a file system does."""
        layer, content = self.layers[name], self.files[name].content
        for wanted in ByteRange(start, stop).pieces(512 * KIB):
            answer = layer.read_now(wanted)
            assert bytes(await layer.read(wanted) if answer is None else answer) == content[wanted.start : wanted.stop]

    async def read(self, name: str, start: int, stop: int) -> None:
        """Reads, and waits until nothing more is fetched for it."""
        await self.look(name, start, stop)
        await quiet(self.engine)

    async def read_all(self, name: str) -> None:
        await self.read(name, 0, len(self.files[name].content))

    def sent(self, name: str) -> int:
        return self.reader.bytes_sent(self.files[name].digest)

    def asked(self, name: str) -> list[ByteRange]:
        return [served.range for served in self.reader.requests(self.files[name].digest)]


def index_of(blob: Blob) -> ChunkIndex:
    grid = grid_of(None, len(blob.content))
    chunks = (grid.chunk_range(number) for number in range(grid.count))
    return ChunkIndex(blob.digest, grid, b"".join(sha256(blob.content[each.start : each.stop]).digest() for each in chunks), None)


@asynccontextmanager
async def shown(
    root: Path, files: dict[str, Blob], *, indexed: bool = True, prefetch: Prefetch = Prefetch.MODEL
) -> AsyncGenerator[Shown, None]:
    async with engine_at(root / "cache") as engine:
        mount = Shown(engine, files, indexed=indexed, prefetch=prefetch)
        for layer in mount.layers.values():
            await layer.open()
            if indexed:
                await layer.table()
        yield mount
        await quiet(engine)
        assert engine.buffers.lent == 0
        for layer in mount.layers.values():
            layer.close()


def shards() -> dict[str, Blob]:
    return {f"model-{number + 1:05}-of-00004.safetensors": shard for number, shard in enumerate(SHARDS)}


FIRST, SECOND, THIRD, FOURTH = shards()


# --- streams


async def test_a_scan_fetches_each_byte_once(tmp_path: Path) -> None:
    async with shown(tmp_path, {"large.bin": LARGE}) as mount:
        await mount.read_all("large.bin")
        assert mount.sent("large.bin") == len(LARGE.content)
        assert len(mount.asked("large.bin")) < 20


@pytest.mark.parametrize("prefetch", Prefetch)
async def test_reads_at_random_fetch_one_chunk_each(tmp_path: Path, prefetch: Prefetch) -> None:
    async with shown(tmp_path, {"large.bin": LARGE}, prefetch=prefetch) as mount:
        for number in (40, 3, 60, 12, 25, 33, 0):
            await mount.read("large.bin", number * MIB + 4 * KIB, number * MIB + 8 * KIB)
        assert mount.sent("large.bin") == 7 * MIB
        assert len(mount.asked("large.bin")) == 7


@pytest.mark.parametrize(("prefetch", "ahead"), [(Prefetch.NONE, 0), (Prefetch.SEQUENTIAL, FIRST_WINDOW_BYTES)])
async def test_a_stream_is_run_ahead_of_unless_told_otherwise(tmp_path: Path, prefetch: Prefetch, ahead: int) -> None:
    async with shown(tmp_path, {"large.bin": LARGE}, prefetch=prefetch) as mount:
        await mount.read("large.bin", 8 * MIB, 10 * MIB)
        assert mount.sent("large.bin") == 2 * MIB + ahead


async def test_a_reader_does_not_wait_behind_what_is_fetched_ahead(tmp_path: Path) -> None:
    async with shown(tmp_path, {"large.bin": LARGE}) as mount, trio.open_nursery() as nursery:
        held = [Stall(after_bytes=0), Stall(after_bytes=0), Stall(after_bytes=0)]
        for at, stall in zip((2 * MIB, 11 * MIB, 20 * MIB), held, strict=True):
            mount.reader.faults.install(Fault(Match(offset=at), stall, times=1))
        nursery.start_soon(mount.look, "large.bin", 0, 2 * MIB)
        while not held[0].gate.waiting:
            await trio.lowlevel.checkpoint()
        with trio.fail_after(20):
            await mount.look("large.bin", 50 * MIB, 50 * MIB + 5)
        for stall in held:
            stall.release()


# --- tensors


async def test_a_read_in_a_tensor_fetches_the_rest_of_it_and_nothing_else(tmp_path: Path) -> None:
    async with shown(tmp_path, {"model.safetensors": MODEL}) as mount:
        await mount.read("model.safetensors", 0, 8)
        header = mount.sent("model.safetensors")
        assert header == MIB
        start = DATA + SIZES[0] + SIZES[1] + SIZES[2]
        await mount.read("model.safetensors", start + MIB, start + MIB + 4 * KIB)
        chunks = index_of(MODEL).grid.chunks(ByteRange(start + MIB, start + SIZES[3]))
        assert mount.sent("model.safetensors") - header == len(chunks) * MIB
        await mount.read("model.safetensors", start + MIB, start + SIZES[3])
        assert mount.sent("model.safetensors") - header == len(chunks) * MIB


async def test_a_header_is_read_once_however_often_the_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[object] = []
    monkeypatch.setattr("mkfs.content.readahead.read_header", lambda *args: learnt.append(args))
    async with shown(tmp_path, {"model.safetensors": MODEL}) as mount:
        for _ in range(3):
            await mount.read("model.safetensors", 0, 8)
        await mount.read("model.safetensors", 8, 16)
    assert len(learnt) == 1


@pytest.mark.parametrize(
    ("name", "prefetch"), [("model.safetensors", Prefetch.SEQUENTIAL), ("model.onnx", Prefetch.MODEL)], ids=["asked", "name"]
)
async def test_without_a_header_a_read_in_a_tensor_is_a_read_at_random(tmp_path: Path, name: str, prefetch: Prefetch) -> None:
    async with shown(tmp_path, {name: MODEL}, prefetch=prefetch) as mount:
        await mount.read(name, 0, 8)
        await mount.read(name, DATA + SIZES[0] + MIB, DATA + SIZES[0] + MIB + 5)
        assert mount.sent(name) <= 3 * MIB


async def test_a_file_that_only_has_the_name_is_read_like_any_other(tmp_path: Path) -> None:
    async with shown(tmp_path, {"odd.gguf": LARGE}) as mount:
        await mount.read("odd.gguf", 0, 8)
        await mount.read("odd.gguf", 20 * MIB, 20 * MIB + 5)
        assert mount.sent("odd.gguf") == 2 * MIB


async def test_tensors_in_any_order_fetch_each_byte_once(tmp_path: Path) -> None:
    async with shown(tmp_path, {"model.safetensors": MODEL}) as mount:
        await mount.read("model.safetensors", 0, DATA)
        starts = [DATA + sum(SIZES[:number]) for number in range(len(SIZES))]
        for number in (3, 0, 4, 2, 1):
            await mount.read("model.safetensors", starts[number], starts[number] + SIZES[number])
        assert mount.sent("model.safetensors") == len(MODEL.content)


# --- shards


@pytest.mark.parametrize("indexed", [False, True], ids=["whole layers", "by chunks"])
async def test_two_shards_that_were_read_in_order_pull_the_third_and_only_that(tmp_path: Path, indexed: bool) -> None:
    async with shown(tmp_path, shards(), indexed=indexed) as mount:
        await mount.read_all(FIRST)
        assert [mount.sent(name) > 0 for name in shards()] == [True, False, False, False]
        await mount.read_all(SECOND)
        assert mount.sent(THIRD) == len(SHARDS[2].content)
        assert mount.sent(FOURTH) == 0
        await mount.read_all(THIRD)
        assert mount.sent(FOURTH) == len(SHARDS[3].content)
        await mount.read_all(FOURTH)
        assert [mount.sent(name) for name in shards()] == [len(shard.content) for shard in SHARDS]


@pytest.mark.parametrize("indexed", [False, True], ids=["whole layers", "by chunks"])
@pytest.mark.parametrize("order", [(SECOND, FIRST), (FIRST, THIRD), (FIRST,)], ids=["backwards", "with a gap", "one"])
async def test_shards_in_another_order_pull_nothing(tmp_path: Path, indexed: bool, order: Sequence[str]) -> None:
    async with shown(tmp_path, shards(), indexed=indexed) as mount:
        for name in order:
            await mount.read_all(name)
        assert [name for name in shards() if mount.sent(name)] == sorted(order)


async def test_headers_alone_pull_no_shard(tmp_path: Path) -> None:
    async with shown(tmp_path, shards()) as mount:
        for name in shards():
            await mount.read(name, 0, 4 * KIB)
        assert [mount.sent(name) for name in shards()] == [MIB] * 4


@pytest.mark.parametrize("prefetch", [Prefetch.NONE, Prefetch.SEQUENTIAL])
async def test_shards_follow_only_where_the_model_is_looked_at(tmp_path: Path, prefetch: Prefetch) -> None:
    async with shown(tmp_path, shards(), prefetch=prefetch) as mount:
        await mount.read_all(FIRST)
        await mount.read_all(SECOND)
        assert mount.sent(THIRD) == 0


async def test_a_shard_that_cannot_be_fetched_ahead_fails_nobody(tmp_path: Path, autojump_clock: object) -> None:
    async with shown(tmp_path, shards(), indexed=False) as mount:
        fault = mount.reader.faults.install(Fault(Match(digest=SHARDS[2].digest), Status(403)))
        await mount.read_all(FIRST)
        await mount.read_all(SECOND)
        mount.reader.faults.mend(fault)
        await mount.read_all(THIRD)


async def held_up(mount: Shown, nursery: trio.Nursery, name: str) -> Stall:
    """Somebody waits for a file that does not come; the fault, to be released."""
    held = Stall(after_bytes=MIB)
    mount.reader.faults.install(Fault(Match(digest=mount.files[name].digest), held, times=1))
    nursery.start_soon(mount.look, name, 0, 8)
    while not held.gate.waiting:
        await trio.lowlevel.checkpoint()
    return held


async def test_the_next_shard_waits_for_what_somebody_waits_for(tmp_path: Path) -> None:
    async with shown(tmp_path, shards(), indexed=False) as mount, trio.open_nursery() as nursery:
        await mount.read_all(FIRST)
        held = [await held_up(mount, nursery, name) for name in (FOURTH, SECOND)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert mount.sent(THIRD) == 0
        for stall in held:
            stall.release()
        while not mount.layers[THIRD].published:
            await trio.lowlevel.checkpoint()


async def test_a_reader_who_comes_for_a_shard_that_is_fetched_ahead_does_not_wait_behind_others(tmp_path: Path) -> None:
    async with shown(tmp_path, shards(), indexed=False) as mount, trio.open_nursery() as nursery:
        await mount.read_all(FIRST)
        held = [await held_up(mount, nursery, name) for name in (FOURTH, SECOND)]
        with trio.fail_after(20):
            await mount.look(THIRD, 0, 8)
        for stall in held:
            stall.release()
    assert mount.sent(THIRD) == len(SHARDS[2].content)


async def test_a_reader_who_comes_while_a_shard_is_fetched_ahead_reads_it_from_memory_as_others_do(tmp_path: Path) -> None:
    async with shown(tmp_path, shards(), indexed=False) as mount:
        await mount.read_all(FIRST)
        held = Stall(after_bytes=MIB)
        mount.reader.faults.install(Fault(Match(digest=SHARDS[2].digest), held, times=1))
        async with trio.open_nursery() as nursery:
            await mount.look(SECOND, 0, len(SHARDS[1].content))
            while not held.gate.waiting:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(mount.look, THIRD, 0, 8)
            while mount.layers[THIRD].statistics().waiting < 2:  # who fetches ahead, and who reads
                await trio.lowlevel.checkpoint()
            held.release()
        assert mount.layers[THIRD].read_now(ByteRange(MIB, 2 * MIB)) is not None  # not to be hashed again


def test_names_are_sorted_as_people_count() -> None:
    names = [b"m-10.gguf", b"m-9.gguf", b"m-1.gguf", b"a-2", b"m.gguf"]
    assert sorted(names, key=natural_key) == [b"a-2", b"m-1.gguf", b"m-9.gguf", b"m-10.gguf", b"m.gguf"]


# --- in the background


@pytest.mark.parametrize("indexed", [False, True], ids=["whole layers", "by chunks"])
async def test_filling_fetches_all_of_it_once(tmp_path: Path, indexed: bool) -> None:
    async with shown(tmp_path, shards(), indexed=indexed) as mount:
        await fill(list(mount.layers.values()))
        assert [mount.sent(name) for name in shards()] == [len(shard.content) for shard in SHARDS]
        for name in shards():
            await mount.read_all(name)
        assert [mount.sent(name) for name in shards()] == [len(shard.content) for shard in SHARDS]


async def test_filling_waits_while_anybody_waits(tmp_path: Path) -> None:
    async with shown(tmp_path, shards()) as mount, trio.open_nursery() as nursery:
        held = Stall(after_bytes=5)
        mount.reader.faults.install(Fault(Match(digest=SHARDS[3].digest), held, times=1))
        nursery.start_soon(mount.look, FOURTH, 0, 8)
        while not held.gate.waiting:
            await trio.lowlevel.checkpoint()
        nursery.start_soon(fill, [mount.layers[FIRST]])
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert mount.sent(FIRST) == 0
        with trio.fail_after(20):
            await mount.look(FIRST, 0, 8)  # wanted now
        held.release()
    assert mount.sent(FIRST) == len(SHARDS[0].content)


@pytest.mark.logs("was not filled")
async def test_a_layer_that_cannot_be_filled_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    async with shown(tmp_path, shards(), indexed=False) as mount:
        mount.reader.faults.install(Fault(Match(digest=SHARDS[0].digest), Status(404)))
        await fill(list(mount.layers.values()))
        assert [layer.published for layer in mount.layers.values()] == [False, True, True, True]


async def test_what_is_fetched_for_nobody_is_not_fetched_without_room(tmp_path: Path) -> None:
    async with engine_at(tmp_path / "cache", size_limit_bytes=0) as engine:
        mount = Shown(engine, shards(), indexed=False, prefetch=Prefetch.MODEL)
        await mount.layers[FIRST].expect(0)
        assert mount.sent(FIRST) == 0
        with pytest.raises(Exception, match="no room"):
            await mount.layers[FIRST].prove(urgency=Urgency.BACKGROUND)
