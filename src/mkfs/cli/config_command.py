"""`mkfs config show|path`: what holds, and who said so."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

import click
from click.core import ParameterSource
from msgspec import Struct

from mkfs.cli import places
from mkfs.cli.config import Config, find_config
from mkfs.cli.settings.options import SHOW, SettingCommand, config_of, rows_of, setting_options
from mkfs.cli.settings.setting import Setting
from mkfs.errors import printable

SCHEMA_VERSION: Final = 1
FLAG: Final = "flag"
ENVIRONMENT: Final = "environment"
CONFIG_FILE: Final = "config file"
DEFAULT: Final = "default"
_MOST_COLUMNS: Final = 48  # a longer value pushes its own origin aside, not all others


@final
class Origin(Struct, frozen=True):
    """Who said a value: `kind` is one of the four words above, `name` the flag, the variable, or PATH:KEY; "" for a default."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@final
class Held(Struct, frozen=True):
    """A setting with the value that holds. `text` is for a person, `value` for JSON. Several origins: what they say adds up."""

    setting: Setting
    value: Any
    text: str
    origins: tuple[Origin, ...]


@click.group("config")
def command() -> None:
    """Show which settings hold and where they come from. Flags come first, then MKFS_ variables, the config file, defaults."""


@command.command("show", cls=SettingCommand)
@setting_options(SHOW)
def show(*, form: str, **values: Any) -> None:  # noqa: ANN401 - one for each setting
    """Show each setting with the value that holds, and who said so: a flag of this line, the environment, the config file, nobody.

    Takes the flags of all verbs, so that it can be put before a command line that does not do what it should.
    """
    context = click.get_current_context()
    config = config_of(context)
    sources = {name: context.get_parameter_source(name) for name in values}
    held = [in_effect(row, values, sources, config) for row in rows_of(SHOW) if row.is_persistent and row.name != "config"]
    if form == "json":
        click.echo(json.dumps(_document(held, config), indent=2))
        return
    names = [each.setting.words for each in held]
    texts = [printable(each.text) for each in held]
    width, wide = max(map(len, names)), min(_MOST_COLUMNS, max(map(len, texts)))
    for name, text, each in zip(names, texts, held, strict=True):
        click.echo(f"{name:<{width}}  {text:<{wide}}  {printable(', '.join(map(str, each.origins)))}")


@command.command("path", cls=SettingCommand)
@setting_options("config path", read_config=False)
def path(*, form: str, config: Path | None) -> None:
    """Print which config file is read; why it is that one is said on stderr. The file itself is not looked into."""
    by_flag = click.get_current_context().get_parameter_source("config") is ParameterSource.COMMANDLINE
    searched = () if config else places.config_files(os.environ)
    found = find_config(config, searched)
    if config:
        why = "named by --config" if by_flag else "named by MKFS_CONFIG"
        why += "" if config.is_file() else ", and not there"
    else:
        others = " and ".join(str(each) for each in searched)
        why = f"none of {others} is there" if found is None else f"the first of {others} that is there"
    if form == "json":
        looked = [str(each) for each in searched]
        name = None if found is None else str(found)
        click.echo(json.dumps({"schema_version": SCHEMA_VERSION, "path": name, "why": why, "searched": looked}, indent=2))
        return
    if found is not None:
        click.echo(printable(str(found)))
    click.echo(printable(why), err=True)


def in_effect(row: Setting, values: Mapping[str, Any], sources: Mapping[str, ParameterSource | None], config: Config) -> Held:
    """What holds for `row`. `values` and `sources` are click's, by name; of a row without flags only the file says something."""
    said, where = config.said.get(row.key), Origin(CONFIG_FILE, f"{config.path}:{row.key}")
    source = sources.get(row.name, ParameterSource.DEFAULT)
    value = values.get(row.name, row.default)
    if source is ParameterSource.DEFAULT_MAP:
        return _held(row, value, where)
    given = {
        ParameterSource.COMMANDLINE: Origin(FLAG, row.flag),
        ParameterSource.ENVIRONMENT: Origin(ENVIRONMENT, row.variable),
    }
    own = given.get(source) if source is not None else None
    if not row.is_read_apart or said is None:
        return _held(row, value, own or Origin(DEFAULT))
    if row.kind.is_place and config.path is not None:
        said = [row.kind.read(each, config.path.parent) for each in said]
    if own is None:
        return _held(row, said, where)
    if row.is_repeatable:  # what the file names counts beside what is given
        return _held(row, (*value, *said), own, where)
    return _held(row, value, own) if value else _held(row, said, where)


def _held(row: Setting, value: Any, *origins: Origin) -> Held:  # noqa: ANN401 - of any setting
    if value is None or value == ():
        return Held(row, None if not row.is_repeatable else [], f"({row.default_words})", origins)
    if isinstance(value, dict):
        return Held(row, value, ", ".join(f"{name}={_inline(each)}" for name, each in value.items()), origins)
    write = row.kind.write
    several = [value] if not row.is_repeatable else list(value)
    texts = [each if isinstance(each, str) else write(each) for each in several]
    plain = several if row.kind.is_plain else texts
    return Held(row, plain if row.is_repeatable else plain[0], ", ".join(texts), origins)


def _inline(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _document(held: list[Held], config: Config) -> dict[str, object]:
    rows = [
        {
            "name": each.setting.words,
            "value": each.value,
            "unit": each.setting.kind.unit,
            "origins": [{"kind": origin.kind, "name": origin.name} for origin in each.origins],
            "flag": each.setting.flag,
            "variable": each.setting.variable,
            "key": each.setting.key,
        }
        for each in held
    ]
    return {"schema_version": SCHEMA_VERSION, "config_file": None if config.path is None else str(config.path), "settings": rows}
