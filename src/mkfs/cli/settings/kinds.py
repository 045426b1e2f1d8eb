"""How the value of a setting is written: on the command line and in the environment as text, in a config file as TOML.

A kind reads text through a type of click's; what a config file says is judged by the same type, so both mean the same.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, final

import click
from msgspec import Struct

from mkfs.errors import UsageError
from mkfs.service.listening import parse_address
from mkfs.units import GIB, KIB, MIB, TIB, parse_duration, parse_size

_PERCENT: Final = re.compile(r"([0-9]{1,2})\s*%", re.ASCII)
_MOST_MODE: Final = 0o777
_SIZES: Final = (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_DURATIONS: Final = (("d", 86_400), ("h", 3600), ("min", 60))


@final
class MinFree(Struct, frozen=True):
    """What stays free on the cache's disk: a share of its bytes and inodes, or bytes."""

    ratio: float
    size_bytes: int


def parse_min_free(text: str) -> MinFree:
    """`10%` or a size. Raises `UsageError`."""
    percent = _PERCENT.fullmatch(text.strip())
    return MinFree(int(percent[1]) / 100, 0) if percent else MinFree(0.0, parse_size(text))


def parse_rate(text: str) -> int:
    """Bytes a second, at least one. Raises `UsageError`."""
    rate = parse_size(text)
    if not rate:
        raise UsageError("a rate of no bytes a second never ends (expected at least 1)")
    return rate


def parse_mask(text: str) -> int:
    """Permission bits, in octal. Raises `UsageError`."""
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= _MOST_MODE:
        raise UsageError(f"{text!r} is not an octal mask such as 022")
    return value


@final
class Parsed(click.ParamType):  # type: ignore[type-arg] # generic since click 8.4 only
    """click's type for words that a function of ours reads: its `UsageError` becomes click's, which names the option."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's own
        """The value that `value` is the text of; one that was read already stays as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except UsageError as error:
            self.fail(error.what, param, ctx)


@final
class Kind(Struct, frozen=True, kw_only=True):
    """One way to write a value.

    `word` and `unit` are for documents, `type` reads text (None: a flag), `toml` is what a config file may have for it and
    `expected` says so. `write` makes text of a value. `is_place`: a path, which a config file may give relative to itself.
    `completes` is what a shell offers: "file", "dir", or "" for what `type` knows.
    """

    word: str
    type: Any = None  # what click takes: one of its types, or a function
    unit: str = ""
    metavar: str | None = None
    toml: tuple[type, ...] = (str,)
    expected: str = "text"
    write: Callable[[Any], str] = str
    is_plain: bool = True  # as JSON has it: else it is written out there too
    is_place: bool = False
    completes: str = ""

    def read(self, value: object, directory: Path) -> object:
        """What `value` of a config file in `directory` means, as an option takes it. Raises `ValueError` that says what is off."""
        if not isinstance(value, self.toml) or (isinstance(value, bool) and bool not in self.toml):
            raise ValueError(f"is {str(value)[:40]!a} (expected {self.expected})")
        if self.is_place:
            try:
                return str(directory / Path(str(value)).expanduser())
            except RuntimeError as error:  # nobody's home
                raise ValueError(f"is {str(value)[:40]!a}: {error}") from error
        if isinstance(self.type, Parsed):
            value = str(value)  # a number of bytes
        if isinstance(self.type, click.ParamType):
            try:
                self.type.convert(value, None, None)
            except click.BadParameter as error:
                raise ValueError(f"is off: {error.message}") from error
        return value


def choice(words: Sequence[str]) -> Kind:
    """One of `words`."""
    expected = " or ".join(f'"{word}"' for word in words)
    return Kind(word="choice", type=click.Choice(words), expected=expected)


def integer(least: int, most: int | None = None) -> Kind:
    """A whole number within bounds, both of which it may be."""
    bounds = f"a whole number from {least}" + ("" if most is None else f" to {most}")
    return Kind(word="integer", type=click.IntRange(least, most), toml=(int,), expected=bounds)


def seconds(least: float) -> Kind:
    """A number of seconds, with a point or without."""
    return Kind(
        word="number",
        type=click.FloatRange(min=least),
        unit="seconds",
        metavar="SECONDS",
        toml=(int, float),
        expected=f"a number of seconds, {least:g} or more",
        write=lambda value: f"{value:g}",
    )


def file(*, exists: bool = False) -> Kind:
    """The path of a file; `exists`: of one that is there when it is used."""
    return Kind(
        word="path",
        type=click.Path(path_type=Path, exists=exists, dir_okay=False),
        metavar="FILE",
        expected="the path of a file",
        is_plain=False,
        is_place=True,
        completes="file",
    )


def _written(value: int, units: Sequence[tuple[str, int]], smallest: str) -> str:
    """`value` in the largest unit that gives a whole number: text that would be read as the same value."""
    for name, size in units:
        if value and value % size == 0:
            return f"{value // size}{name}"
    return f"{value}{smallest}"


def _write_size(size_bytes: int) -> str:
    return _written(size_bytes, _SIZES, "")


def _write_min_free(value: MinFree) -> str:
    return _write_size(value.size_bytes) if value.size_bytes else f"{round(value.ratio * 100)}%"


FLAG: Final = Kind(word="boolean", toml=(bool,), expected="true or false", write=lambda value: "true" if value else "false")
TRUTH: Final = Kind(
    word="boolean",
    type=bool,
    toml=(bool,),
    metavar="true|false",
    expected="true or false",
    write=lambda value: "true" if value else "false",
)
COUNT: Final = Kind(word="count")
TEXT: Final = Kind(word="text", type=str)
TABLE: Final = Kind(word="table", toml=(dict,), expected="a table")
DIRECTORY: Final = Kind(
    word="path",
    type=Path,  # not click.Path: that asks the file system, and a stuck one never answers
    metavar="DIR",
    expected="the path of a directory",
    is_plain=False,
    is_place=True,
    completes="dir",
)
EXISTING_DIRECTORY: Final = Kind(
    word="path",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    expected="the path of a directory",
    is_plain=False,
    is_place=True,
    completes="dir",
)
SIZE: Final = Kind(
    word="size",
    type=Parsed("size", parse_size),
    unit="bytes",
    metavar="SIZE",
    toml=(str, int),
    expected='a size such as "200GiB", or a number of bytes',
    write=_write_size,
)
RATE: Final = Kind(
    word="size",
    type=Parsed("size", parse_rate),
    unit="bytes a second",
    metavar="SIZE",
    toml=(str, int),
    expected='a size such as "10MiB", or a number of bytes',
    write=_write_size,
)
MIN_FREE: Final = Kind(
    word="size or percent",
    type=Parsed("percent or size", parse_min_free),
    metavar="PERCENT|SIZE",
    toml=(str, int),
    expected='a share such as "10%", or a size such as "50GiB"',
    write=_write_min_free,
    is_plain=False,
)
DURATION: Final = Kind(
    word="duration",
    type=Parsed("duration", parse_duration),
    unit="seconds",
    metavar="DURATION",
    expected='a duration such as "90s" or "15min"',
    write=lambda value: _written(value, _DURATIONS, "s"),
)
MASK: Final = Kind(
    word="mask",
    type=Parsed("mask", parse_mask),
    unit="octal",
    metavar="MASK",
    expected='an octal mask as text, such as "022"',
    write=lambda value: f"{value:03o}",
    is_plain=False,
)
ADDRESS: Final = Kind(
    word="address",
    type=Parsed("address", parse_address),
    metavar="[HOST:]PORT",
    toml=(str, int),
    expected='a port, or an address such as "127.0.0.1:9095"',
)
