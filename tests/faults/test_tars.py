"""Group T: tars that are damaged, exotic or made to be read in two ways, mounted by the command.

What the decoder makes of each is tested byte by byte in tests/archive and tests/tree, where most of these come from. Here: that a
person is told which layer and entry it is and nothing is mounted, whether the archive is read whole or hopped through; and of what
is legal, that every byte is the right one.
"""

from collections.abc import Iterator

import pytest

from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.producers.images import LAYER
from mkfs.units import MIB
from tests.archive import test_hostile_tars as archives
from tests.archive.tarballs import (
    BLOCK,
    END,
    GNU,
    V7,
    base256,
    extended,
    header,
    member,
    pad,
    pax,
    record,
)
from tests.faults.inputs import FINE, Shown, Stand, modelkit, modelpack, packed, shown
from tests.tree import test_hostile_trees as trees

pytestmark = [pytest.mark.fuse, pytest.mark.fault("T"), pytest.mark.share(4)]

BEFORE = member(b"before", bytes(range(256)) * (8 * 1024))  # 2 MiB: a layer that begins so is hopped through, not read whole

# By group: what the decoder refuses, what the tree refuses.
REFUSED_ENTRIES = {
    "names": [
        "empty name",
        "empty PAX name",
        "NUL in a PAX name",
        "name too long",
        "file with a slash at the end",
        "prefix in a V7 header",
        "name by PAX and by GNU",
        "two GNU long names",
        "star's header with a full prefix",
        "GNU long name of 1 TiB",
    ],
    "links": [
        "link without a target",
        "symbolic link with content",
        "hard link with content by PAX",
        "NUL in a PAX link target",
        "link target too long",
    ],
    "special types": [
        "directory with content",
        "fifo with content",
        "contiguous file",
        "GNU multi-volume",
        "GNU directory of an incremental archive",
        "type of tomorrow",
    ],
    "sparse": [
        "old GNU sparse",
        "GNU sparse 0.0",
        "GNU sparse 0.1",
        "GNU sparse 1.0",
        "another name by GNU sparse",
        "real size by GNU sparse",
        "real size by star",
        "sparse for all entries",
    ],
    "PAX": [
        "PAX size is negative",
        "PAX size of five thousand digits",
        "PAX size past the end",
        "PAX time of 65 bits",
        "PAX length of a million digits",
        "PAX length past the end",
        "PAX record without a line feed",
        "second PAX record is malformed",
        "two PAX headers",
        "PAX header without its entry",
        "global PAX name",
        "global PAX size",
        "extended header over 1 MiB",
        "extended header said to be 1 TiB",
        "a thousand empty extended headers",
    ],
    "framing": [
        "not a tar",
        "header one bit off",
        "no checksum",
        "cut within a header",
        "cut within content",
        "cut within an extended header",
        "one block of zeros in the middle",
        "size is negative",
        "size of 2 to the 64th",
        "size has two numbers",
        "base-256 of another dialect",
    ],
}
REFUSED_TREES = {
    "names": [
        "absolute",
        "absolute by PAX",
        "absolute by GNU",
        "upwards",
        "upwards within",
        "upwards and back",
        "upwards by prefix",
        "name too long",
        "file for the root",
        "twice",
        "file, then a directory on the way",
        "parent, then file",
    ],
    "special types": ["character device", "block device", "fifo"],
}
REFUSED_KITS = {  # links have no place in a ModelKit: kit does not unpack them
    "links": [
        "symbolic link within",
        "symbolic link to an absolute path",
        "symbolic link, then a file through it",
        "hard link to an entry",
        "hard link to itself",
        "hard link upwards",
    ],
}


def named(groups: dict[str, list[str]]) -> list[object]:
    return [pytest.param(name, id=f"{group}, {name}") for group, names in groups.items() for name in names]


@pytest.mark.parametrize("name", named(REFUSED_ENTRIES))
def test_refused_by_the_decoder(stand: Stand, name: str) -> None:
    archive, words = archives.REFUSED[name]
    layer = packed(archive)
    told = stand.is_refused(stand.push(modelpack(layer)), words)
    assert f"at byte {'0' if name == 'not a tar' else ''}" in told.said
    assert str(layer.digest) in told.said


@pytest.mark.parametrize("name", named({group: names[::3] for group, names in REFUSED_ENTRIES.items()}))
def test_refused_behind_a_file_that_is_not_fetched(stand: Stand, name: str) -> None:
    archive, words = archives.REFUSED[name]
    layer = packed(BEFORE + archive)
    told = stand.is_refused(stand.push(modelpack(layer)), words)
    assert str(layer.digest) in told.said
    assert stand.registry.bytes_sent(layer.digest) < len(layer.data)


@pytest.mark.parametrize("name", named(REFUSED_TREES))
def test_refused_by_the_tree(stand: Stand, name: str) -> None:
    archive, words = trees.REFUSED[name]
    layer = packed(archive + END)
    assert str(layer.digest) in stand.is_refused(stand.push(modelpack(layer)), words).said


@pytest.mark.parametrize("name", named(REFUSED_KITS))
def test_refused_in_a_modelkit(stand: Stand, name: str) -> None:
    archive, words = trees.REFUSED[name]
    stand.is_refused(stand.push(modelkit(("w", "tar", archive + END))), words)


# --- legal, and shown

ONE, TWO = b"one\n" * 300, bytes(range(255)) * 7  # of different sizes, in more blocks than one
LARGE = bytes(range(251)) * 6000  # 1.4 MiB: stored as a file of its own

# name: the archive, and the files it holds
LEGAL: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "names, name fills its field": (member(b"n" * 100, ONE) + END, {"n" * 100: ONE}),
    "names, name fills field and prefix": (
        member(b"n" * 100, ONE, prefix=b"p" * 155) + END,
        {"p" * 155 + "/" + "n" * 100: ONE},
    ),
    "names, bytes behind the end of a name": (member(b"a\0b", ONE) + END, {"a": ONE}),
    "names, GNU keeps times where POSIX has the prefix": (member(magic=GNU, prefix=b"0000\0", content=ONE) + END, {"a": ONE}),
    "names, not UTF-8": (member(b"\xff\xfe", ONE) + END, {"\udcff\udcfe": ONE}),
    "names, line feed and escapes": (member(b"a\nb\x1b[31m", ONE) + END, {"a\nb\x1b[31m": ONE}),
    "names, dots that lead nowhere": (
        member(b"./a..b", ONE) + member(b"c//./...", TWO) + END,
        {"a..b": ONE, "c/...": TWO},
    ),
    "names, GNU long name": (
        extended(b"L", b"d" * 200 + b"/" + b"n" * 255 + b"\0") + member(b"d", ONE) + END,
        {"d" * 200 + "/" + "n" * 255: ONE},
    ),
    "names, 300 directories deep": (pax({b"path": b"d/" * 300 + b"f"}) + member(b"d", ONE) + END, {"d/" * 300 + "f": ONE}),
    "links, left out as modctl does": (
        header(b"l", flag=b"2", link=b"/etc/passwd") + header(b"h", flag=b"1", link=b"../x") + member(b"a", ONE) + END,
        {"a": ONE},
    ),
    "links, target of a file": (member(b"a", ONE, link=b"t") + END, {"a": ONE}),
    "special types, V7 file and directory": (
        member(b"d/", flag=b"\0", magic=V7) + member(b"d/a", ONE, flag=b"\0", magic=V7) + END,
        {"d/a": ONE},
    ),
    "special types, directory without a slash, twice": (
        header(b"d", flag=b"5") + header(b"d/", flag=b"5", mode=0) + member(b"d/a", ONE) + END,
        {"d/a": ONE},
    ),
    "PAX, size wins over a smaller one": (
        pax({b"size": b"%d" % len(ONE)}) + header(b"a") + pad(ONE) + member(b"z", TWO) + END,
        {"a": ONE, "z": TWO},
    ),
    "PAX, size wins over a larger one": (
        pax({b"size": b"%d" % len(LARGE)}) + header(b"a", size=9 * MIB) + pad(LARGE) + member(b"z", TWO) + END,
        {"a": LARGE, "z": TWO},
    ),
    "PAX, size wins and nothing is smuggled": (
        pax({b"size": b"%d" % (2 * BLOCK)}) + header(b"a") + member(b"smuggled", TWO[:BLOCK]) + END,
        {"a": header(b"smuggled", size=BLOCK) + TWO[:BLOCK]},
    ),
    "PAX, last of two records": (
        extended(b"x", record(b"path", b"first") + record(b"path", b"last")) + member(b"a", ONE) + END,
        {"last": ONE},
    ),
    "PAX, records nobody asks for": (
        pax({b"SCHILY.xattr.user.x": b"\0\n=", b"uid": b"x", b"mtime": b"-1.5"}) + member(b"a", ONE) + END,
        {"a": ONE},
    ),
    "PAX, name for one entry only": (
        pax({b"path": b"b"}) + member(b"a", ONE) + member(b"a", TWO) + END,
        {"b": ONE, "a": TWO},
    ),
    "PAX, global header at the end": (member(b"a", ONE) + pax({b"comment": b"c"}, b"g") + END, {"a": ONE}),
    "framing, nothing": (b"", {}),
    "framing, no end at all": (member(b"a", ONE), {"a": ONE}),
    "framing, one block of zeros at the end": (member(b"a", LARGE) + bytes(BLOCK), {"a": LARGE}),
    "framing, another archive behind the end": (member(b"a", ONE) + END + member(b"b", TWO) + END, {"a": ONE}),
    "framing, rubbish behind the end": (member(b"a", LARGE) + END + b"rubbish", {"a": LARGE}),
    "framing, size in base-256": (member(b"a", ONE, size=base256(len(ONE))) + END, {"a": ONE}),
    "framing, content looks like a header": (
        member(b"a", member(b"smuggled", TWO)) + member(b"z", ONE) + END,
        {"a": member(b"smuggled", TWO), "z": ONE},
    ),
    "framing, content looks like the end": (member(b"a", END + LARGE) + member(b"z", ONE) + END, {"a": END + LARGE, "z": ONE}),
}


@pytest.fixture(scope="module")
def legal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """All of `LEGAL` in one artifact, each in a directory of its own that is called by its number."""
    layers = [packed(archive, below=str(number)) for number, (archive, _) in enumerate(LEGAL.values())]
    with shown(tmp_path_factory.mktemp("legal") / "home", modelpack(*layers)) as mounted:
        yield mounted


@pytest.mark.parametrize("name", LEGAL)
def test_shown(legal: Shown, name: str) -> None:
    legal.holds(str(list(LEGAL).index(name)), LEGAL[name][1])


def test_shown_beside_all_of_them(legal: Shown) -> None:
    assert legal.names(".") == sorted(["fine", *(f"{at}/{name}" for at, (_, files) in enumerate(LEGAL.values()) for name in files)])


# --- links in an image, where they have a place


def image(*archive: bytes) -> Artifact:
    return artifact(
        Part("application/vnd.oci.image.config.v1+json", b'{"architecture":"amd64","os":"linux"}'),
        [Part(LAYER, b"".join(archive) + END)],
    )


LINKS: dict[str, tuple[Artifact, dict[str, bytes]]] = {
    "links, hard link to an entry": (
        image(member(b"models/a", LARGE), header(b"models/h", flag=b"1", link=b"models/a")),
        {"a": LARGE, "h": LARGE},
    ),
    "links, symbolic link within": (
        image(member(b"models/d/a", ONE), header(b"models/l", flag=b"2", link=b"d/../d/a")),
        {"d/a": ONE, "l": ONE},
    ),
    "links, absolute target within the image": (
        image(member(b"models/d/a", ONE), header(b"models/d/l", flag=b"2", link=b"/models/d/a")),
        {"d/a": ONE, "d/l": ONE},
    ),
}


@pytest.mark.parametrize(("made", "files"), LINKS.values(), ids=LINKS)
def test_shown_of_an_image(stand: Stand, made: Artifact, files: dict[str, bytes]) -> None:
    stand.is_shown(stand.push(made), files)


def test_a_loop_of_links_is_an_error_for_who_follows_it(stand: Stand) -> None:
    loop = header(b"models/l", flag=b"2", link=b"m"), header(b"models/m", flag=b"2", link=b"l")
    nowhere = header(b"models/n", flag=b"2", link=b"nothing")
    reference = stand.push(image(member(b"models/a", ONE), *loop, nowhere))
    stand.is_shown(reference, {"a": ONE, "l": b"", "m": b"", "n": b""}, errors={"l": "ELOOP", "m": "ELOOP", "n": "ENOENT"})


LEAD_OUT = {
    "links, upwards out of the models": header(b"models/l", flag=b"2", link=b"../etc/passwd"),
    "links, absolute out of the models": header(b"models/l", flag=b"2", link=b"/etc/passwd"),
    "links, out by another link": header(b"models/d", flag=b"2", link=b".") + header(b"models/l", flag=b"2", link=b"d/../etc"),
}


@pytest.mark.parametrize("links", LEAD_OUT.values(), ids=LEAD_OUT)
def test_a_link_that_leads_out_is_refused(stand: Stand, links: bytes) -> None:
    stand.is_refused(stand.push(image(member(b"models/a", ONE), links)), "'l' is a symbolic link that leads out")


def test_one_bad_layer_takes_no_byte_of_another(stand: Stand) -> None:
    """The same layers without the bad one, from the same cache."""
    good = packed(member(b"a", LARGE) + END)
    stand.is_refused(stand.push(modelpack(good, packed(archives.REFUSED["old GNU sparse"][0]))), "sparse")
    stand.is_shown(stand.push(modelpack(good), "2"), {"a": LARGE, "fine": FINE})
