"""Challenges: what a 401 asks for in `WWW-Authenticate` (RFC 9110, 11.6.1).

Registries send several in one line or in several lines, values with commas in quotes, values that should be quoted and are not, and
white space where none belongs; all of that is read. From the first character that makes no sense on, the rest of a line is dropped:
a challenge is a request to be asked again, and half of one is only a worse question.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SEPARATORS: Final = re.compile(r"[ \t,]*")
_SCHEME: Final = re.compile(rf"{_WORD}(?=[ \t,]|$)")
_TOKEN68: Final = re.compile(r"[ \t]+([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$)")
# Unquoted values may hold more than a token may: realms without quotes exist, and a URL is no token.
_PARAMETER: Final = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",=][^\s",]*))')
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


@final
@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in. `scheme` and the names in `parameters` are lower case; `token68` is what some schemes carry in their place."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)
    token68: str = ""


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges in the values of all `WWW-Authenticate` headers, in order. Never raises; () where nothing can be read.

    Of a parameter that occurs twice in one challenge the first counts.
    """
    return tuple(challenge for value in values for challenge in _line(value))


def _line(text: str) -> Iterator[Challenge]:
    position = _after_separators(text, 0)
    while scheme := _SCHEME.match(text, position):
        parameters: dict[str, str] = {}
        if token68 := _TOKEN68.match(text, scheme.end()):
            position = _after_separators(text, token68.end())
        else:
            position = _after_separators(text, scheme.end())
            while parameter := _PARAMETER.match(text, position):
                name, quoted, plain = parameter.groups()
                parameters.setdefault(name.lower(), plain if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted))
                position = _after_separators(text, parameter.end())
        yield Challenge(scheme[0].lower(), parameters, token68[1] if token68 else "")


def _after_separators(text: str, position: int) -> int:
    match = _SEPARATORS.match(text, position)
    return match.end() if match else position
