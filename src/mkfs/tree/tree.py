"""The tree a mount shows, once it is built."""

from collections.abc import Iterator, Sequence
from typing import Final, final

from mkfs.tree.nodes import Directory, Node

ROOT: Final = 1  # FUSE's number for the root of a mount


@final
class Tree:
    """An immutable tree of files and directories. Numbers run from 1, the root, without gaps; they depend on the paths alone.

    Asking for a number that is not there raises `KeyError`.
    """

    __slots__ = ("_nodes", "_places")

    def __init__(self, nodes: Sequence[Node], places: Sequence[tuple[int, bytes]]) -> None:
        self._nodes = tuple(nodes)  # node `number` at index `number - ROOT`
        self._places = tuple(places)  # parent's number and own name, likewise

    def node(self, number: int) -> Node:
        """The file or directory with this number."""
        if not ROOT <= number < ROOT + len(self._nodes):
            raise KeyError(number)
        return self._nodes[number - ROOT]

    def lookup(self, directory_number: int, name: bytes) -> int | None:
        """The number of `name` in a directory; None where it has no such name, or is a file. `.` and `..` are no names here."""
        directory = self.node(directory_number)
        return directory.children.get(name) if isinstance(directory, Directory) else None

    def find(self, path: bytes) -> Node | None:
        """What lies at `path` below the root (`b""`), or None. `..` finds nothing; a `/` in front or behind means nothing."""
        number: int | None = ROOT
        for name in path.split(b"/"):
            if name not in (b"", b".") and number is not None:
                number = self.lookup(number, name)
        return None if number is None else self.node(number)

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Everything below the root with its path, parents before children, the names of each directory in order of their bytes."""
        below = [(b"", ROOT)]
        while below:
            path, number = below.pop()
            node = self.node(number)
            if number != ROOT:
                yield path, node
            if isinstance(node, Directory):
                start = path + b"/" if path else b""
                below.extend((start + name, child) for name, child in reversed(tuple(node.children.items())))

    def path(self, number: int) -> bytes:
        """The path of a node, relative to the root; `b""` for the root."""
        self.node(number)
        names: list[bytes] = []
        while number != ROOT:
            number, name = self._places[number - ROOT]
            names.append(name)
        return b"/".join(reversed(names))

    def __len__(self) -> int:
        """How many files and directories, the root among them."""
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<Tree of {len(self)} nodes>"
