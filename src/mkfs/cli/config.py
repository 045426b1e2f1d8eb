"""The config file: TOML, read once. Unknown keys are errors, so that a misspelt one is not silently nothing.

    default_registry = "ghcr.io"    # `team/llama:7b` now means `ghcr.io/team/llama:7b`

    [alias]
    registry = "localhost:5000"     # `registry/llama:7b` now means `localhost:5000/llama:7b`

    [trust]                         # whom to believe: see `proof.trust_settings`; key files are relative to the config file

Searched: `--config`, else `MKFS_CONFIG`, else the user's file, else the system's; the first that exists is the only one read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from mkfs.cli.trust import read_key_file
from mkfs.errors import UsageError
from mkfs.oci.reference import UNSAID
from mkfs.proof.trust_settings import TrustSettings, read_trust


@final
@dataclass(frozen=True, slots=True)
class Config:
    """What a config file says. `alias` maps the first component of a reference to a registry, with or without a path; the default
    registry stands there under `UNSAID`.
    """

    alias: Mapping[str, str] = field(default_factory=dict, hash=False)
    trust: TrustSettings = field(default_factory=TrustSettings)
    path: Path | None = None  # where it was read from; None: no file


def load_config(explicit: Path | None, searched: tuple[Path, ...]) -> Config:
    """Reads `explicit`, which must exist, or the first of `searched` that does. Raises `UsageError` naming file and key."""
    path = explicit or next((each for each in searched if each.is_file()), None)
    if path is None:
        return Config()
    import tomllib

    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"config file cannot be read: {error.strerror}", str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"config file is not TOML: {error}", str(path)) from error
    alias, trust, default = document.pop("alias", {}), document.pop("trust", {}), document.pop("default_registry", None)
    if document:
        raise UsageError(f"unknown key {next(iter(document))!r} (expected default_registry, alias or trust)", str(path))
    if not isinstance(alias, dict) or not all(isinstance(value, str) and value for value in alias.values()):
        raise UsageError('[alias] must map names to registries, e.g. registry = "localhost:5000"', str(path))
    if default is not None and (not isinstance(default, str) or not default):
        raise UsageError('default_registry must name a registry, e.g. "localhost:5000"', str(path))
    alias = {name: value for name, value in alias.items() if name != UNSAID} | ({} if default is None else {UNSAID: default})
    if not isinstance(trust, dict):
        raise UsageError("[trust] must be a table", str(path))
    return Config(alias, read_trust(trust, lambda name: read_key_file(path.parent / Path(name).expanduser()), str(path)), path)
