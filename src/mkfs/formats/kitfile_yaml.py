"""YAML as Go's yaml.v3 writes it, so that our Kitfile is kit's byte for byte wherever PyYAML can be told to.

Both emitters descend from libyaml. What differs is said here: sequences are indented, strings that a reader could take for
something else are double-quoted, text of several lines is a literal block, numbers are Go's float64. Whatever the patterns below
miss, PyYAML still quotes: the text may then differ from kit's, its meaning does not. Import this module where the text is wanted:
PyYAML costs 20 ms.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import yaml  # noqa: TID253 - this module is itself imported late

_NO_LIMIT: Final = math.inf  # characters per line: Go does not fold
_PLAIN_EXPONENTS: Final = range(-4, 6)  # of ten: numbers outside are written 1e+06 (strconv.FormatFloat, 'g', shortest)

_STRING: Final = "tag:yaml.org,2002:str"
_INTEGER: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_SEQUENCE: Final = "tag:yaml.org,2002:seq"

_WORDS: Final = "|".join(
    f"{word}|{word.title()}|{word.upper()}" for word in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
)
# What is no string to one of the readers of YAML 1.1 and 1.2: words, numbers (of base 2, 8, 10, 16, 60), dates.
_AMBIGUOUS: Final = re.compile(
    rf"""(?: {_WORDS} | ~ | \.nan | \.NaN | \.NAN | [-+]?\.(?:inf|Inf|INF)
    | [-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?
    | [-+]?0(?:[bB][01_]+|[oO]?[0-7_]+|[xX][0-9a-fA-F_]+)
    | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?
    | [0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}(?:(?:[Tt]|[ \t]+)[0-9]{{1,2}}:[0-9:.]+[ \t]*(?:Z|[-+][0-9:]+)?)?
    )?""",
    re.VERBOSE,
)
# Go escapes what is beyond the basic plane; PyYAML's single quotes would lose the rarer line breaks.
_ESCAPED: Final = re.compile("[\x85\u2028\u2029\U00010000-\U0010ffff]")


def dump(document: Mapping[str, object]) -> bytes:
    """`document` as block style YAML in UTF-8. Values are dict, list, tuple (a sequence on one line), str, numbers, bool, None."""
    text: str = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_NO_LIMIT, default_flow_style=False)
    return text.encode("utf-8")


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _AMBIGUOUS.fullmatch(value) else None
    if _ESCAPED.search(value):
        style = '"'
    elif "\n" in value:
        style = "|"
    return dumper.represent_scalar(_STRING, value, style)


def _number(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    text = _as_go_writes(value)
    tag = _FLOAT if "." in text else _STRING if "e" in text else _INTEGER  # what PyYAML takes it for, else it writes the tag out
    return dumper.represent_scalar(tag, text)


def _as_go_writes(value: float) -> str:
    """The shortest digits that are the same float64; JSON numbers are nothing else to Go, so large integers lose their end."""
    try:
        exact = Decimal(repr(float(value))).normalize()
    except OverflowError:  # no kit could have written it; shown as it is
        return str(value)
    if exact.adjusted() in _PLAIN_EXPONENTS or not exact:
        return f"{exact:f}"
    return f"{value:.{len(exact.as_tuple().digits) - 1}e}"


def _line(dumper: yaml.SafeDumper, value: tuple[str, ...]) -> yaml.SequenceNode:
    return dumper.represent_sequence(_SEQUENCE, value, flow_style=True)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(int, _number)
_Dumper.add_representer(float, _number)
_Dumper.add_representer(tuple, _line)
