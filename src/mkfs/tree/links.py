"""Symbolic links: where the kernel would get to, following them through the tree, and that it never gets outside.

A link is shown as a link, and whoever reads through a mount follows it in the kernel, whose root is the reader's own. So a target
must be relative and must not climb above the tree at any step, through whatever other links it goes. In an image an absolute target
means the image's root: it is written anew as a relative one. A link that leads to nothing within the tree is left as it is.
"""

from collections.abc import Iterator
from typing import Final

from mkfs.archive.names import show_name
from mkfs.errors import BadArchive
from mkfs.tree.growing import Branch, Growing, Item, Link, Names

HOPS_LIMIT: Final = 40  # links followed on one way: Linux' own limit (path_resolution(7)); beyond it the kernel says ELOOP


class LeadsOut(Exception):
    """A way that climbs above the top."""


def follow(root: Branch, at: Names, target: bytes, *, absolute: bool) -> Names | None:
    """The path that `target`, read in the directory `at`, leads to; every component of it is real. None where it leads nowhere:
    something on the way is missing or a file, or it goes round in circles.

    `absolute`: as in a root of one's own, `/` means `root` and nothing is above it. Else raises `LeadsOut` for either.
    """
    names = list(at)
    waiting = steps(target)
    hops = 0
    if target.startswith(b"/"):
        if not absolute:
            raise LeadsOut
        names.clear()
    while waiting:
        step = waiting.pop()
        if step == b"..":
            if names:
                names.pop()
            elif not absolute:
                raise LeadsOut
            continue
        branch = _branch(root, names)
        child = None if branch is None else branch.children.get(step)
        if child is None:
            return None
        if isinstance(child, Link):
            hops += 1
            if hops > HOPS_LIMIT:
                return None
            if child.target.startswith(b"/"):
                if not absolute:
                    raise LeadsOut
                names.clear()
            waiting += steps(child.target)
            continue
        names.append(step)
    return tuple(names)


def check_links(growing: Growing, root: Branch) -> None:
    """Returns if no link below `root` leads out of it. Raises `BadArchive`, naming the link and its layer."""
    for names, link in everything_below(root):
        if not isinstance(link, Link):
            continue
        try:
            follow(root, names[:-1], link.target, absolute=False)
        except LeadsOut:
            what = f"{show_name(b'/'.join(names))} is a symbolic link that leads out of the directory (to {show_name(link.target)})"
            raise BadArchive(what, growing.label(link.claim)) from None


def everything_below(root: Branch) -> Iterator[tuple[Names, Item]]:
    """All that is below, with its path, parents before children."""
    below: list[tuple[Names, Branch]] = [((), root)]
    while below:
        at, branch = below.pop()
        for name, child in branch.children.items():
            names = (*at, name)
            yield names, child
            if isinstance(child, Branch):
                below.append((names, child))


def relative(at: Names, to: Names) -> bytes:
    """The target that leads from the directory `at` to the path `to`."""
    shared = 0
    while shared < min(len(at), len(to)) and at[shared] == to[shared]:
        shared += 1
    return b"/".join((*([b".."] * (len(at) - shared)), *to[shared:])) or b"."


def steps(target: bytes) -> list[bytes]:
    """The components of a target, the last one first."""
    return [name for name in reversed(target.split(b"/")) if name not in (b"", b".")]


def _branch(root: Branch, names: list[bytes]) -> Branch | None:
    item = root
    for name in names:
        child = item.children.get(name)
        if not isinstance(child, Branch):
            return None
        item = child
    return item
