"""What documents show: their fenced blocks, the commands in them, and the sections they stand in.

A block says its language after the fence, and what it cannot do without here: "```sh needs=docker". Without `needs`, its commands
are run by tests/documents; with it they are only looked at.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from mkfs.cli.app import app

ROOT: Final = Path(__file__).resolve().parents[2]
SHELL: Final = "sh"  # commands
PYTHON: Final = "python"
SESSION: Final = "console"  # commands after "$ ", and what they print
OURS: Final = ("kitfs", "mkfs")
# What a test can't have. `suite`: what CI runs anyway, such as the whole suite; `minutes`: what takes them, or measures.
NEEDS: Final = frozenset(("systemd", "docker", "kubernetes", "gpu", "internet", "suite", "minutes", "peer"))
_FENCE: Final = re.compile(r"^( *)```(.*)$")
_HEADING: Final = re.compile(r"^(#{1,6}) (.*)$")
_CODE: Final = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_COMMENT: Final = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is its fence's, from 1; `section` the heading above it."""

    document: Path
    line: int
    section: str
    language: str
    needs: str
    text: str

    @property
    def name(self) -> str:
        """For the name of a test."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def script(self) -> str:
        """What it does, as a shell script."""
        if self.language == SHELL:
            return self.text
        if self.language == PYTHON:
            return f"python -c {shlex.quote(self.text)}\n"
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith(("$ ", "> ", "# ")))


def documents() -> list[Path]:
    """All pages a person reads."""
    pages = [path for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md") for path in ROOT.glob(pattern)]
    return sorted(path for path in pages if path.name != "CHANGELOG.md")


def blocks_of(document: Path, text: str | None = None) -> list[Block]:
    """The fenced blocks of `document`, in order. Raises `ValueError` for a fence that is never closed."""
    blocks: list[Block] = []
    section, open_at, indent, language, needs = "", 0, "", "", ""
    lines: list[str] = []
    for number, line in enumerate((document.read_text() if text is None else text).splitlines(), 1):
        fence = _FENCE.match(line)
        if open_at and fence and not fence[2]:
            blocks.append(Block(document, open_at, section, language, needs, "".join(f"{each}\n" for each in lines)))
            open_at = 0
        elif open_at:
            lines.append(line.removeprefix(indent))
        elif fence:
            open_at, indent, lines = number, fence[1], []
            language, _, extra = fence[2].partition(" ")
            needs = extra.removeprefix("needs=")
        elif heading := _HEADING.match(line):
            section = heading[2]
    if open_at:
        raise ValueError(f"{document}:{open_at}: the block is never closed")
    return blocks


def spans_of(document: Path) -> list[str]:
    """Code within sentences; a line's end in it is a space."""
    outside, fenced = [], False
    for line in document.read_text().splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            outside.append("")
        elif not fenced:
            outside.append(line.strip())
    paragraphs = "\n".join(outside).split("\n\n")
    return [found.replace("\n", " ") for paragraph in paragraphs for found in _CODE.findall(paragraph)]


def our_commands(script: str) -> Iterator[list[str]]:
    """The words after `kitfs` of each call in `script`, as far as a look at the lines tells."""
    for line in script.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\|?|;|\$\(|\)|`", _COMMENT.sub("", line)):
            try:
                words = shlex.split(part)
            except ValueError:  # half of something quoted: a shell judges that
                continue
            place = next((number for number, word in enumerate(words) if Path(word).name in OURS), None)
            if place is not None and words[place + 1 :]:
                yield words[place + 1 :]


def wrong_in(words: list[str]) -> str:
    """What of a call's words our commands do not know, or "". Options may stand anywhere; what follows `--` is not ours."""
    command: click.Command = app
    context = click.Context(command)
    words = words[: words.index("--")] if "--" in words else words
    while isinstance(command, click.Group):
        verb = next((word for word in words if not word.startswith("-")), None)
        if verb is None:
            break
        found = command.get_command(context, verb)
        if found is None:
            return f"no such verb: {verb}"
        words = words[words.index(verb) + 1 :]
        context, command = click.Context(found, parent=context), found
    known = {name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
    strange = [each for each in options if each not in known]
    return f"{command.name}: no such option: {strange[0]}" if strange else ""
