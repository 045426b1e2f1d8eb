"""`python -m mkfs.cli.settings.page`: prints docs/CONFIGURATION.md, which is made from the table. A test holds the two together."""

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final

import click

from mkfs.cli.settings.kinds import COUNT, FLAG, TABLE
from mkfs.cli.settings.setting import GROUPS, Setting
from mkfs.cli.settings.table import SETTINGS

_WIDTH: Final = 132  # columns, as all documents
_NO_BREAK: Final = "\u00a0"  # a verb of two words stays in one line

_HEAD: Final = """\
# Configuration

This page is made from the table of settings in `src/mkfs/cli/settings` by `python -m mkfs.cli.settings.page`; do not edit it.

A setting is looked for in this order, and the first that says something counts:

1. its **flag** on the command line,
2. its **variable** in the environment,
3. its **key** in the config file,
4. its **default**.

`kitfs config show` prints each setting with the value that holds and who said so (`--format json` for programs), and takes the
flags of all verbs; `kitfs config path` prints which config file is read, and why.

## The config file

TOML. It is the file of `--config`, else of `MKFS_CONFIG`, else `~/.config/mkfs/config.toml` (`XDG_CONFIG_HOME` counts), else
`/etc/mkfs/config.toml`: the first that exists is the only one read. An unknown key, a wrong type and a value out of range are
errors that name file and key. Paths in it are relative to the file, and `~` is your home. This one has every key; it changes
nothing, as what is not a default stands behind a `#`:

"""

_VARIABLES: Final = """\
## The environment

A flag that can be given more than once takes several values from its variable: paths with `:` between them, other words with
spaces. A boolean is `true` or `false`, `1` or `0`, `yes` or `no`, `on` or `off`. An empty variable says nothing. A variable that
begins with `MKFS_` and is not on this page gives a warning, as it may be a misspelt one. `MKFS_RUNTIME_DIR` says where the control
sockets of mounts are: docs/STATUS.md.

What other programs read is read here too: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`; for logins `REGISTRY_AUTH_FILE`,
`DOCKER_CONFIG`, `XDG_RUNTIME_DIR`, `KITOPS_HOME`; for mirrors `CONTAINERS_REGISTRIES_CONF`; for the password of a signing key
`COSIGN_PASSWORD`. Secrets are in those places only: none is a setting, and `kitfs config show` prints none. docs/REGISTRIES.md has
the details.

## Completion

`kitfs completion bash|zsh|fish` prints what lets a shell complete verbs, flags, choices, and the directories that we have mounted:
its `--help` says where to put it.
"""


def page() -> str:
    """The whole document."""
    groups = [(group, [row for row in SETTINGS if row.group == group]) for group in GROUPS]
    parts = [_HEAD + _example(), _VARIABLES, _overview(), *(_group(group, rows) for group, rows in groups if rows)]
    return "\n".join(parts)


def _example() -> str:
    """A config file with every key; a line that holds only where somebody says so stands behind a `#`."""
    sections: dict[str, list[str]] = {}
    tables = []
    for row in SETTINGS:
        section, _, name = row.key.rpartition(".")
        if row.kind is TABLE:
            tables.append("\n".join(f"# {line}" for line in row.example.splitlines()))
        elif name:
            sections.setdefault(section, []).append(_line(row, name))
    top = "\n".join(sections.pop(""))
    blocks = (top, *("\n".join((f"[{name}]", *lines)) for name, lines in sections.items()), *tables)
    return "```toml\n" + "\n\n".join(blocks) + "\n```\n"


def _line(row: Setting, name: str) -> str:
    if row.example:
        return f"{f'# {name} = {row.example}':<48}# default: {row.default_words}"
    text = row.default_text
    return f"{name} = " + (f'"{text}"' if row.kind.toml[0] is str else text)


def _overview() -> str:
    rows = [row for row in SETTINGS if row.is_persistent]
    lines = ["## All settings that can be kept", "", "| key | variable | flag | default |", "|---|---|---|---|"]
    lines += [f"| {_code(row.key)} | {_code(row.variable)} | {_code(row.flag)} | {_cell(_default(row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _group(group: str, rows: Iterable[Setting]) -> str:
    return "\n".join((f"## {group}", "", *(_setting(row) for row in rows)))


def _setting(row: Setting) -> str:
    facts = (
        ("key", _code(row.key)),
        ("variable", _code(row.variable)),
        ("type", " in ".join(word for word in (_type(row), row.kind.unit) if word)),
        ("default", _default(row)),
        ("verbs", ", ".join(_code(verb.replace(" ", _NO_BREAK)) for verb in row.verbs)),
        ("stability", "experimental" if row.is_experimental else "stable"),
    )
    said = " · ".join(f"{name}: {fact}" for name, fact in facts if fact)
    return "\n".join((f"### {_title(row)}", "", *_wrapped(row.help), "", *_wrapped(said), ""))


def _title(row: Setting) -> str:
    if not row.flags:
        return _code(row.key)
    value = "" if row.kind in (FLAG, COUNT) else f" {metavar(row)}"
    return _code(", ".join(flag.replace("/", " / ") for flag in row.flags) + value)


def metavar(row: Setting) -> str:
    """What `--help` writes in the place of a value."""
    if isinstance(row.kind.type, click.Choice):
        return f"[{'|'.join(row.kind.type.choices)}]"
    return row.metavar or row.kind.metavar or row.kind.word.upper()


def _type(row: Setting) -> str:
    if isinstance(row.kind.type, click.Choice):
        return "one of " + ", ".join(_code(word) for word in row.kind.type.choices)
    if row.kind.word == "integer":
        return row.kind.expected
    return f"list of {row.kind.word}s" if row.is_repeatable else row.kind.word


def _default(row: Setting) -> str:
    text = row.default_text
    return text if row.default_words or not text else _code(text)


def _wrapped(text: str) -> Iterator[str]:
    """Lines of at most the width, none of which begins like a list or a heading."""
    for line in wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False):
        yield line.replace(_NO_BREAK, " ")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - the document
