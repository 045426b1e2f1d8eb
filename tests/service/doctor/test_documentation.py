"""The page on doctor has the table that the code makes, and the list of checks is one."""

import ast
import re
from pathlib import Path
from typing import Final

from mkfs.service.doctor import checks, judging
from mkfs.service.doctor.checks import CHECKS, table
from tests.architecture.tree import ROOT

PAGE: Final = (ROOT / "docs" / "DOCTOR.md").read_text()
ROOM: Final = Path(judging.__file__ or "").parent
JUDGE: Final = re.compile(r"judge_\w+")


def test_the_table_is_made_from_the_code() -> None:
    """After a change: print(mkfs.service.doctor.checks.table())."""
    shown = PAGE.partition("<!-- checks -->\n")[2].partition("\n<!-- end of checks -->")[0]
    assert shown == table()


def test_what_the_page_explains_is_a_check() -> None:
    explained = set(re.findall(r"^\*\*(\w+\.\w+)\.\*\*", PAGE, re.MULTILINE))
    assert explained
    assert explained <= {check.id for check in CHECKS}


def test_no_two_checks_have_an_id() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)


def test_every_judge_is_asked() -> None:
    written = {
        node.name
        for path in ROOM.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and JUDGE.fullmatch(node.name)
    }
    assert written == set(JUDGE.findall(Path(checks.__file__).read_text()))


def test_judges_touch_nothing() -> None:
    """Facts in, findings out: no file, no system call, no clock, no environment."""
    imported = {
        name.partition(".")[0]
        for path in [*ROOM.glob("*.py"), ROOM.parent / "loaders.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
    }
    assert imported <= {"collections", "enum", "mkfs", "msgspec", "pathlib", "re", "shlex", "typing", "urllib"}
