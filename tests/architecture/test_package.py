"""What holds for the package as a whole: it is typed, every room says what it is, and the tree of errors is the one it draws."""

import ast
import errno
import inspect
import re
from pathlib import Path
from typing import Final, NamedTuple

from mkfs import errors
from tests.architecture.tree import ROOT, python_files, shown

PACKAGE: Final = ROOT / "src" / "mkfs"
# "    │   └── BadDigest         13   EIO     text …": each level of the drawing is four columns wide.
_DRAWN: Final = re.compile(
    r"^    (?P<lines>(?:[│ ]   |[├└]── )*)(?P<name>[A-Z]\w+) +(?P<exit_code>\d+) +(?P<errno>E[A-Z]+|\(own\)) ", re.MULTILINE
)


class Drawn(NamedTuple):
    """A line of the drawing, or the class it should be."""

    name: str
    parent: str
    exit_code: int
    errno: str


def drawn_tree(text: str) -> list[Drawn]:
    """The classes as the docstring draws them."""
    path: list[str] = []
    found = []
    for match in _DRAWN.finditer(text):
        depth = len(match["lines"]) // 4
        path[depth:] = [match["name"]]
        found.append(Drawn(match["name"], path[depth - 1] if depth else "Exception", int(match["exit_code"]), match["errno"]))
    return found


def real_tree() -> list[Drawn]:
    """The classes as they are. An errno of the instance's own is not one of the class."""
    classes = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.MkfsError)]
    return [
        Drawn(cls.__name__, cls.__base__.__name__, cls.exit_code, "(own)" if _takes_errno(cls) else errno.errorcode[cls.errno])
        for cls in classes
        if cls.__base__ is not None
    ]


def _takes_errno(cls: type[errors.MkfsError]) -> bool:
    return "errno" in inspect.signature(cls).parameters


def test_the_drawing_in_errors_is_the_tree_of_classes() -> None:
    assert sorted(drawn_tree(errors.__doc__ or "")) == sorted(real_tree())


def test_the_drawing_is_read_as_meant() -> None:
    lines = ["Root 1 EIO a", "├── One 2 (own) b", "│   └── Two 3 EBUSY c", "└── Three 4 EIO d"]
    assert drawn_tree("A tree:\n\n" + "".join(f"    {line}\n" for line in lines)) == [
        Drawn("Root", "Exception", 1, "EIO"),
        Drawn("One", "Root", 2, "(own)"),
        Drawn("Two", "One", 3, "EBUSY"),
        Drawn("Three", "Root", 4, "EIO"),
    ]


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_every_module_says_what_it_is() -> None:
    ours = [path for path in python_files() if PACKAGE in path.parents]
    assert not [shown(path) for path in ours if not ast.get_docstring(ast.parse(path.read_text()))]


def test_every_room_is_a_package() -> None:
    rooms: set[Path] = {path.parent for path in python_files() if PACKAGE in path.parents}
    assert not [shown(room) for room in rooms if not (room / "__init__.py").exists()]
