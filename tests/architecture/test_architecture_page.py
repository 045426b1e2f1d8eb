"""The page on the architecture: its table has every room once, in the order of the contract, and what it names is there."""

import re
import tomllib
from pathlib import Path
from typing import Final

from tests.architecture.tree import ROOT

PACKAGE: Final = ROOT / "src" / "mkfs"
PAGE: Final = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
ROOMS: Final = tuple(sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
ROW: Final = re.compile(r"^\| (?:\d+|–) \| (.+?) \|", re.MULTILINE)
NAMED: Final = re.compile(rf"(?<![\w./])({'|'.join(ROOMS)})\.([a-z_]+)(?:\.(\w+))?(?![\w/])")


def is_there(room: str, module: str, name: str) -> bool:
    """Whether `room` has such a module, and that such a function, class or module, if one is named."""
    path = PACKAGE / room / module
    if name in ("", "py"):
        return path.is_dir() or path.with_suffix(".py").is_file()
    if (path / f"{name}.py").is_file():
        return True
    source = path.with_suffix(".py")
    return source.is_file() and re.search(rf"^ *(?:async )?(?:def|class) {name}\b", source.read_text(), re.MULTILINE) is not None


def top_names(path: Path) -> list[str]:
    """The rooms and files that a row of the contract's list names."""
    contract = tomllib.loads(path.read_text())["tool"]["importlinter"]["contracts"][0]
    return [name.strip(" ()") for row in reversed(contract["layers"]) for name in row.split(":")]


def test_the_table_has_every_room_once_and_in_order() -> None:
    shown = [name for cell in ROW.findall(PAGE) for name in re.findall(r"`(\w+)(?:/|\.py)`", cell)]
    assert len(shown) == len(set(shown))
    assert set(shown) == set(top_names(ROOT / "pyproject.toml")) - {"__main__"}
    rooms = [name for name in shown if name in ROOMS and name not in ("archive", "tensors", "testing")]
    assert rooms == [name for name in top_names(ROOT / "pyproject.toml") if name in rooms]


def test_every_module_that_is_named_is_there() -> None:
    named = {(match[1], match[2], match[3] or "") for match in NAMED.finditer(PAGE)}
    assert len(named) > 20
    assert [".".join(filter(None, each)) for each in sorted(named) if not is_there(*each)] == []
