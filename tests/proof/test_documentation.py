"""docs/CHUNK_INDEX.md: its example is a document, and says what the page says of it."""

import re
from pathlib import Path

from mkfs.archive.entry import Entry, EntryKind
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import CHUNK_INDEX_ARTIFACT, CHUNK_INDEX_DOCUMENT
from mkfs.proof.artifact_index import ArtifactIndex
from mkfs.proof.statement import CHUNK_INDEX_PREDICATE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "CHUNK_INDEX.md").read_text()


def test_the_example_is_read_as_it_is_explained() -> None:
    lines = re.findall(r"^[0-9a-f]{8}: ((?:[0-9a-f]{4} ?)+) ", PAGE, re.MULTILINE)
    index = ArtifactIndex.decode(bytes.fromhex("".join(lines)))
    [layer] = index.layers
    assert (index.subject, layer.layer) == (Digest.of(b"{}"), Digest.of(bytes(2048)))
    assert layer.table == (Entry(b"w", EntryKind.FILE, 0o644, 3, 512),)
    layer.check(0, bytes(2048))


def test_the_names_on_the_page_are_those_in_use() -> None:
    for name in (CHUNK_INDEX_ARTIFACT, CHUNK_INDEX_DOCUMENT, CHUNK_INDEX_PREDICATE):
        assert f"`{name}`" in PAGE or f"{name}`" in PAGE
    for kind in EntryKind:
        assert f"`{kind.value}`" in PAGE
