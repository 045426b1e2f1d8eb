"""JSON from strangers: bounded in size and depth, and with one meaning only.

Whatever two readers could understand differently is refused: a key that occurs twice in one object, NaN and infinities, text that
is not UTF-8 or holds half a surrogate pair. The depth is counted before the parser sees the text, so no document can exhaust its
stack.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, NoReturn

from mkfs.errors import BadDocument

_DIGITS_LIMIT: Final = 40  # of a whole number; 64 bits need 19, and int() takes quadratic time
_SHOWN: Final = 80  # characters of a value: with the rest of the message it still is a line
DEPTH_LIMIT: Final = 64  # objects and arrays inside each other; manifests and Kitfiles need about 6

# A string, or one bracket. Possessive: an unclosed string is taken to the end at once, never tried again from its middle.
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def decode_json(data: bytes, limit_bytes: int, what: str) -> dict[str, object]:
    """The object that `data` holds; `what` names the document in the error ("manifest").

    Values are dict, list, str, int, float, bool and None, as `json` makes them. Raises `BadDocument` for anything that is not one
    object within `limit_bytes` and `DEPTH_LIMIT`, or that readers could disagree about.
    """
    if len(data) > limit_bytes:
        raise BadDocument(f"{what}: too large (got {len(data)} bytes, expected at most {limit_bytes})")
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        document: object = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(document, ensure_ascii=False).encode("utf-8")  # only half a pair cannot be encoded
    except UnicodeDecodeError as error:
        raise BadDocument(f"{what}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except UnicodeEncodeError as error:
        raise BadDocument(f"{what}: not Unicode (half a surrogate pair)") from error
    except ValueError as error:  # JSONDecodeError is one, and so are those of this file
        raise BadDocument(f"{what}: not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise BadDocument(f"{what}: not a JSON object (got {type(document).__name__})")
    return document


def section(document: Mapping[str, object], name: str, what: str) -> Mapping[str, object]:
    """The object that the field `name` of `document` holds; empty where that is missing or null. `what` is the document's name.

    Raises `BadDocument` where it holds anything else.
    """
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadDocument(f"{what}: {name} is {shown(value)} (expected an object)")
    return value


def shown(value: object) -> str:
    """A stranger's JSON value for a message: short and printable; only the kind of what may be large."""
    return ascii(value)[:_SHOWN] if value is None or isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def _check_depth(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            if depth > DEPTH_LIMIT:
                raise ValueError(f"nested deeper than {DEPTH_LIMIT} levels")
        elif first in "]}":
            depth -= 1


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {twice[:80]!a} occurs twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number out of range: {text[:80]}")
    return value


def _whole(text: str) -> int:
    if len(text) > _DIGITS_LIMIT:
        raise ValueError(f"number of more than {_DIGITS_LIMIT} digits")
    return int(text)
