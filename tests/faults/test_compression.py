"""Group Z: compressed layers that are damaged, made to fill whoever reads them, or other than they say, mounted by the command.

What the codecs make of each is tested step by step in tests/archive, where most of these come from. Here: the exit code, that
nothing is mounted, that neither memory nor disk is filled, and of what is sound the right bytes.
"""

import gzip
import shutil
import zlib
from collections.abc import Iterator

import pytest
from backports import zstd

from mkfs.testing.artifacts import Part
from mkfs.testing.faults import Fault, Flip, Match
from mkfs.testing.kit_layers import gzipped
from mkfs.units import GIB, MIB
from tests.archive import test_compression as streams
from tests.archive import test_hostile_tars as archives
from tests.archive.tarballs import END, header, member
from tests.archive.test_compression import WINDOW_128_KIB, frame, gzip_of, repeated
from tests.faults.conftest import Disk
from tests.faults.inputs import FINE, NO_ROOM, Shown, Stand, modelkit, modelpack, raw, shown

pytestmark = [pytest.mark.fuse, pytest.mark.fault("Z"), pytest.mark.share(4)]

BROKEN = [
    "no gzip at all",
    "gzip without its size",
    "gzip cut in its header",
    "gzip cut in its second member",
    "gzip with a wrong checksum",
    "gzip with a wrong size",
    "gzip with a wrong header checksum",
    "gzip with a flag of tomorrow",
    "gzip with a bad block",
    "gzip that reaches too far back",
    "gzip, zeros behind it",
    "gzip, rubbish behind it",
    "zstd said to be gzip",
    "a tar said to be gzip",
    "zstd cut within a block",
    "zstd cut within a skippable frame",
    "zstd without its checksum",
    "zstd with a wrong checksum",
    "zstd with a wrong size",
    "zstd with a bad block",
    "zstd with a dictionary",
    "zstd with a window of 2 GiB",
    "zstd with a window of 3.75 TiB",
    "zstd of one segment of 2 to the 63rd",
    "zstd, rubbish behind it",
    "gzip said to be zstd",
]


@pytest.mark.parametrize("name", BROKEN)
def test_refused(stand: Stand, name: str) -> None:
    form, data, words = streams.BROKEN[name]
    stand.is_refused(stand.push(modelkit(("fine", "raw", FINE), ("w", f"raw+{form}", data))), words)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Everything sound in one kit, each in a directory of its own."""
    parts = [(f"{number}/w", f"raw+{form}", data) for number, (form, data, _) in enumerate(streams.SOUND.values())]
    with shown(tmp_path_factory.mktemp("sound") / "home", modelkit(*parts)) as mounted:
        yield mounted


@pytest.mark.parametrize("name", streams.SOUND)
def test_shown(sound: Shown, name: str) -> None:
    sound.holds(str(list(streams.SOUND).index(name)), {"w": streams.SOUND[name][2]})


# --- other than they say


def compressed(form: str, data: bytes) -> Part:
    return Part(f"application/vnd.cncf.model.weight.v1.tar{form}", data)


ARCHIVE = member(b"a", streams.TEXT) + END
LIES: dict[str, tuple[Part, str]] = {
    "gzip said to be an archive": (compressed("", gzipped(ARCHIVE)), "first entry"),
    "an archive said to be zstd": (compressed("+zstd", ARCHIVE), "not zstd data"),
    "an archive twice compressed": (compressed("+gzip", gzipped(gzipped(ARCHIVE))), "first entry"),
    "no archive in zstd": (compressed("+zstd", zstd.compress(streams.TEXT * 9)), "first entry"),
    "an archive cut before it was compressed": (compressed("+gzip", gzipped(ARCHIVE[:9000])), "ends past the end"),
    "a device in zstd": (compressed("+zstd", zstd.compress(header(b"d", flag=b"3") + END)), "'d' is a character device"),
    "a sparse file in gzip": (compressed("+gzip", gzipped(archives.REFUSED["GNU sparse 1.0"][0])), "sparse file"),
}


@pytest.mark.parametrize(("layer", "words"), LIES.values(), ids=LIES)
def test_what_is_in_it_is_refused_by_layer(stand: Stand, layer: Part, words: str) -> None:
    assert str(layer.digest) in stand.is_refused(stand.push(modelpack(layer)), words).said


def test_a_compressed_file_that_nobody_says_is_compressed_is_shown_as_it_is(stand: Stand) -> None:
    data = gzip.compress(streams.TEXT)
    stand.is_shown(stand.push(modelpack(raw("a.gz", data))), {"a.gz": data, "fine": FINE})


# --- bombs

ZEROS = bytes(64 * MIB)
SMALL_DISK = "size=24m"


def rle(blocks: int, size: int | None = None) -> bytes:
    """A frame of so many blocks of 128 KiB of zeros: 32,000:1. `size` is what its header says of it."""
    return frame(*[repeated(b"\0", 131_072, last=n == blocks - 1) for n in range(blocks)], window=WINDOW_128_KIB, size=size)


BOMBS = {
    "gzip at 1000 to 1": ("gzip", gzip_of(ZEROS)),
    "gzip at 1000 to 1 that says it is small": ("gzip", gzip_of(ZEROS, size=9)),
    "zstd at 32000 to 1": ("zstd", rle(512)),
    "zstd at 32000 to 1 of a size that is said": ("zstd", rle(512, 64 * MIB)),
    "zstd that is said to be of a TiB": ("zstd", rle(1, 1 << 40)),
}


@pytest.mark.parametrize(("form", "data"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_where_the_disk_does(stand: Stand, disk: Disk, form: str, data: bytes) -> None:
    reference = stand.push(modelkit(("fine", "raw", FINE), ("w", f"raw+{form}", data)))
    options = ("--cache-dir", str(disk(SMALL_DISK)))
    told = stand.is_refused(reference, "no room in the cache", *options, exit_code=NO_ROOM)
    assert "decompresses to" in told.said
    stand.is_shown(stand.push(modelkit(("fine", "raw", FINE)), "2"), {"fine": FINE}, *options)


def test_a_bomb_ends_where_no_model_goes(stand: Stand) -> None:
    """A GiB is what a small layer may come to, whatever room there is."""
    assert len(rle(2 * GIB // 131_072)) < 100_000
    stand.is_refused(stand.push(modelkit(("w", "raw+zstd", rle(2 * GIB // 131_072)))), "decompresses to more than 1.0 GiB")


def test_what_only_looks_like_a_bomb_is_shown(stand: Stand) -> None:
    stand.is_shown(stand.push(modelkit(("w", "raw+gzip", gzip_of(ZEROS)), ("fine", "raw", FINE))), {"w": ZEROS, "fine": FINE})


# --- broken when it is read


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_went_bad_on_the_way_is_an_error_of_its_file_alone(stand: Stand, form: str) -> None:
    """The layer was known and evicted, and now comes with a wrong byte each time."""
    noise = streams.NOISE * 10
    data = zlib_of(noise) if form == "gzip" else zstd.compress(noise)
    made = modelkit(("w", f"raw+{form}", data), ("fine", "raw", FINE))
    reference = stand.push(made)
    files = {"w": noise, "fine": FINE}
    stand.is_shown(reference, files)
    digest = Part("", data).digest
    shutil.rmtree(stand.shell.cache / "layers" / "sha256" / digest.hex)
    fault = stand.registry.faults.install(Fault(Match(digest=digest), Flip(len(data) // 2)))
    seen = stand.is_shown(reference, files, errors={"w": "EIO"})
    assert "does not match its digest" in seen.log
    stand.registry.faults.mend(fault)
    stand.is_shown(reference, files)


def zlib_of(data: bytes) -> bytes:
    """One member, as fast as it goes."""
    compressor = zlib.compressobj(level=1, wbits=31)
    return compressor.compress(data) + compressor.flush()
