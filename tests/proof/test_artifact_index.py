"""The document of chunk indexes: it says what was put in, in one encoding, and whatever it should not say is refused."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.archive.entry import Entry, EntryKind, Table
from mkfs.archive.header import BLOCK_BYTES, padded
from mkfs.errors import IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.artifact_index import ArtifactIndex, agree, agree_on_layer, check_layer
from mkfs.proof.chunk_index import DIGEST_BYTES, ChunkIndex
from mkfs.proof.grid import CHUNK_BYTES, Grid, Segment, grid_of
from mkfs.ranges import ByteRange
from mkfs.units import MIB
from tests.support.indexed import IndexedArtifact, layer, sample, table_of, tar

SUBJECT = Digest.of(b"the manifest")


@pytest.fixture(scope="module")
def artifact() -> IndexedArtifact:
    return sample()


@pytest.fixture(scope="module")
def document(artifact: IndexedArtifact) -> bytes:
    return artifact.index.encode()


def same(a: ArtifactIndex, b: ArtifactIndex) -> bool:
    return a.subject == b.subject and [_parts(layer) for layer in a.layers] == [_parts(layer) for layer in b.layers]


def _parts(index: ChunkIndex) -> tuple[object, ...]:
    return index.layer, index.grid, index.digests, index.table, index.compression, index.stored_bytes


def deep(levels: int) -> msgspec.Raw:
    """An array in an array in an array …, in MessagePack."""
    return msgspec.Raw(b"\x91" * levels + b"\xc0")


names = st.lists(
    st.binary(min_size=1, max_size=9).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b"..")), min_size=1
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, int]:
    """A table as a tar could have it, and the size of that tar."""
    entries, at = [], 0
    for kind in draw(st.lists(st.sampled_from(EntryKind), max_size=6)):
        at += BLOCK_BYTES * draw(st.integers(1, 4))
        size_bytes = draw(st.sampled_from([0, 1, 511, 512, MIB - 1, MIB, 3 * MIB + 5])) if kind is EntryKind.FILE else 0
        link = b"target" if kind in {EntryKind.SYMLINK, EntryKind.HARDLINK} else b""
        mode, mtime = draw(st.integers(0, 0o7777)), draw(st.integers(-(2**63), 2**63 - 1))
        entries.append(Entry(b"/".join(draw(names)), kind, mode, size_bytes, at, mtime, link))
        at += padded(size_bytes)
    return tuple(entries), at + BLOCK_BYTES * draw(st.integers(0, 4))


@st.composite
def layers(draw: st.DrawFn) -> ChunkIndex:
    table, size_bytes = draw(st.one_of(tables(), st.tuples(st.none(), st.integers(0, 5 * MIB))))
    grid = grid_of(table, size_bytes)
    digests = draw(st.binary(min_size=grid.count * DIGEST_BYTES, max_size=grid.count * DIGEST_BYTES))
    compression = draw(st.sampled_from(["", "gzip", "zstd"]))
    stored_bytes = draw(st.integers(0, 2**63 - 1)) if compression else None
    name = Digest.of(draw(st.binary(max_size=4)))
    return ChunkIndex(name, grid, digests, table, compression=compression, stored_bytes=stored_bytes)


indexes = st.builds(ArtifactIndex, st.just(SUBJECT), st.lists(layers(), max_size=4, unique_by=lambda layer: layer.layer))


@given(indexes)
def test_what_was_written_is_read_and_written_again_in_the_same_bytes(index: ArtifactIndex) -> None:
    document = index.encode()
    assert same(ArtifactIndex.decode(document), index)
    assert ArtifactIndex.decode(document).encode() == document


@given(indexes, st.data())
def test_a_changed_byte_is_refused_or_says_something_else(index: ArtifactIndex, data: st.DataObject) -> None:
    document = bytearray(index.encode())
    document[data.draw(st.integers(0, len(document) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = ArtifactIndex.decode(bytes(document))
    except IntegrityError:
        return
    assert changed.encode() == document
    assert not same(changed, index)


def test_every_changed_byte_of_a_real_document_is_refused_or_says_something_else(
    artifact: IndexedArtifact, document: bytes
) -> None:
    understood = 0
    for at in range(len(document)):
        changed = document[:at] + bytes([document[at] ^ 1]) + document[at + 1 :]
        try:
            index = ArtifactIndex.decode(changed)
        except IntegrityError:
            continue
        understood += 1
        assert index.encode() == changed
        assert not same(index, artifact.index)
    assert understood > artifact.index.layers[0].grid.count * DIGEST_BYTES  # digests may be any bytes


def test_a_document_that_is_cut_or_has_more_behind_it_is_refused(document: bytes) -> None:
    for stop in (*range(0, len(document), 7), len(document) - 1):
        with pytest.raises(IntegrityError):
            ArtifactIndex.decode(document[:stop])
    for more in (b"\0", b"\xc0", document):
        with pytest.raises(IntegrityError):
            ArtifactIndex.decode(document + more)


def changed(document: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The document with `change` applied to its content, in MessagePack's shortest forms."""
    content = msgspec.msgpack.decode(document)
    change(content)
    return msgspec.msgpack.encode(content)


def first_with_table(content: dict[str, Any]) -> dict[str, Any]:
    return next(layer for layer in content["layers"] if layer["table"] and not layer["compression"])


def raw(content: dict[str, Any]) -> dict[str, Any]:
    return next(layer for layer in content["layers"] if layer["table"] is None)


def test_a_change_of_nothing_is_no_change(document: bytes) -> None:
    assert changed(document, lambda content: None) == document


MUST_NOT_SAY: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (lambda content: content.update(version=2), "of version 2"),
    "a field nobody knows, deeper than any": (lambda content: content.update(x=deep(3000)), "does not decode: "),
    "a field too many": (lambda content: content.update(more=1), "does not decode: .*more"),
    "no subject": (lambda content: content.pop("subject"), "subject"),
    "a subject that is no digest": (lambda content: content.update(subject="sha256:0"), "sha256"),
    "a subject in capitals": (lambda content: content.update(subject=content["subject"].upper()), "not a digest|not supported"),
    "layers in another order": (lambda content: content["layers"].reverse(), "order"),
    "a layer twice": (lambda content: content["layers"].append(content["layers"][-1]), "twice"),
    "a field too many in a layer": (lambda content: raw(content).update(more=1), "more"),
    "chaining values": (lambda content: raw(content).update(chaining=bytes(32)), "null"),
    "no field for chaining values": (lambda content: raw(content).pop("chaining"), "chaining"),
    "another chunk size": (lambda content: raw(content).update(chunk_bytes=MIB // 2), "other chunks"),
    "another compression": (lambda content: raw(content).update(compression="lzma"), "compression"),
    "a stored size that is not the content's": (lambda content: raw(content).update(stored_bytes=1), "stored size"),
    "a stored size beyond all": (lambda content: raw(content).update(compression="gzip", stored_bytes=2**63), "larger than"),
    "a stored size below nothing": (lambda content: raw(content).update(compression="gzip", stored_bytes=-1), "stored size"),
    "a size that is no number": (lambda content: raw(content).update(content_bytes=True), "int"),
    "content longer than its segments": (
        lambda content: raw(content).update(content_bytes=raw(content)["content_bytes"] + 1),
        "tile",
    ),
    "a chunk missing": (lambda content: raw(content).update(digests=raw(content)["digests"][:-DIGEST_BYTES]), "wrong length"),
    "a chunk too many": (
        lambda content: raw(content).update(digests=raw(content)["digests"] + bytes(DIGEST_BYTES)),
        "wrong length",
    ),
    "a chunk instead of all": (
        lambda content: raw(content).update(digests=bytes(DIGEST_BYTES)),
        "got 32 bytes, expected [0-9]+\\)",
    ),
    "half a digest": (lambda content: raw(content).update(digests=raw(content)["digests"][:-1]), "wrong length"),
    "no segments": (lambda content: raw(content).update(segments=[]), "tile"),
    "an empty segment": (lambda content: raw(content).update(segments=[[0, 0], *raw(content)["segments"]]), "tile"),
    "a segment that goes back": (lambda content: raw(content).update(segments=[[-1, 0], *raw(content)["segments"]]), "not a range"),
    "a segment of three numbers": (lambda content: raw(content)["segments"][0].append(0), "length"),
    "another stored file": (lambda content: raw(content)["segments"][0].__setitem__(1, 2), "not those of the table"),
    "a stored file below nothing": (lambda content: raw(content)["segments"][0].__setitem__(1, -1), "tile"),
    "a table left out": (lambda content: first_with_table(content).update(table=None), "not those of the table"),
    "an empty table for a raw layer": (lambda content: raw(content).update(table=[]), "not those of the table"),
    "an entry left out": (lambda content: first_with_table(content)["table"].pop(), "not those of the table"),
    "an entry of six fields": (lambda content: first_with_table(content)["table"][1].pop(), "length"),
    "a kind nobody knows": (lambda content: first_with_table(content)["table"][1].__setitem__(1, "socket"), "socket"),
    "a path that is text": (lambda content: first_with_table(content)["table"][1].__setitem__(0, "text"), "bytes"),
    "an entry beyond the layer": (lambda content: first_with_table(content)["table"][1].__setitem__(3, 2**40), "leaves the layer"),
}


@pytest.mark.parametrize(("change", "reason"), MUST_NOT_SAY.values(), ids=MUST_NOT_SAY)
def test_what_a_document_must_not_say(document: bytes, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    with pytest.raises(IntegrityError, match=reason):
        ArtifactIndex.decode(changed(document, change))


def test_two_segments_that_tile_but_are_not_those_of_the_rule_are_refused(document: bytes) -> None:
    def cut(content: dict[str, Any]) -> None:
        [[length, file]] = raw(content)["segments"]
        raw(content)["segments"] = [[CHUNK_BYTES, file], [length - CHUNK_BYTES, file]]

    with pytest.raises(IntegrityError, match="not those of the table"):
        ArtifactIndex.decode(changed(document, cut))


def test_a_longer_form_of_the_same_number_is_refused(document: bytes) -> None:
    assert document.count(b"\xa7version\x01") == 1
    with pytest.raises(IntegrityError, match="one encoding"):
        ArtifactIndex.decode(document.replace(b"\xa7version\x01", b"\xa7version\xcc\x01"))


def test_fields_in_another_order_or_twice_are_refused(document: bytes) -> None:
    content = msgspec.msgpack.decode(document)
    with pytest.raises(IntegrityError, match="one encoding"):
        ArtifactIndex.decode(msgspec.msgpack.encode(dict(reversed(content.items()))))
    assert document.startswith(b"\x83\xa7version\x01")
    with pytest.raises(IntegrityError):
        ArtifactIndex.decode(b"\x84\xa7version\x01" + document[1:])


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc0", b"\x80", b"\x93\x01\x02\x03", b"\xc1", b"\x91" * 100_000, b"\x83\xa7version\x01\xdf\xff\xff\xff\xff"],
)
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        ArtifactIndex.decode(data)


def test_a_document_beyond_the_bound_is_neither_read_nor_written(
    monkeypatch: pytest.MonkeyPatch, artifact: IndexedArtifact
) -> None:
    document = artifact.index.encode()
    monkeypatch.setattr("mkfs.proof.artifact_index.DOCUMENT_LIMIT_BYTES", len(document) - 1)
    with pytest.raises(IntegrityError, match="too large"):
        ArtifactIndex.decode(document)
    with pytest.raises(IntegrityError, match="too large"):
        artifact.index.encode()
    monkeypatch.setattr("mkfs.proof.artifact_index.DOCUMENT_LIMIT_BYTES", len(document))
    assert ArtifactIndex.decode(artifact.index.encode()).encode() == document


def test_more_entries_than_a_tree_takes_are_refused(monkeypatch: pytest.MonkeyPatch, document: bytes) -> None:
    entries = sum(len(layer["table"] or ()) for layer in msgspec.msgpack.decode(document)["layers"])
    monkeypatch.setattr("mkfs.proof.artifact_index.NODES_LIMIT", entries - 1)
    with pytest.raises(IntegrityError, match="entries"):
        ArtifactIndex.decode(document)
    monkeypatch.setattr("mkfs.proof.artifact_index.NODES_LIMIT", entries)
    ArtifactIndex.decode(document)


def test_reading_and_writing_take_about_twice_the_document() -> None:
    grid = grid_of(None, 256 * 1024 * MIB)  # 256 GiB: 8 MiB of digests
    index = ArtifactIndex(SUBJECT, [ChunkIndex(Digest.of(b""), grid, bytes(grid.count * DIGEST_BYTES), None)])
    document = index.encode()
    for work, most in ((index.encode, 1.6), (lambda: ArtifactIndex.decode(document), 1.1)):
        tracemalloc.start()
        kept = work()
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert kept
        assert peak_bytes < most * len(document)  # besides the document, or the index, that was there before


def test_the_size_is_what_the_documentation_says() -> None:
    grid = grid_of(None, 1024 * MIB)
    raw_bytes = len(ArtifactIndex(SUBJECT, [ChunkIndex(Digest.of(b""), grid, bytes(grid.count * 32), None)]).encode())
    assert raw_bytes / grid.size_bytes < 0.000_04
    entries = tuple(Entry(b"shard-%05d.bin" % n, EntryKind.FILE, 0o644, 16 * MIB, 512 + n * (16 * MIB + 512)) for n in range(64))
    size_bytes = entries[-1].content_offset + 16 * MIB + 1024
    grid = grid_of(entries, size_bytes)
    tar_bytes = len(ArtifactIndex(SUBJECT, [ChunkIndex(Digest.of(b""), grid, bytes(grid.count * 32), entries)]).encode())
    assert tar_bytes / size_bytes < 0.000_05


def test_an_index_for_another_manifest_is_refused(artifact: IndexedArtifact) -> None:
    artifact.index.check_subject(artifact.subject, artifact.described)
    with pytest.raises(IntegrityError, match="another artifact"):
        artifact.index.check_subject(sample("other").subject, artifact.described)


def test_an_index_that_contradicts_the_manifest_is_refused(artifact: IndexedArtifact) -> None:
    described = artifact.described
    with pytest.raises(IntegrityError, match="manifest has not"):
        artifact.index.check_subject(artifact.subject, described[:-1])
    right_bytes = described[0].size_bytes
    wrong = replace(described[0], size_bytes=right_bytes + 1)
    with pytest.raises(IntegrityError, match=f"another size .* .got {right_bytes} bytes, expected {right_bytes + 1}"):
        artifact.index.check_subject(artifact.subject, (wrong, *described[1:]))
    with pytest.raises(IntegrityError, match="another size"):  # a digest may stand twice in a manifest, and must fit both times
        artifact.index.check_subject(artifact.subject, (*described, wrong))


def test_an_index_may_leave_layers_out(artifact: IndexedArtifact) -> None:
    index = ArtifactIndex(artifact.subject, [artifact.layers[0].index])
    index.check_subject(artifact.subject, artifact.described)
    assert index.layers == (artifact.layers[0].index,)


def test_a_layer_is_indexed_only_as_the_manifest_describes_it(artifact: IndexedArtifact) -> None:
    plain, _, packed = artifact.described
    of_plain, of_packed = artifact.layers[0].index, artifact.layers[2].index
    check_layer(of_packed, packed, "gzip")
    for index, described, compression in ((of_packed, packed, ""), (of_packed, packed, "zstd"), (of_plain, plain, "gzip")):
        with pytest.raises(IntegrityError, match="another compression"):
            check_layer(index, described, compression)
    with pytest.raises(IntegrityError, match="another size"):
        check_layer(of_plain, Descriptor(plain.media_type, plain.digest, plain.size_bytes + 1), "")


def test_indexes_that_say_the_same_or_speak_of_different_layers_agree(artifact: IndexedArtifact) -> None:
    index = artifact.index
    agree(index, ArtifactIndex.decode(index.encode()))
    agree(ArtifactIndex(SUBJECT, index.layers[:1]), ArtifactIndex(SUBJECT, index.layers[1:]))


def test_two_that_disagree_name_layer_and_range() -> None:
    content = tar(large=b"a" * (3 * MIB))
    right = layer(content, table_of(content))
    wrong = layer(content[:-600_000] + b"b" + content[-599_999:], table_of(content))
    lying = ChunkIndex(right.index.layer, right.index.grid, wrong.index.digests, right.index.table)
    at = right.index.grid.chunk_range(right.index.grid.chunk_at(len(content) - 600_000))
    with pytest.raises(IntegrityError, match=rf"\[{at.start}, {at.stop}\)") as caught:
        agree(ArtifactIndex(SUBJECT, [right.index]), ArtifactIndex(SUBJECT, [lying]))
    assert str(right.index.layer) in caught.value.where


def test_whatever_is_wrong_with_a_layer_the_error_names_it(monkeypatch: pytest.MonkeyPatch, artifact: IndexedArtifact) -> None:
    plain, raw, packed = artifact.layers
    of_plain = plain.index
    misplaced = ChunkIndex(raw.index.layer, raw.index.grid, raw.index.digests, of_plain.table)
    uncut = Grid(of_plain.grid.size_bytes, [Segment(ByteRange(0, of_plain.grid.size_bytes), 0, 0)])
    coarse = ChunkIndex(of_plain.layer, uncut, bytes(uncut.count * DIGEST_BYTES), of_plain.table)
    renamed = ChunkIndex(of_plain.layer, of_plain.grid, of_plain.digests, of_plain.table[:-1])
    whole = replace(plain.descriptor, size_bytes=1)
    of_packed = packed.index
    longer = ChunkIndex(of_packed.layer, of_packed.grid, of_packed.digests, of_packed.table, compression="gzip", stored_bytes=1)
    wrongs: list[tuple[Digest, Callable[[], object]]] = [
        (of_plain.layer, lambda: ArtifactIndex(SUBJECT, [of_plain, of_plain])),
        (raw.index.layer, lambda: ArtifactIndex(SUBJECT, [misplaced])),
        (of_plain.layer, lambda: ArtifactIndex(SUBJECT, [coarse])),
        (of_plain.layer, lambda: ArtifactIndex(SUBJECT, [of_plain]).check_subject(SUBJECT, [raw.descriptor])),
        (of_plain.layer, lambda: ArtifactIndex(SUBJECT, [of_plain]).check_subject(SUBJECT, [whole])),
        (of_packed.layer, lambda: check_layer(of_packed, packed.descriptor, "zstd")),
        (of_packed.layer, lambda: agree_on_layer(of_packed, longer)),
        (of_plain.layer, lambda: agree_on_layer(of_plain, renamed)),
    ]
    for layer_digest, wrong in wrongs:
        with pytest.raises(IntegrityError) as caught:
            wrong()
        assert caught.value.where == f"layer {layer_digest}"
    monkeypatch.setattr("mkfs.proof.artifact_index.NODES_LIMIT", 0)
    with pytest.raises(IntegrityError) as caught:
        ArtifactIndex(SUBJECT, [of_plain])
    assert str(SUBJECT) in caught.value.where


def test_compressions_that_differ_are_both_named(artifact: IndexedArtifact) -> None:
    of_plain, plain = artifact.layers[0].index, artifact.layers[0].descriptor
    of_packed, packed = artifact.layers[2].index, artifact.layers[2].descriptor
    with pytest.raises(IntegrityError, match="got none, expected zstd"):
        check_layer(of_plain, plain, "zstd")
    with pytest.raises(IntegrityError, match="got gzip, expected none"):
        check_layer(of_packed, packed, "")


def test_what_lies_between_large_files_is_read_back_where_it_was_stored() -> None:
    content = tar(a=b"a" * MIB, b=b"small", c=b"c" * MIB, d=b"d" * (2 * MIB), e=b"e" * 5000)
    index = layer(content, table_of(content)).index
    rest = [segment.file_offset for segment in index.grid.segments if segment.file == 0]
    assert len(rest) > 2
    [read] = ArtifactIndex.decode(ArtifactIndex(SUBJECT, [index]).encode()).layers
    assert [segment.file_offset for segment in read.grid.segments if segment.file == 0] == rest


def test_two_that_disagree_about_names_or_sizes_say_so() -> None:
    content = tar(small=b"abc", other=b"d")
    right = layer(content, table_of(content)).index
    renamed = (*right.table[:-1], replace(right.table[-1], path=b"weights/elsewhere"))
    for table, shown in ((renamed, "first at 'weights/other'"), (right.table[:-1], "one has 3, the other 2")):
        with pytest.raises(IntegrityError, match=shown):
            agree(
                ArtifactIndex(SUBJECT, [right]),
                ArtifactIndex(SUBJECT, [ChunkIndex(right.layer, right.grid, right.digests, table)]),
            )
    longer = Grid(right.grid.size_bytes + 1, [Segment(ByteRange(0, right.grid.size_bytes + 1), 0, 0)])
    with pytest.raises(IntegrityError, match="size or compression"):
        agree(ArtifactIndex(SUBJECT, [right]), ArtifactIndex(SUBJECT, [ChunkIndex(right.layer, longer, right.digests, ())]))


def test_the_same_digests_of_other_chunks_are_not_the_same() -> None:
    half = CHUNK_BYTES // 2

    def cut(*lengths: int) -> ChunkIndex:
        borders = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
        grid = Grid(borders[-1], [Segment(ByteRange(a, b), 0, a) for a, b in pairwise(borders)])
        return ChunkIndex(SUBJECT, grid, bytes(range(grid.count * DIGEST_BYTES)), None)

    one, other = cut(half, half, CHUNK_BYTES, 2 * CHUNK_BYTES), cut(CHUNK_BYTES, CHUNK_BYTES, half, half, CHUNK_BYTES)
    assert one.digests == other.digests
    with pytest.raises(IntegrityError, match=rf"\[{CHUNK_BYTES}, {2 * CHUNK_BYTES}\)"):
        agree_on_layer(one, other)


def test_one_without_a_table_is_compared_in_the_chunks_that_both_cut() -> None:
    content = tar(large=b"a" * (2 * MIB))
    tabled, bare = layer(content, table_of(content)).index, layer(content, None).index
    agree(ArtifactIndex(SUBJECT, [tabled]), ArtifactIndex(SUBJECT, [bare]))
    assert tabled.grid != bare.grid
    small = tar(small=b"abc")
    tabled, bare = layer(small, table_of(small)).index, layer(small, None).index
    agree(ArtifactIndex(SUBJECT, [tabled]), ArtifactIndex(SUBJECT, [bare]))
    lying = ChunkIndex(bare.layer, bare.grid, bytes(DIGEST_BYTES), None)
    with pytest.raises(IntegrityError, match="about bytes"):
        agree(ArtifactIndex(SUBJECT, [tabled]), ArtifactIndex(SUBJECT, [lying]))
