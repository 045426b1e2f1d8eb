"""OCI layout directories: what a name in one means, and that a file in it is believed as little as a registry."""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mkfs.errors import BadDocument, Mismatch, MkfsError, NotAuthorised, NotFound, Unreachable, Unsupported
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.layout import Layout
from tests.support.attached import Attached
from tests.support.little_model import BLOB, DATA, MANIFEST, MANIFEST_DIGEST

NAME = "org.opencontainers.image.ref.name"
OTHER = MANIFEST.replace(b"{", b"{ ", 1)
WHOLE = Descriptor("application/octet-stream", BLOB, len(DATA))


def entry(data: bytes, name: str | None) -> dict[str, object]:
    described: dict[str, object] = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(data)), "size": len(data)}
    return described | ({} if name is None else {"annotations": {NAME: name}})


def blob_path(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.hex


def layout(root: Path, entries: Sequence[Mapping[str, object]], blobs: Sequence[bytes] = (MANIFEST, OTHER, DATA)) -> Layout:
    (root / "blobs" / "sha256").mkdir(parents=True)
    for data in blobs:
        blob_path(root, Digest.of(data)).write_bytes(data)
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(entries)}))
    return Layout(root)


def named(root: Path, tag: str = "", digest: Digest | None = None) -> Reference:
    return Reference("", str(root), tag or None, digest)


@pytest.mark.parametrize("name", ["7b", "registry.test/team/model:7b"])
async def test_a_tag_is_a_name_in_the_index_or_the_end_of_one(tmp_path: Path, name: str) -> None:
    made = layout(tmp_path, [entry(OTHER, "8b"), entry(MANIFEST, name)])
    resolved = await made.resolve(named(tmp_path, "7b"))
    assert (resolved.digest, resolved.data, resolved.media_type) == (MANIFEST_DIGEST, MANIFEST, OCI_MANIFEST)


async def test_a_digest_needs_no_name_and_may_be_of_an_index_within(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(OTHER, "8b"), entry(OTHER, "latest")])
    assert (await made.resolve(named(tmp_path, digest=MANIFEST_DIGEST))).data == MANIFEST
    assert (await made.resolve(named(tmp_path, "no such tag", Digest.of(OTHER)))).data == OTHER


async def test_the_only_artifact_needs_no_name_however_many_it_has(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b"), entry(MANIFEST, "latest")])
    assert (await made.resolve(named(tmp_path))).data == MANIFEST


@pytest.mark.parametrize(("tag", "error"), [("", Unsupported), ("9b", NotFound)])
async def test_of_several_one_must_be_named_and_the_names_are_told(tmp_path: Path, tag: str, error: type[MkfsError]) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b"), entry(OTHER, None)])
    with pytest.raises(error) as caught:
        await made.resolve(named(tmp_path, tag))
    assert f"it has 7b, @{Digest.of(OTHER)}" in caught.value.hint


async def test_a_tag_of_two_artifacts_is_not_guessed(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "a.test/x:7b"), entry(OTHER, "b.test/x:7b")])
    with pytest.raises(NotFound):
        await made.resolve(named(tmp_path, "7b"))


async def test_tags_are_the_names_that_are_tags_or_end_in_one(tmp_path: Path) -> None:
    names = ("7b", "registry.test:5000/team/model:8b", "7b", None, "what a person writes", "8b", "sha256:.x")
    made = layout(tmp_path, [entry(MANIFEST if name == "7b" else OTHER, name) for name in names])
    assert await made.tags() == ("7b", "8b")
    assert await made.digest_of(named(tmp_path, "7b")) == MANIFEST_DIGEST
    assert await made.digest_of(named(tmp_path, "8b")) == Digest.of(OTHER)
    with pytest.raises(NotFound, match="no artifact '9b'"):
        await made.digest_of(named(tmp_path, "9b"))


async def test_a_manifest_that_is_not_what_its_digest_says_is_refused(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    blob_path(tmp_path, MANIFEST_DIGEST).write_bytes(OTHER)
    with pytest.raises(Mismatch, match="digest"):
        await made.resolve(named(tmp_path, "7b"))


async def test_a_blob_is_read_whole_and_in_ranges(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    assert (await made.read_blob(WHOLE)).data == DATA
    await made.head_blob(WHOLE)
    for wanted in (ByteRange(0, len(DATA)), ByteRange(1, 2), ByteRange(len(DATA) - 5, len(DATA))):
        async with made.open_range(WHOLE, wanted) as stream:
            assert stream.range == wanted
            assert b"".join([piece async for piece in stream]) == DATA[wanted.start : wanted.stop]
    for wanted in (ByteRange(0, 0), ByteRange(0, len(DATA) + 1)):
        with pytest.raises(ValueError, match="no range"):
            async with made.open_range(WHOLE, wanted):
                pass


async def test_a_blob_is_received_into_the_readers_memory_in_the_same_way(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    into = bytearray(len(DATA))
    async with made.open_range(WHOLE, ByteRange(7, len(DATA) - 1)) as stream:
        assert await stream.receive_into(memoryview(into)[:100]) == 100
        assert await stream.receive_into(memoryview(into)[100:]) == len(DATA) - 108
        assert await stream.receive_into(memoryview(into)) == 0
    assert into == DATA[7:-1] + bytes(8)
    async with made.open_range(WHOLE, ByteRange(0, len(DATA))) as stream:
        os.truncate(blob_path(tmp_path, BLOB), 0)
        with pytest.raises(Unreachable, match=f"{len(DATA)} bytes early"):
            await stream.receive_into(memoryview(into))


async def test_what_hangs_on_an_artifact_is_found_in_the_index(tmp_path: Path) -> None:
    attached = Attached(Descriptor(OCI_MANIFEST, MANIFEST_DIGEST, len(MANIFEST)))
    missing = entry(b"not there", None)
    made = layout(tmp_path, [entry(MANIFEST, "7b"), missing, entry(attached.manifest, None)], (MANIFEST, DATA, attached.manifest))
    assert await made.referrers(MANIFEST_DIGEST) == (attached.descriptor,)
    assert await made.referrers(Digest.of(OTHER)) == ()


async def test_a_blob_of_another_size_is_no_blob(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    larger = Descriptor(WHOLE.media_type, BLOB, len(DATA) + 1)
    with pytest.raises(Mismatch, match="another size"):
        await made.head_blob(larger)
    with pytest.raises(Mismatch, match="another size"):
        async with made.open_range(larger, ByteRange(0, 1)):
            pass
    with pytest.raises(Mismatch):
        await made.read_blob(larger)


async def test_a_blob_that_changed_is_not_believed(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    blob_path(tmp_path, BLOB).write_bytes(bytes(len(DATA)))
    with pytest.raises(Mismatch):
        await made.read_blob(WHOLE)


async def test_a_file_that_shrinks_while_it_is_read_is_said_to_end(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    async with made.open_range(WHOLE, ByteRange(0, len(DATA))) as stream:
        os.truncate(blob_path(tmp_path, BLOB), 100)
        assert await anext(stream) == DATA[:100]
        with pytest.raises(Unreachable, match=f"{len(DATA) - 100} bytes early"):
            await anext(stream)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_pipe, _directory, Path.unlink])
async def test_what_is_no_file_is_not_found_and_nothing_waits_for_it(tmp_path: Path, spoil: object) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    assert callable(spoil)
    spoil(blob_path(tmp_path, BLOB))
    for asking in (made.head_blob(WHOLE), made.read_blob(WHOLE)):
        with pytest.raises(NotFound, match=BLOB.hex):
            await asking


async def test_a_directory_without_an_index_is_no_layout(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotFound, match=r"no index\.json") as caught:
            await Layout(root).resolve(named(root))
        assert "layout" in caught.value.hint
    (tmp_path / "index.json").write_bytes(MANIFEST)
    with pytest.raises(BadDocument):
        await Layout(tmp_path).resolve(named(tmp_path))


async def test_a_file_that_may_not_or_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])

    def refuse(path: Path, _flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr("mkfs.registry.layout.os.open", refuse)  # root, who runs this, may read everything
        with pytest.raises(NotAuthorised, match=f"{BLOB.hex} may not be read"):
            await made.head_blob(WHOLE)
    blob_path(tmp_path, BLOB).unlink()
    blob_path(tmp_path, BLOB).symlink_to(BLOB.hex)
    with pytest.raises(Unreachable, match="cannot be read: Too many levels of symbolic links"):
        await made.head_blob(WHOLE)


async def test_documents_are_read_to_a_limit(tmp_path: Path) -> None:
    made = layout(tmp_path, [entry(MANIFEST, "7b")])
    with pytest.raises(BadDocument, match="too large"):
        await made.read_blob(WHOLE, len(DATA) - 1)


async def test_bytes_that_came_with_the_descriptor_need_no_file(tmp_path: Path) -> None:
    made = Layout(tmp_path)
    nothing = Descriptor("text/plain", Digest.of(b""), 0)
    await made.head_blob(nothing)
    assert (await made.read_blob(nothing)).data == b""


@pytest.mark.parametrize(
    ("names", "several"),
    [
        (["7b", "8b"], True),
        (["ghcr.io/acme/llama:7b", "8b"], True),
        (["7b", None], False),  # what has no name may be about what has one
        ([None, None], False),
        (["7b"], False),
    ],
)
async def test_a_layout_has_several_artifacts_where_its_tags_say_so(tmp_path: Path, names: list[str | None], several: bool) -> None:
    entries = [entry(data, name) for data, name in zip((MANIFEST, OTHER), names, strict=False)]
    assert await layout(tmp_path, entries).has_several() == several


async def test_two_tags_of_one_artifact_are_one(tmp_path: Path) -> None:
    assert not await layout(tmp_path, [entry(MANIFEST, "7b"), entry(MANIFEST, "latest")]).has_several()
