"""The config file: TOML, read once. Part 1 knows one table; unknown keys are errors, so that a misspelt one is not silently
nothing.

    [alias]
    registry = "localhost:5000"     # `registry/llama:7b` now means `localhost:5000/llama:7b`

Searched: `--config`, else `MKFS_CONFIG`, else the user's file, else the system's; the first that exists is the only one read.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from mkfs.errors import UsageError


@final
@dataclass(frozen=True, slots=True)
class Config:
    """What a config file says. `alias` maps the first component of a reference to a registry, with or without a path."""

    alias: Mapping[str, str] = field(default_factory=dict, hash=False)
    path: Path | None = None  # where it was read from; None: no file


def load_config(explicit: Path | None, searched: tuple[Path, ...]) -> Config:
    """Reads `explicit`, which must exist, or the first of `searched` that does. Raises `UsageError` naming file and key."""
    path = explicit or next((each for each in searched if each.is_file()), None)
    if path is None:
        return Config()
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"config file cannot be read: {error.strerror}", str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"config file is not TOML: {error}", str(path)) from error
    alias = document.pop("alias", {})
    if document:
        raise UsageError(f"unknown key {next(iter(document))!r} (expected alias)", str(path))
    if not isinstance(alias, dict) or not all(isinstance(value, str) and value for value in alias.values()):
        raise UsageError('[alias] must map names to registries, e.g. registry = "localhost:5000"', str(path))
    return Config(alias, path)
