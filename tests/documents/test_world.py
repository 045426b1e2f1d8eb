"""The world that documents are run in."""

from pathlib import Path

import pytest

from tests.support.document_world import run_blocks
from tests.support.documents import PYTHON, ROOT, SHELL, Block

pytestmark = pytest.mark.fuse


def block(text: str, section: str = "", language: str = SHELL) -> Block:
    return Block(ROOT / "README.md", 1, section, language, "", text)


def test_a_command_that_fails_is_told_with_its_words_and_ends_the_document() -> None:
    results = run_blocks([block("echo fine"), block("echo ill >&2; false; echo never"), block("echo never")])
    assert [(code, output) for _, code, output in results] == [(0, "fine\n"), (1, "ill\n")]


def test_what_it_writes_stays_in_it() -> None:
    [(_, code, output)] = run_blocks(
        [block("touch /etc/kitfs-was-here /usr/kitfs-was-here README.tmp /mnt/x && ls team.pem && pwd")]
    )
    assert (code, output) == (0, f"team.pem\n{ROOT}\n")
    left = ("/etc/kitfs-was-here", "/usr/kitfs-was-here", "/mnt/x", ROOT / "README.tmp", ROOT / "team.pem")
    assert [path for path in left if Path(path).exists()] == []


def test_mounts_last_for_a_section() -> None:
    mounting = block("kitfs mount localhost:5000/llama:7b /mnt/llama", "one")
    reading = block("cat /mnt/llama/README.md", "one")
    looking = block("ls /mnt/llama", "two")
    python = block("from pathlib import Path\nprint(Path.home())", "two", PYTHON)
    results = run_blocks([mounting, reading, looking, python])
    assert [output for *_, output in results][1:] == ["# llama, kind 1\n", "", "/run/home\n"]
