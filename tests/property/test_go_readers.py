"""Archives before our readers and the ones kit unpacks with, Go's: what both accept, both read alike. See scripts/go-readers."""

import json
import os
import struct
import subprocess
from collections.abc import Iterable

import pytest

from mkfs.archive.compression import Decompressor
from mkfs.errors import BadArchive
from mkfs.oci.digest import Digest
from tests.archive.test_compression import BROKEN, SOUND
from tests.archive.test_hostile_tars import ACCEPTED
from tests.property.test_tar_tools import ours, shown, sound, tampered

pytestmark = pytest.mark.given("GO_READERS")

ARCHIVES = int(os.environ.get("MKFS_ARCHIVES", "1000"))
# Where we differ, and know it: who refuses what the other reads.
ONLY_GO_REFUSES = {"gzip with a long name", "PAX records nobody asks for"}
ONLY_WE_REFUSE = {"gzip with a flag of tomorrow", "zstd with a window of 144 MiB"}


GoView = tuple[list[tuple[bytes, str, int]], Digest]
"""Name, kind and size of each entry, and what the content of all files in a row is."""


def go(name: str, archives: Iterable[bytes]) -> list[GoView | None]:
    """What Go reads of each archive; None where it complains."""
    asked = b"".join(struct.pack(">Q", len(data)) + data for data in archives)
    done = subprocess.run([os.environ["GO_READERS"], name], input=asked, capture_output=True, check=True)
    return [None if line["error"] else _view(line) for line in map(json.loads, done.stdout.splitlines())]


def _view(line: dict) -> GoView:
    entries = [(shown(bytes.fromhex(name), kind), kind, size) for name, kind, size in line["entries"] or []]
    return entries, Digest("sha256", line["sha256"])


def read_tar(data: bytes) -> GoView | None:
    """What we read; None where we refuse."""
    view = ours(data)
    return None if view is None else ([(each.name, each.kind, each.size_bytes) for each in view[0]], view[1])


def inflated(name: str, data: bytes) -> GoView | None:
    """What we decompress; None where we refuse."""
    decompressor = Decompressor(name, "layer", 1 << 40)
    try:
        content = b"".join(decompressor.feed(memoryview(data)))
        decompressor.finish()
    except BadArchive:
        return None
    return [], Digest.of(content)


def test_tampered_and_sound_tars_read_alike() -> None:
    archives = [*map(sound, range(ARCHIVES // 5)), *map(tampered, range(ARCHIVES))]
    compared = 0
    for number, (data, theirs) in enumerate(zip(archives, go("tar", archives), strict=True)):
        read = read_tar(data)
        if read is not None and theirs is not None:
            assert read == theirs, f"archive {number}"
            compared += 1
        elif read is not None:
            raise AssertionError(f"archive {number}: we read what kit could not unpack")
    assert compared > ARCHIVES / 3


def test_every_odd_tar_that_we_accept_is_what_go_reads() -> None:
    for (name, (data, _)), theirs in zip(ACCEPTED.items(), go("tar", [data for data, _ in ACCEPTED.values()]), strict=True):
        assert (theirs is None) == (name in ONLY_GO_REFUSES), name
        assert theirs is None or read_tar(data) == theirs, name


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_compressed_layers_are_what_go_reads(name: str) -> None:
    cases = {case: data for case, (kind, data, _) in (SOUND | BROKEN).items() if kind == name}
    for (case, data), theirs in zip(cases.items(), go(name, cases.values()), strict=True):
        read = inflated(name, data)
        assert (read is not None and theirs is None) == (case in ONLY_GO_REFUSES), case
        assert (read is None and theirs is not None) == (case in ONLY_WE_REFUSE), case
        assert None in (read, theirs) or read == theirs, case
