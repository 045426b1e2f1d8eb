"""Archives and manifests that try to leave their directory, or to be two things at once: refused, by layer and path."""

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadArchive, BadDocument, MkfsError, Unsupported
from mkfs.formats.plan import InlineFile, TarLayer
from tests.archive.tarballs import END, GNU, extended, header, member, pax
from tests.tree.plans import Layer, digest, listing, raw, tar, tree_of

# name: (the archive, the message)
REFUSED: dict[str, tuple[bytes, str]] = {
    "absolute": (member(b"/etc/passwd"), "'/etc/passwd' is absolute"),
    "absolute by PAX": (pax({b"path": b"/x"}) + member(), "'/x' is absolute"),
    "absolute by GNU": (extended(b"L", b"/x\0") + member(magic=GNU), "'/x' is absolute"),
    "absolute by prefix": (member(b"x", prefix=b"/etc"), "'/etc/x' is absolute"),
    "upwards": (member(b"../x"), "'../x' leads upwards"),
    "upwards within": (member(b"a/../../x"), "leads upwards"),
    "upwards and back": (member(b"a/../b"), "leads upwards"),
    "upwards at the end": (header(b"a/..", flag=b"5"), "leads upwards"),
    "upwards by prefix": (member(b"x", prefix=b".."), r"'\.\./x' leads upwards"),
    "upwards by PAX": (pax({b"path": b"../x"}) + member(), "leads upwards"),
    "upwards by GNU": (extended(b"L", b"../x\0") + member(), "leads upwards"),
    "name too long": (pax({b"path": b"n" * 256}) + member(), "longer than 255"),
    "file for the root": (member(b"."), "place of the whole directory"),
    "twice": (member(b"a") + member(b"./a"), "'a' is claimed twice: it is a file already"),
    "file, then directory": (member(b"a") + header(b"a", flag=b"5"), "it is a file already"),
    "directory, then file": (header(b"a", flag=b"5") + member(b"a"), "it is a directory already"),
    "file, then a directory on the way": (member(b"a") + member(b"a/b"), "'a' is claimed twice: it is a file already"),
    "parent, then file": (member(b"a/b") + member(b"a"), "'a' is claimed twice: it is a directory already"),
    "symbolic link within": (member(b"a") + header(b"l", flag=b"2", link=b"a"), "'l' is a symbolic link, which has no place"),
    "symbolic link to an absolute path": (header(b"l", flag=b"2", link=b"/etc"), "is a symbolic link"),
    "symbolic link upwards": (header(b"l", flag=b"2", link=b"../.."), "is a symbolic link"),
    "symbolic link, then a file through it": (header(b"l", flag=b"2", link=b"/etc") + member(b"l/passwd"), "is a symbolic link"),
    "hard link to an entry": (member(b"a") + header(b"h", flag=b"1", link=b"a"), "'h' is a hard link, which has no place"),
    "hard link to itself": (header(b"h", flag=b"1", link=b"h"), "is a hard link"),
    "hard link upwards": (header(b"h", flag=b"1", link=b"../../etc/shadow"), "is a hard link"),
    "character device": (header(b"d", flag=b"3"), "is a character device"),
    "block device": (header(b"d", flag=b"4"), "is a block device"),
    "fifo": (header(b"p", flag=b"6"), "is a fifo"),
}


@pytest.mark.parametrize(("archive", "what"), REFUSED.values(), ids=REFUSED)
def test_an_archive_is_refused_by_layer_and_path(archive: bytes, what: str) -> None:
    layer = tar(archive + END)
    with pytest.raises(Unsupported, match=what) as caught:
        tree_of(raw(b"other", b"x"), layer)
    assert f"layer {digest(layer)} (model)" in caught.value.where
    assert len(caught.value.lines()) <= 3
    assert isinstance(caught.value, BadArchive) == ("already" not in what and "place of the whole" not in what)


@pytest.mark.parametrize(
    ("kinds", "archive"),
    [
        ({EntryKind.FILE}, header(b"d", flag=b"5")),
        ({EntryKind.DIRECTORY}, member(b"f")),
        ({EntryKind.FIFO}, header(b"p", flag=b"6")),  # a tree has no pipes, whatever a producer allows
    ],
)
def test_a_layer_holds_the_kinds_its_producer_writes(kinds: set[EntryKind], archive: bytes) -> None:
    with pytest.raises(BadArchive, match="has no place here"):
        tree_of((TarLayer(kinds=frozenset(kinds)), archive + END))


@pytest.mark.parametrize("path", [b"", b"/x", b"../x", b"a/../x", b"a\0b", b"n" * 256, b"."])
def test_a_path_from_manifest_or_config_is_refused_likewise(path: bytes) -> None:
    layer = raw(path, b"x")
    with pytest.raises(Unsupported) as caught:
        tree_of(layer)
    assert str(digest(layer)) in caught.value.where
    assert not isinstance(caught.value, BadArchive)
    with pytest.raises(Unsupported) as caught:
        tree_of(files=(InlineFile(path, b""),))
    assert caught.value.where == "the artifact's config"
    assert not isinstance(caught.value, BadArchive)


@pytest.mark.parametrize("prefix", [b"/x", b"..", b"a/../../b"])
def test_a_prefix_cannot_lead_out(prefix: bytes) -> None:
    with pytest.raises(BadDocument, match=r"is absolute|leads upwards"):
        tree_of(tar(member() + END, prefix))


def test_two_layers_that_hold_one_file_are_both_named() -> None:
    first, second = tar(member(b"m/a", b"1") + END), tar(member(b"m/a", b"2") + END)
    with pytest.raises(Unsupported, match=r"'m/a' is claimed twice") as caught:
        tree_of(first, second)
    assert caught.value.where == f"layer {digest(first)} (model), then layer {digest(second)} (model)"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (tar(member(b"a") + END), tar(member(b"a/b") + END)),
        (tar(member(b"a/b") + END), raw(b"a", b"x")),
        (raw(b"a/b", b"x"), raw(b"a/b", b"y")),
        (raw(b"a/b", b"x"), raw(b"a//./b", b"y")),
        (tar(member(b"b") + END, b"a"), tar(member(b"a/b") + END)),
    ],
)
def test_layers_that_clash_are_both_named(first: Layer, second: Layer) -> None:
    with pytest.raises(Unsupported, match="claimed twice") as caught:
        tree_of(first, second)
    assert [str(digest(layer)) in caught.value.where for layer in (first, second)] == [True, True]


def test_a_layer_cannot_replace_the_kitfile() -> None:
    with pytest.raises(Unsupported, match="'Kitfile' is claimed twice") as caught:
        tree_of(raw(b"Kitfile", b"evil"), files=(InlineFile(b"Kitfile", b"good"),))
    assert caught.value.where.startswith("the artifact's config, then layer sha256:")


def test_the_same_bytes_under_several_paths_are_no_clash() -> None:
    tree = tree_of(raw(b"a", b"x"), raw(b"b", b"x"), raw(b"c/d", b"x"))
    assert [path for path, _ in listing(tree)] == [b"a", b"b", b"c/", b"c/d"]


def test_one_artifact_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.tree.growing.NODES_LIMIT", 5)
    assert len(tree_of(tar(member(b"a/b/c/d") + END))) == 5
    with pytest.raises(Unsupported, match="more than 5 files and directories"):
        tree_of(tar(member(b"a/b/c/d") + END), raw(b"e", b""))


def test_names_that_are_merely_odd_are_served() -> None:
    odd = [b"a..b", b"-rf", b"..\\x", b"\xff", b"new\nline", b" ", b"Kitfile", b"n" * 255]
    layer = tar(b"".join(extended(b"L", name) + member() for name in odd) + END)
    assert [path for path, _ in listing(tree_of(layer))] == sorted(odd)


def test_errors_are_ones_a_command_can_exit_with() -> None:
    with pytest.raises(MkfsError) as caught:
        tree_of(tar(member(b"../x") + END))
    assert caught.value.exit_code == 14
