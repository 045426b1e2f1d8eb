"""The ways of readers, over an ordinary directory: each takes the bytes that it says, from where they stand, and nothing twice."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from bench.gguf import read_header
from bench.model import model_files
from bench.ways import WAYS, calls, faults
from bench.ways.calls import RANDOM_READS
from bench.ways.common import natural, shards_of, tensors_of
from mkfs.ranges import ByteRange
from mkfs.units import KIB, MIB

MODEL_BYTES = 24 * MIB
SMALLER = 64
CALLS_BLOCKS = ("_BLOCK_BYTES", "_SPAN_READ_BYTES", "_DIRECT_BYTES", "_STAGED_BYTES", "_BATCH_BYTES")
FAULTS_BLOCKS = ("_WINDOW_BYTES",)
SPARSE = {"b", "b2", "m", *(name for name in WAYS if name.startswith("k-"))}
BY_FILES = {"a1-1", "a1-4", "a1-8", "a2-1", "a2-4", "a3", "f1", "f2-direct", "g", "h-16", "h2", "all-8"}
BY_TENSORS = set(WAYS) - SPARSE - BY_FILES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    for name, body in model_files(MODEL_BYTES).items():
        (place / name).write_bytes(body.read(ByteRange(0, body.size_bytes)))
    return place


@pytest.fixture(autouse=True)
def smaller_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small model takes several of each, and an end that fits none."""
    for module, names in ((calls, CALLS_BLOCKS), (faults, FAULTS_BLOCKS)):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name) // SMALLER)


class Seen:
    """Takes pieces, and compares each with what stands in the file at that place."""

    def __init__(self) -> None:
        self.pieces: dict[Path, list[ByteRange]] = {}
        self.wrong: list[tuple[Path, int]] = []
        self._lock = threading.Lock()

    def __call__(self, path: Path, start: int, data: memoryview, row_bytes: int = 0) -> None:
        if row_bytes:
            for number in range(data.shape[0]):
                self(path, start + number * row_bytes, data.cast("B")[number * data.shape[1] :][: data.shape[1]])
            return
        with path.open("rb") as file:
            file.seek(start)
            right = file.read(len(data)) == data
        with self._lock:
            self.pieces.setdefault(path, []).append(ByteRange(start, start + len(data)))
            if not right:
                self.wrong.append((path, start))

    def joined(self) -> dict[Path, list[ByteRange]]:
        """The pieces of each file, neighbours put together; what was taken twice stands twice."""
        return {path: list(_joined(sorted(pieces))) for path, pieces in self.pieces.items()}


def _joined(pieces: list[ByteRange]) -> Iterator[ByteRange]:
    run = pieces[0]
    for piece in pieces[1:]:
        if piece.start == run.stop:
            run = ByteRange(run.start, piece.stop)
        else:
            yield run
            run = piece
    yield run


def seen(name: str, directory: Path, ranks: range | None = None) -> Seen:
    way, found = WAYS[name], Seen()
    for rank in range(way.processes) if ranks is None else ranks:
        way.share(directory, found, rank=rank)
    assert not found.wrong
    return found


@pytest.mark.parametrize("name", sorted(BY_FILES))
def test_a_way_through_files_takes_each_whole_and_once(model: Path, name: str) -> None:
    ranks = range(1) if name == "all-8" else None
    assert seen(name, model, ranks).joined() == {path: [ByteRange(0, path.stat().st_size)] for path in shards_of(model)}


@pytest.mark.parametrize("name", sorted(BY_TENSORS - {"n"}))
def test_a_way_through_tensors_takes_each_whole_and_once(model: Path, name: str) -> None:
    data = {shard: [ByteRange(tensors_of(shard)[0].start, shard.stat().st_size)] for shard in shards_of(model)}
    assert seen(name, model).joined() == data


def test_a_rank_takes_its_share_alone(model: Path) -> None:
    taken = sum(piece.length for pieces in seen("e-8", model, range(3, 4)).pieces.values() for piece in pieces)
    whole = sum(tensor.size_bytes for shard in shards_of(model) for tensor in tensors_of(shard))
    assert taken == pytest.approx(whole / 8, rel=0.01)


def test_a_zip_reader_takes_the_tail_first_and_every_tensor_then(model: Path) -> None:
    for shard, pieces in seen("n", model).pieces.items():
        size = shard.stat().st_size
        assert pieces[0] == ByteRange(size - 64 * KIB, size)
        assert pieces[1:] == [ByteRange(tensor.start, tensor.stop) for tensor in tensors_of(shard)]


def test_headers_are_taken_and_no_tensor(model: Path) -> None:
    expected = {shard: [ByteRange(0, tensors_of(shard)[0].start)] for shard in shards_of(model)}
    index = model / "model.safetensors.index.json"
    assert seen("b", model).joined() == {**expected, index: [ByteRange(0, index.stat().st_size)]}


def test_the_header_of_a_gguf_ends_where_its_data_begins(model: Path) -> None:
    (path,) = model.glob("*.gguf")
    ((header,),) = seen("b2", model).joined().values()
    with path.open("rb") as file:
        last = read_header(file.read)[-1]
        at = file.tell()
    size = last.shape[0] * last.shape[1] * 2
    assert header == ByteRange(0, at)
    assert -(-at // 32) * 32 + last.offset + size == path.stat().st_size


@pytest.mark.parametrize("name", sorted(SPARSE - {"b", "b2", "m"}))
def test_random_reads_take_so_many_pieces_of_their_size(model: Path, name: str) -> None:
    pieces = [piece.length for pieces in seen(name, model).pieces.values() for piece in pieces]
    assert pieces == [int(name.split("-")[2].rstrip("k")) * KIB] * RANDOM_READS


def test_names_are_asked_for_without_a_byte(model: Path) -> None:
    assert not seen("m", model).pieces


def test_the_model_is_one_that_the_library_opens_whose_tensors_stand_in_another_order_than_their_names(model: Path) -> None:
    orders = set()
    for shard in shards_of(model):
        with safe_open(shard, "np") as opened:
            names = [tensor.name for tensor in tensors_of(shard)]
            assert sorted(names) == sorted(opened.keys())
            orders.add((names == sorted(names), sorted(names) == sorted(names, key=natural)))
    assert (False, False) in orders
