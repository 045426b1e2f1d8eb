"""What the code may say: every text in it, and which of them errors are made with.

In a text `PUT_IN` stands for what is put in when it is said: the fields of an f-string, the `%s` of a log line.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

from mkfs import errors
from mkfs.errors import MkfsError
from tests.support.documents import ROOT

PUT_IN: Final = "\0"
_SOURCE: Final = ROOT / "src" / "mkfs"
_NOT_SAID: Final = ("testing",)
_LOG_FIELD: Final = re.compile(r"%[-+0-9.]*[a-z]")


def error_classes() -> dict[str, type[MkfsError]]:
    """The tree of errors, by name."""
    found = vars(errors).values()
    return {each.__name__: each for each in found if isinstance(each, type) and issubclass(each, MkfsError)}


def texts() -> set[str]:
    """All of them."""
    return {text for tree in _trees() for node in ast.walk(tree) if (text := _text(node))}


def texts_of_errors() -> dict[str, set[str]]:
    """The texts that each class of errors is made with, by its name; those of the class's own calls alone."""
    names = error_classes()
    said: dict[str, set[str]] = {name: set() for name in names}
    for tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                given = [*node.args, *(each.value for each in node.keywords)]
                said[node.func.id] |= {text for each in given if (text := _text(each))}
    return said


def is_said(wanted: str, said: set[str]) -> bool:
    """Whether `wanted`, in which `…` stands for what is put in, is one of these texts."""
    form = re.compile(".*".join(map(re.escape, wanted.split("…"))), re.DOTALL)
    return any(form.fullmatch(text) and text.count(PUT_IN) >= wanted.count("…") for text in said)


def _trees() -> Iterator[ast.Module]:
    for path in sorted(_SOURCE.rglob("*.py")):
        if path.relative_to(_SOURCE).parts[0] not in _NOT_SAID:
            yield ast.parse(path.read_text(), str(path))


def _text(node: ast.AST) -> str:
    """The text that `node` is, or ""."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _LOG_FIELD.sub(PUT_IN, node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(each.value if isinstance(each, ast.Constant) else PUT_IN for each in node.values)
    return ""
