"""The table: every option of every verb stands in it, once, and what it says of a value is true."""

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mkfs.cli.app import app
from mkfs.cli.settings.kinds import COUNT, FLAG, TABLE, MinFree, Parsed, parse_mask, parse_rate
from mkfs.cli.settings.options import SHOW, SettingCommand, SettingOption, rows_of
from mkfs.cli.settings.setting import GROUPS, Setting
from mkfs.cli.settings.table import BY_NAME, SETTINGS
from mkfs.errors import UsageError
from mkfs.service.layer_work import CONCURRENCY
from mkfs.units import GIB, MIB


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """All verbs that do something, as they are typed."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        elif command is not None:
            yield f"{prefix}{name}", command


VERBS = dict(commands(app))


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_a_verb_are_those_of_the_table(verb: str) -> None:
    options = [option for option in VERBS[verb].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not isinstance(option, SettingOption)] == []
    assert [option.name for option in options] == [row.name for row in rows_of(verb) if row.flags]
    assert not options or isinstance(VERBS[verb], SettingCommand), "its help would have no headings"


def test_no_row_is_of_a_verb_that_is_none() -> None:
    assert {verb for row in SETTINGS for verb in row.verbs} - VERBS.keys() == set()


@pytest.mark.parametrize("field", ["name", "key", "variable"])
def test_nothing_is_called_twice(field: str) -> None:
    names = Counter(getattr(row, field) for row in SETTINGS)
    assert [name for name, count in names.items() if name and count > 1] == []


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_has_a_flag_twice(verb: str) -> None:
    flags = Counter(flag for row in rows_of(verb) for each in row.flags for flag in each.split("/"))
    assert [flag for flag, count in flags.items() if count > 1] == []


def test_a_variable_is_called_as_its_flag() -> None:
    odd = [row.variable for row in SETTINGS if row.variable and row.variable != "MKFS_" + row.flag[2:].upper().replace("-", "_")]
    assert odd == []


def test_what_a_file_turns_on_a_flag_turns_off() -> None:
    kept = [row for row in SETTINGS if row.kind is FLAG and row.is_persistent and not row.is_read_apart]
    assert [row.name for row in kept if not any("/--" in flag for flag in row.flags)] == []


def test_what_a_file_may_say_the_environment_may_say_too() -> None:
    assert [row.key for row in SETTINGS if row.key and row.flags and not row.variable] == []


def test_no_setting_is_a_secret() -> None:
    secret = ("password", "token", "secret", "credential")
    assert [row.name for row in SETTINGS if any(word in f"{row.name} {row.key} {row.flag}".lower() for word in secret)] == []


def test_every_row_has_its_heading_and_says_what_it_is() -> None:
    assert [row.name for row in SETTINGS if row.group not in GROUPS or not row.help.endswith(".")] == []
    silent = [row.name for row in SETTINGS if row.default is None and not row.default_words]
    assert silent == ["user", "output", "verbose"]


@pytest.mark.parametrize("row", [row for row in SETTINGS if isinstance(row.default, str)], ids=lambda row: row.name)
def test_a_default_is_what_its_kind_reads_and_writes(row: Setting) -> None:
    value = row.kind.type(row.default)
    assert row.kind.write(value) == row.default


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.example and row.kind is not TABLE], ids=lambda row: row.name)
def test_an_example_is_what_a_config_file_takes(row: Setting) -> None:
    value = tomllib.loads(f"x = {row.example}")["x"]
    for each in value if row.is_repeatable else [value]:
        row.kind.read(each, Path("/etc/mkfs"))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("cache_size", "200GiB", 200 * GIB),
        ("cache_size", "1025", 1025),
        ("cache_size", "1536KiB", 1536 * 1024),
        ("scrub", "10MiB", 10 * MIB),
        ("min_free", "7%", MinFree(0.07, 0)),
        ("min_free", "0%", MinFree(0.0, 0)),
        ("min_free", "50GiB", MinFree(0.0, 50 * GIB)),
        ("tag_ttl", "0s", 0),
        ("tag_ttl", "90s", 90),
        ("tag_ttl", "36h", 36 * 3600),
        ("tag_ttl", "2d", 2 * 86_400),
        ("umask", "022", 0o022),
    ],
)
def test_a_value_is_written_as_it_would_be_read(name: str, text: str, value: object) -> None:
    kind = BY_NAME[name].kind
    assert (kind.type.convert(text, None, None), kind.write(value)) == (value, text)


@pytest.mark.parametrize("text", ["9", "-1", "1000", "x", ""])
def test_a_mask_is_octal_and_of_permissions(text: str) -> None:
    with pytest.raises(UsageError, match="octal mask"):
        parse_mask(text)


def test_a_rate_of_nothing_is_no_rate() -> None:
    with pytest.raises(UsageError, match="never ends"):
        parse_rate("0MiB")


def test_a_value_that_was_read_already_stays_as_it_is() -> None:
    assert Parsed("mask", parse_mask).convert(0o77, None, None) == 0o77


def test_the_table_and_the_work_agree_how_much_is_done_at_once() -> None:
    assert BY_NAME["concurrency"].default == CONCURRENCY


def test_config_show_takes_whatever_can_be_kept() -> None:
    assert {row.name for row in rows_of(SHOW)} == {row.name for row in SETTINGS if row.is_persistent} | {"form", "verbose"}
    assert BY_NAME["verbose"].kind is COUNT


def test_the_help_of_mount_has_its_headings_in_order_and_everything_below_them() -> None:
    text = CliRunner().invoke(app, ["mount", "--help"]).stdout
    found = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[:-1] in GROUPS]
    assert found == [group for group in GROUPS if any(row.group == group for row in rows_of("mount"))]
    assert "Options:" not in text
    words = " ".join(text.split())
    assert [row.name for row in rows_of("mount") if row.flags and row.flag not in words] == []
    assert [row.variable for row in rows_of("mount") if row.flags and row.variable and f"env: {row.variable}" not in words] == []
    assert "[env: MKFS_TAG_TTL; default: 15min]" in words
    assert "default: sequential" not in words
    assert "default: model; experimental]" in words
    assert text.index("-f, --foreground") > text.index("The daemon and its log:")


def test_the_help_of_a_required_option_says_so() -> None:
    assert "The file to write. [required]" in CliRunner().invoke(app, ["index", "build", "--help"]).stdout
