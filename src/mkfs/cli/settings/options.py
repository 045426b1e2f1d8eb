"""Rows of the table as options of a verb: declared, shown under their headings, and blamed by the name that was used.

Precedence is click's: flag, environment, `default_map`, default. The config file is read by the eager callback of `--config` and
becomes that `default_map`, before any other option looks for its value.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, final

import click
from click.core import ParameterSource

from mkfs.cli import places
from mkfs.cli.config import Config, load_config
from mkfs.cli.settings.kinds import COUNT, FLAG
from mkfs.cli.settings.setting import COMMAND, GROUPS, Setting
from mkfs.cli.settings.table import OTHER_VARIABLES, SETTINGS, VARIABLES
from mkfs.errors import printable

F = TypeVar("F", bound=Callable[..., Any])

SHOW: Final = "config show"  # has everything that can be said once for many calls
_PREFIX: Final = "MKFS_"
# In click's `meta`, so that no verb has to carry it.
_VERBOSITY: Final = "mkfs.verbosity"
_CONFIG: Final = "mkfs.config"


def rows_of(verb: str) -> tuple[Setting, ...]:
    """The settings of a verb, as it is typed, in the order of the table; those that only a config file has among them."""
    return tuple(row for row in SETTINGS if verb in row.verbs or (verb == SHOW and row.is_persistent))


def setting_options(verb: str, *, read_config: bool = True) -> Callable[[F], F]:
    """Gives a verb all its options. Its function gets each by the name in the table, except `verbose` and `config`: see `verbosity`
    and `config_of`. Without `read_config` the file is left alone, and `config` is a parameter like others.
    """

    def decorate(function: F) -> F:
        for row in reversed([row for row in rows_of(verb) if row.flags]):
            function = _option(row, read_config=read_config)(function)
        return function

    return decorate


def verbosity(context: click.Context) -> int:
    """How often `-v` was given."""
    value: int = context.meta.get(_VERBOSITY, 0)
    return value


def config_of(context: click.Context) -> Config:
    """What the config file says: of a verb that has `--config`."""
    config: Config = context.meta[_CONFIG]
    return config


@final
class SettingOption(click.Option):
    """An option that knows its row."""

    def __init__(self, *args: Any, setting: Setting, **attributes: Any) -> None:  # noqa: ANN401 - click's own signature
        super().__init__(*args, **attributes)
        self.setting = setting

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Its line of `--help`: also its variable, its default, and whether it may change."""
        record, row = super().get_help_record(ctx), self.setting
        if record is None:
            return None
        default = row.default_text
        notes = (
            f"env: {row.variable}" if row.variable else "",
            f"default: {default}" if default and (row.is_persistent or row.kind is not FLAG) else "",
            "required" if row.is_required else "",
            "experimental" if row.is_experimental else "",
        )
        said = "; ".join(note for note in notes if note)
        return record[0], f"{row.help} [{said}]" if said else row.help

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Where the value came from: a person mends it there."""
        source = None if ctx is None else ctx.get_parameter_source(self.name or "")
        if source is ParameterSource.ENVIRONMENT:
            return self.setting.variable
        if ctx is not None and source is ParameterSource.DEFAULT_MAP:
            return f"{self.setting.key} in {config_of(ctx).path}"
        return super().get_error_hint(ctx)


@final
class SettingCommand(click.Command):
    """A verb whose options stand under the headings of the table."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, group by group; what has no row stands with what is of this command."""
        sections: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections[parameter.setting.group if isinstance(parameter, SettingOption) else COMMAND].append(record)
        for group, records in sections.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


def _option(row: Setting, *, read_config: bool) -> Callable[[F], F]:
    """A fresh option of `row`."""
    attributes: dict[str, Any] = {}
    if row.kind is FLAG:
        attributes |= {"is_flag": True, "default": row.default}
    elif row.kind is COUNT:
        attributes |= {"count": True, "expose_value": False, "callback": _remember_verbosity}
    else:
        attributes |= {"type": row.kind.type, "multiple": row.is_repeatable, "metavar": row.metavar or row.kind.metavar}
        if row.default is not None:
            attributes["default"] = row.default
        if row.kind.completes and not isinstance(row.kind.type, click.Path):
            attributes["shell_complete"] = completing(row.kind.completes)
    if row.name == "config" and read_config:
        attributes |= {"is_eager": True, "expose_value": False, "callback": _read_config}
    return click.option(
        row.name,
        *row.flags,
        cls=SettingOption,
        setting=row,
        envvar=row.variable or None,
        help=row.help,
        required=row.is_required,
        **attributes,
    )


def completing(kind: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """The completion of a path that the shell finds itself: "file" or "dir"."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem  # where a shell asks, it is there; a mount does without

        return [CompletionItem(incomplete, type=kind)]

    return complete


def _remember_verbosity(context: click.Context, _parameter: click.Parameter, value: int) -> None:
    context.meta[_VERBOSITY] = value


def _read_config(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    """Reads the config file. Raises `UsageError`."""
    if context.resilient_parsing:  # a shell asks what could come next, and nothing must fail
        return
    for line in unknown_variables(os.environ):
        click.echo(line, err=True)
    config = load_config(value, places.config_files(os.environ))
    context.meta[_CONFIG] = config
    context.default_map = config.defaults


def unknown_variables(environment: "os._Environ[str] | dict[str, str]") -> list[str]:
    """A line for each variable that looks like one of ours and is none. Never an error: others may have set it."""
    names = [name for name in environment if name.startswith(_PREFIX)]
    return [_unknown(name) for name in names if name not in VARIABLES and name not in OTHER_VARIABLES]


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name[len(_PREFIX) :], [known[len(_PREFIX) :] for known in sorted(VARIABLES)], 1)
    return f"warning: {printable(name)} is no setting of ours" + (f" (did you mean {_PREFIX}{near[0]}?)" if near else "")
