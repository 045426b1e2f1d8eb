"""Where a list goes on: the `Link` header (RFC 8288) as distribution-spec uses it for tags and referrers."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

_TARGET: Final = re.compile(r"[\s,]*<([^<>]*)>")
_PARAMETER: Final = re.compile(r'\s*;\s*([^\s;,="]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


def next_link(values: Iterable[str]) -> str:
    """The target with the relation `next` in the values of all `Link` headers, as sent: maybe relative. "" where there is none, or
    none that can be read.
    """
    return next((target for value in values for target, relations in _links(value) if "next" in relations), "")


def _links(value: str) -> Iterator[tuple[str, list[str]]]:
    """Each target with its relations, in lower case. Ends at the first character that makes no sense."""
    position = 0
    while target := _TARGET.match(value, position):
        position = target.end()
        relations: list[str] = []
        while parameter := _PARAMETER.match(value, position):
            name, quoted, plain = parameter.groups()
            if name.lower() == "rel":
                relations += (quoted or plain or "").lower().split()
            position = parameter.end()
        yield target[1].strip(), relations
