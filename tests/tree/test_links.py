"""Symbolic and hard links: shown where they stay in the directory, refused where they lead out. The kernel itself is the judge."""

import ctypes
import errno
import os
import random
from pathlib import Path

import pytest

from mkfs.archive.entry import EntryKind
from mkfs.errors import BadArchive, Unsupported
from mkfs.formats.plan import TarLayer
from mkfs.tree.growing import CONFIG, Branch, Leaf, Link, Names
from mkfs.tree.links import HOPS_LIMIT, LeadsOut, follow, relative
from mkfs.tree.nodes import File, Symlink
from tests.archive.tarballs import END, header, member
from tests.tree.plans import Layer, digest, listing, tree_of

LINKS = TarLayer(kinds=frozenset({EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.SYMLINK, EntryKind.HARDLINK}))


def layer(*entries: bytes) -> Layer:
    return LINKS, b"".join(entries) + END


def symlink(name: bytes, target: bytes) -> bytes:
    return header(name, flag=b"2", link=target)


def hardlink(name: bytes, target: bytes) -> bytes:
    return header(name, flag=b"1", link=target)


INSIDE = {
    "beside it": (b"l", b"a"),
    "down": (b"l", b"d/e/f"),
    "up and down": (b"d/e/l", b"../../a"),
    "to the top": (b"d/l", b".."),
    "to itself": (b"l", b"l"),
    "to nothing": (b"l", b"d/missing/x"),
    "above nothing": (b"l", b"missing/../../../etc/passwd"),  # the kernel stops at what is missing
    "through another link": (b"l", b"m/../a"),
    "below a file": (b"l", b"a/x"),
}


@pytest.mark.parametrize(("name", "target"), INSIDE.values(), ids=INSIDE)
def test_a_link_that_stays_within_is_shown_as_it_is(name: bytes, target: bytes) -> None:
    tree = tree_of(layer(member(b"a"), member(b"d/e/f"), symlink(b"m", b"d/e/.."), symlink(name, target)))
    node = tree.find(name)
    assert isinstance(node, Symlink)
    assert node.target == target


OUTSIDE = {
    "absolute": (b"l", b"/etc/passwd"),
    "absolute, to the top": (b"l", b"/"),
    "upwards": (b"l", b".."),
    "too far up": (b"d/e/l", b"../../../x"),
    "down and up": (b"l", b"d/../../x"),
    "up through another link": (b"l", b"m/../.."),
    "through an absolute link": (b"n", b"l2/x"),
}


@pytest.mark.parametrize(("name", "target"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_link_that_leads_out_is_refused_by_layer_and_path(name: bytes, target: bytes) -> None:
    archive = layer(member(b"d/e/f"), symlink(b"m", b"d"), symlink(name, target), symlink(b"l2", b"/tmp" if name == b"n" else b"d"))
    with pytest.raises(BadArchive, match=r"is a symbolic link that leads out of the directory") as caught:
        tree_of(archive)
    assert str(digest(archive)) in caught.value.where


def test_a_link_across_layers_is_judged_by_the_whole_tree() -> None:
    first, second = layer(symlink(b"l", b"d/up/../x")), layer(member(b"d/a"), symlink(b"d/up", b".."))
    assert isinstance(tree_of(first).find(b"l"), Symlink)
    with pytest.raises(BadArchive, match="'l' is a symbolic link that leads out") as caught:
        tree_of(first, second)
    assert str(digest(first)) in caught.value.where


def test_nothing_is_put_through_a_link() -> None:
    with pytest.raises(Unsupported, match="'l' is claimed twice: it is a symbolic link already"):
        tree_of(layer(member(b"d/a"), symlink(b"l", b"d"), member(b"l/b")))
    with pytest.raises(Unsupported, match="'l' is claimed twice: it is a file already"):
        tree_of(layer(member(b"l"), symlink(b"l", b"d")))


def test_a_hard_link_is_the_file_once_more() -> None:
    tree = tree_of(layer(member(b"d/a", b"content", mode=0o600), hardlink(b"b", b"./d/a"), hardlink(b"c", b"b")))
    first, second, third = (tree.find(path) for path in (b"d/a", b"b", b"c"))
    assert isinstance(first, File)
    assert isinstance(second, File)
    assert isinstance(third, File)
    assert (first.extents, first.mode) == (second.extents, second.mode) == (third.extents, third.mode)
    assert len({first.number, second.number, third.number}) == 3


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (b"missing", "'h' is a hard link to 'missing', which is no file before it"),
        (b"later", "is no file before it"),
        (b"h", "is no file before it"),
        (b"d", "is no file before it"),
        (b"l", "is no file before it"),
        (b"/etc/shadow", "'/etc/shadow' is absolute"),
        (b"../../etc/shadow", "leads upwards"),
    ],
)
def test_a_hard_link_to_nothing_is_refused(target: bytes, words: str) -> None:
    archive = layer(member(b"a"), member(b"d/x"), symlink(b"l", b"a"), hardlink(b"h", target), member(b"later"))
    with pytest.raises(BadArchive, match=words) as caught:
        tree_of(archive)
    assert str(digest(archive)) in caught.value.where


def test_a_prefix_holds_for_the_targets_of_hard_links_too() -> None:
    reading = TarLayer(b"p/q", kinds=LINKS.kinds)
    tree = tree_of((reading, member(b"a", b"x") + hardlink(b"h", b"a") + END))
    assert listing(tree)[-2:] == [(b"p/q/a", 0o644), (b"p/q/h", 0o644)]


@pytest.mark.parametrize(
    ("at", "to", "target"),
    [
        ((), (b"a",), b"a"),
        ((b"d", b"e"), (b"d", b"f"), b"../f"),
        ((b"d", b"e"), (b"x",), b"../../x"),
        ((b"d",), (b"d",), b"."),
        ((b"d", b"e"), (), b"../.."),
    ],
)
def test_the_way_from_a_directory_to_a_path(at: Names, to: Names, target: bytes) -> None:
    assert relative(at, to) == target


# --- the kernel's own walk: openat2(2) with RESOLVE_BENEATH (EXDEV where a way leads out) and RESOLVE_IN_ROOT

_OPENAT2 = 437
_BENEATH, _IN_ROOT = 0x08, 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)


class OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def kernel_follows(top: Path, path: bytes, resolve: int) -> Path | int:
    """Where `path` below `top` ends, or the errno."""
    root = os.open(top, os.O_PATH | os.O_DIRECTORY)
    try:
        how = OpenHow(os.O_PATH | os.O_CLOEXEC, 0, resolve)
        fd = _LIBC.syscall(_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if fd < 0:
            return ctypes.get_errno()
        try:
            return Path(os.readlink(f"/proc/self/fd/{fd}"))
        finally:
            os.close(fd)
    finally:
        os.close(root)


def grow(rng: random.Random, top: Path) -> tuple[Branch, list[tuple[Names, Link]]]:
    """A small tree with links in all directions, on disk and as ours."""
    root, links = Branch(CONFIG), []
    directories: list[tuple[Names, Branch]] = [((), root)]
    words = [b"a", b"b", b"c", b"..", b"..", b".", b"missing"]
    for _ in range(rng.randrange(4, 16)):
        at, branch = rng.choice(directories)
        name = rng.choice([b"a", b"b", b"c", b"d"])
        if name in branch.children:
            continue
        place = os.fsencode(top) + b"/" + b"/".join((*at, name))
        kind = rng.random()
        if kind < 0.35:
            branch.children[name] = child = Branch(0)
            directories.append(((*at, name), child))
            os.mkdir(place)
        elif kind < 0.5:
            branch.children[name] = Leaf(0, 0o644, 0, None, ())
            Path(os.fsdecode(place)).touch()
        else:
            target = b"/".join(rng.choice(words) for _ in range(rng.randrange(1, 5)))
            target = b"/" + target if rng.random() < 0.15 else target
            branch.children[name] = link = Link(0, target)
            links.append(((*at, name), link))
            os.symlink(target, place)
    return root, links


@pytest.mark.parametrize("absolute", [False, True], ids=["beneath", "in a root of its own"])
def test_links_lead_where_the_kernel_goes(tmp_path: Path, absolute: bool) -> None:
    outcomes = {"inside": 0, "nowhere": 0, "out": 0}
    for seed in range(250):
        top = tmp_path / f"{seed}"
        top.mkdir()
        root, links = grow(random.Random(seed), top)
        for names, link in links:
            kernel = kernel_follows(top, b"/".join(names), _IN_ROOT if absolute else _BENEATH)
            try:
                ours = follow(root, names[:-1], link.target, absolute=absolute)
            except LeadsOut:
                outcomes["out"] += 1
                assert kernel == errno.EXDEV, (seed, names)
                continue
            if ours is None:
                outcomes["nowhere"] += 1
                assert kernel in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP), (seed, names)
            elif kernel != errno.ENOTDIR:  # `file/..` ends at the file for the kernel; we walk on, within
                outcomes["inside"] += 1
                assert kernel == top.joinpath(*map(os.fsdecode, ours)), (seed, names)
    assert all(count > 50 for outcome, count in outcomes.items() if outcome != "out" or not absolute), outcomes


def test_a_chain_of_links_ends_where_linux_gives_up() -> None:
    root = Branch(CONFIG, children={b"0": Leaf(0, 0o644, 0, None, ())})
    for number in range(1, HOPS_LIMIT + 3):
        root.children[b"%d" % number] = Link(0, b"%d" % (number - 1))
    assert follow(root, (), b"%d" % HOPS_LIMIT, absolute=False) == (b"0",)
    assert follow(root, (), b"%d" % (HOPS_LIMIT + 1), absolute=False) is None
