"""Every command in a document works, or is marked as one that needs what a test can't have, and is then looked at."""

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.document_world import run_blocks
from tests.support.documents import (
    NEEDS,
    PYTHON,
    ROOT,
    SESSION,
    SHELL,
    Block,
    blocks_of,
    documents,
    our_commands,
    spans_of,
    wrong_in,
)

BLOCKS = [block for document in documents() for block in blocks_of(document)]
# Not for a machine to read: pictures, and what programs print.
_TEXT = frozenset(("text", "diff", "ini", "dockerfile", "promql"))
_READERS = {"json": json.loads, "toml": tomllib.loads, "yaml": lambda text: list(yaml.safe_load_all(text))}


def named(blocks: list[Block]) -> list[object]:
    return [pytest.param(block, id=block.name) for block in blocks]


def relative(document: Path) -> str:
    return str(document.relative_to(ROOT))


def of_commands(block: Block) -> bool:
    return block.language in (SHELL, SESSION, PYTHON)


@pytest.mark.parametrize("block", named(BLOCKS))
def test_a_block_says_what_it_is_and_is_that(block: Block) -> None:
    assert block.needs == "" or block.needs in NEEDS
    if block.language in _READERS:
        _READERS[block.language](block.text)
    else:
        assert block.language in (SHELL, SESSION, PYTHON, *_TEXT)
    if block.language == PYTHON:
        compile(block.text, block.name, "exec")


@pytest.mark.parametrize("block", named([block for block in BLOCKS if of_commands(block)]))
def test_commands_are_valid_shell_and_every_verb_and_option_exists(block: Block) -> None:
    judged = subprocess.run(["sh", "-n"], input=block.script, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
    assert block.script.strip(), "no command in it"
    assert [wrong for words in our_commands(block.script) if (wrong := wrong_in(words))] == []


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_commands_within_sentences_exist(document: Path) -> None:
    calls = [words for text in spans_of(document) if text.startswith("kitfs ") for words in our_commands(text)]
    assert [wrong for words in calls if (wrong := wrong_in(words))] == []


RUN = {document: [each for each in blocks_of(document) if of_commands(each) and not each.needs] for document in documents()}


@pytest.mark.fuse
@pytest.mark.parametrize("document", [document for document, blocks in RUN.items() if blocks], ids=relative)
def test_the_commands_of_a_document_work(document: Path) -> None:
    results = run_blocks(RUN[document])
    failed = [f"{block.name} ended with {code}:\n{block.script}\n{output}" for block, code, output in results if code]
    assert not failed, failed[0]
    assert len(results) == len(RUN[document])
