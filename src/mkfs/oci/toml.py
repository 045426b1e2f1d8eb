"""TOML from this machine's files: whatever is wrong with one, it is said in the same way."""

import tomllib
from typing import Any

from mkfs.errors import UsageError


def decode_toml(data: bytes, where: str = "") -> dict[str, Any]:
    """The table that `data` holds, which came from `where`. Raises `UsageError`."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise UsageError("not TOML: nested too deeply", where) from None
    except ValueError as error:  # not UTF-8, not TOML, or a whole number of more digits than Python takes
        raise UsageError(f"not TOML: {error}", where) from error
