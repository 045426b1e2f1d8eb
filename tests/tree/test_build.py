"""Which files and directories a plan becomes, under which numbers, and where their bytes are."""

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadArchive, BadDocument
from mkfs.formats.plan import InlineFile, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.tree.build import build
from mkfs.tree.nodes import Directory, Extent, File
from mkfs.tree.tree import ROOT, Tree
from tests.archive.tarballs import BLOCK, END, base256, header, member
from tests.tree.plans import listing, planned, raw, tar, tree_of

MODEL = tar(
    header(b"m", flag=b"5", mode=0o750)
    + header(b"m/a", flag=b"5", mode=0o700)
    + member(b"m/a/w.bin", b"w" * 1000, mode=0o640)
    + member(b"m/empty")
    + END
)
CODE = tar(header(b"m", flag=b"5", mode=0o777) + member(b"m/run.py", b"code", mode=0o4755) + member(b"z", b"z") + END)


def file(tree: Tree, path: bytes) -> File:
    node = tree.find(path)
    assert isinstance(node, File)
    return node


def test_layers_come_together_in_one_directory() -> None:
    tree = tree_of(MODEL, CODE, raw(b"docs/README.md", b"read", 0o600), files=(InlineFile(b"Kitfile", b"kit"),))
    assert listing(tree) == [
        (b"Kitfile", 0o644),
        (b"docs/", 0o755),
        (b"docs/README.md", 0o600),
        (b"m/", 0o750),
        (b"m/a/", 0o700),
        (b"m/a/w.bin", 0o640),
        (b"m/empty", 0o644),
        (b"m/run.py", 0o4755),
        (b"z", 0o644),
    ]


def test_a_file_knows_its_layer_and_where_in_it_its_bytes_are() -> None:
    tree = tree_of(MODEL, CODE, raw(b"r", b"read"), raw(b"nothing", b""), files=(InlineFile(b"Kitfile", b"kit"),))
    weights = file(tree, b"m/a/w.bin")
    assert (weights.layer, weights.size_bytes, weights.extents) == (0, 1000, (Extent(0, 3 * BLOCK, 1000),))
    assert MODEL[1][weights.extents[0].layer_offset :][:1000] == b"w" * 1000
    assert (file(tree, b"r").layer, file(tree, b"r").extents) == (2, (Extent(0, 0, 4),))
    for empty, layer in ((b"m/empty", 0), (b"nothing", 3)):
        assert (file(tree, empty).layer, file(tree, empty).size_bytes, file(tree, empty).extents) == (layer, 0, ())
    kitfile = file(tree, b"Kitfile")
    assert (kitfile.layer, kitfile.size_bytes, kitfile.extents, kitfile.data) == (None, 3, (), b"kit")


def test_numbers_depend_on_the_paths_alone() -> None:
    first, second = tree_of(MODEL, CODE, raw(b"r", b"")), tree_of(raw(b"r", b""), CODE, MODEL)
    numbers = {path: node.number for path, node in first.walk()}
    assert numbers == {path: node.number for path, node in second.walk()}
    assert sorted(numbers.values()) == list(range(ROOT + 1, ROOT + len(first)))
    for directory in (first.node(ROOT), *(node for _, node in first.walk())):
        if isinstance(directory, Directory):
            assert sorted(directory.children) == list(directory.children)


def test_every_node_is_found_by_path_by_name_and_by_number() -> None:
    tree = tree_of(MODEL, CODE)
    assert tree.find(b"") is tree.node(ROOT)
    assert tree.path(ROOT) == b""
    assert len(tree) == 1 + len(list(tree.walk()))
    for path, node in tree.walk():
        assert tree.find(path) is tree.node(node.number) is node
        assert tree.path(node.number) == path
        parent, _, name = path.rpartition(b"/")
        above = tree.find(parent)
        assert isinstance(above, Directory)
        assert tree.lookup(above.number, name) == node.number
        assert not isinstance(node, Directory) or node.parent == above.number
    root = tree.node(ROOT)
    assert isinstance(root, Directory)
    assert root.parent == ROOT


def test_what_is_not_there_is_not_found() -> None:
    tree = tree_of(MODEL)
    assert tree.find(b"m/nothing/x") is None
    assert tree.find(b"m/a/w.bin/x") is None
    assert tree.find(b"m/..") is None
    assert tree.find(b"/m//a/./") is tree.find(b"m/a")
    assert tree.lookup(ROOT, b"..") is None
    assert tree.lookup(ROOT, b"") is None
    assert tree.lookup(file(tree, b"m/empty").number, b"x") is None
    for number in (0, -1, len(tree) + ROOT):
        with pytest.raises(KeyError):
            tree.node(number)
        with pytest.raises(KeyError):
            tree.path(number)


def test_a_directory_is_a_place_that_cannot_be_changed() -> None:
    root = tree_of(MODEL).node(ROOT)
    assert isinstance(root, Directory)
    with pytest.raises(TypeError):
        root.children[b"new"] = 7  # type: ignore[index]  # the test's point
    assert root == tree_of(MODEL).node(ROOT)
    assert len({root, tree_of(MODEL).node(ROOT)}) == 1


def test_parents_that_nobody_names_are_open_to_all() -> None:
    assert listing(tree_of(tar(member(b"a/b/c") + END)))[:2] == [(b"a/", 0o755), (b"a/b/", 0o755)]


def test_the_first_entry_that_names_a_directory_gives_its_mode() -> None:
    late = tar(member(b"a/b") + header(b"a", flag=b"5", mode=0o700) + header(b"a/", flag=b"5", mode=0o711) + END)
    assert listing(tree_of(late)) == [(b"a/", 0o700), (b"a/b", 0o644)]


def test_the_root_belongs_to_the_user() -> None:
    tree = tree_of(tar(header(b"./", flag=b"5", mode=0o000) + member(b"./a") + END))
    assert tree.node(ROOT).mode == 0o755
    assert listing(tree) == [(b"a", 0o644)]


def test_a_prefix_is_the_place_of_a_whole_layer() -> None:
    layer = tar(header(b".", flag=b"5", mode=0o700) + member(b"7b/x") + END, prefix=b"./models//old")
    assert listing(tree_of(layer)) == [
        (b"models/", 0o755),
        (b"models/old/", 0o700),
        (b"models/old/7b/", 0o755),
        (b"models/old/7b/x", 0o644),
    ]


def test_an_artifact_without_layers_is_an_empty_directory() -> None:
    tree = tree_of()
    assert (len(tree), list(tree.walk()), tree.find(b"")) == (1, [], tree.node(ROOT))
    assert listing(tree_of(tar(END))) == []


def test_plan_and_tables_belong_together() -> None:
    plan, tables = planned(MODEL, CODE)
    with pytest.raises(ValueError, match="argument"):
        build(plan, tables[:1])
    with pytest.raises(ValueError, match="layer 1 is a tar, and has no table"):
        build(plan, [tables[0], None])


TIMED = header(b"d", flag=b"5", mtime=1000) + member(b"d/a", b"x", mtime=2000) + member(b"d/none", mtime=0)


def times(tree: Tree) -> list[int | None]:
    return [node.mtime_ns for _, node in tree.walk()]


def test_times_are_kept_where_the_producer_keeps_them() -> None:
    late = member(b"late", mtime=2**33) + member(b"before", mtime=base256(-1))
    kept = tree_of((TarLayer(keeps_times=True), TIMED + late + END))
    assert times(kept) == [None, 1000 * 10**9, 2000 * 10**9, None, None]
    assert times(tree_of(tar(TIMED + END))) == [None, None, None]
    assert times(tree_of((RawLayer(b"r", mtime_ns=5), b""), files=(InlineFile(b"Kitfile", b""),))) == [None, 5]


def test_what_the_producers_tool_skips_is_left_out() -> None:
    archive = member(b"a") + header(b"/etc/l", flag=b"2", link=b"/etc/passwd") + header(b"h", flag=b"1", link=b"a") + END
    layer = (TarLayer(skipped=frozenset({EntryKind.SYMLINK, EntryKind.HARDLINK})), archive)
    assert listing(tree_of(layer)) == [(b"a", 0o644)]


def test_a_directory_that_was_there_before_keeps_its_mode() -> None:
    """As `oras pull` makes it before it unpacks what is within."""
    archive = header(b"d", flag=b"5", mode=0o700) + header(b"d/e", flag=b"5", mode=0o700) + member(b"d/e/f") + END
    assert listing(tree_of((TarLayer(within=b"d"), archive))) == [(b"d/", 0o755), (b"d/e/", 0o700), (b"d/e/f", 0o644)]
    with pytest.raises(BadArchive, match=r"'dd/x' is not within 'd'"):
        tree_of((TarLayer(within=b"d"), member(b"d/a") + member(b"dd/x") + END))


def compressed_file(promise: int | None) -> Plan:
    layer = PlannedLayer(Descriptor("", Digest.of(b"z"), 1), RawLayer(b"w.bin", compression="gzip", size_bytes=promise), "model")
    return Plan("test", (layer,))


@pytest.mark.parametrize("promise", [None, 5000])
def test_a_compressed_file_is_as_large_as_its_content(promise: int | None) -> None:
    node = file(build(compressed_file(promise), [None], {0: 5000}), b"w.bin")
    assert (node.size_bytes, node.extents) == (5000, (Extent(0, 0, 5000),))


def test_a_compressed_file_of_another_size_than_promised_is_refused() -> None:
    with pytest.raises(BadDocument, match=r"'w\.bin' has another size .*got 5000 bytes, expected 4999") as caught:
        build(compressed_file(4999), [None], {0: 5000})
    assert str(Digest.of(b"z")) in caught.value.where
    with pytest.raises(ValueError, match="layer 0 is a compressed file, and has no size"):
        build(compressed_file(None), [None])


def test_two_thousand_directories_deep() -> None:
    path = b"d/" * 2047 + b"f"
    tree = tree_of(tar(b"".join(planned_deep(path)) + END))
    assert len(tree) == 1 + 2048
    assert [found for found, _ in tree.walk()][-1] == path
    assert tree.path(len(tree)) == path


def planned_deep(path: bytes) -> list[bytes]:
    """A member whose name only GNU's long name holds."""
    return [member(b"././@LongLink", path + b"\0", flag=b"L"), member(b"d")]


def test_the_walk_goes_as_a_listing_does() -> None:
    tree = tree_of(tar(member(b"a-b") + member(b"a/c") + member(b"a/b/x") + member(b"B") + END))
    assert [path for path, _ in tree.walk()] == [b"B", b"a", b"a/b", b"a/b/x", b"a/c", b"a-b"]


def test_the_tree_of_an_empty_plan_says_so() -> None:
    assert repr(build(Plan("none", ()), [])) == "<Tree of 1 nodes>"
