"""The config file: TOML, read once. Unknown keys are errors, so that a misspelt one is not silently nothing.

    default_registry = "ghcr.io"    # `team/llama:7b` now means `ghcr.io/team/llama:7b`

    [alias]
    registry = "localhost:5000"     # `registry/llama:7b` now means `localhost:5000/llama:7b`

    [trust]                         # whom to believe: see `proof.trust_settings`; key files are relative to the config file

    [cache]                         # and [mount], [registry] …: what the table of settings has a key for (`cli.settings`)
    size = "200GiB"

Searched: `--config`, else `MKFS_CONFIG`, else the user's file, else the system's; the first that exists is the only one read.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, final

from msgspec import Struct

from mkfs.cli import places
from mkfs.cli.settings.setting import Setting
from mkfs.cli.settings.table import BY_KEY
from mkfs.cli.trust import read_key_file
from mkfs.errors import UsageError
from mkfs.oci.reference import UNSAID
from mkfs.proof.trust_settings import TrustSettings, read_trust

_NAMES_ARE_FREE: Final = "alias"  # the one table below which any name may stand


@final
class Config(Struct, frozen=True):
    """What a config file says. `alias` maps the first component of a reference to a registry, with or without a path; the default
    registry stands there under `UNSAID`. `defaults` has what holds for options that are not given, by their names in the table of
    settings; `said` everything as it was written, by key.
    """

    alias: Mapping[str, str] = {}
    trust: TrustSettings = TrustSettings()
    path: Path | None = None  # where it was read from; None: no file
    defaults: dict[str, Any] = {}
    said: Mapping[str, Any] = {}


def find_config(explicit: Path | None, searched: tuple[Path, ...]) -> Path | None:
    """The file that is read: `explicit`, whether it exists or not, or the first of `searched` that does. Raises `UsageError` where
    nobody lets us look.
    """
    return explicit or next((each for each in searched if places.is_file(each)), None)


def load_config(explicit: Path | None, searched: tuple[Path, ...]) -> Config:
    """Reads `explicit`, which must exist, or the first of `searched` that does. Raises `UsageError` naming file and key."""
    path = find_config(explicit, searched)
    if path is None:
        return Config()
    from mkfs.oci.toml import decode_toml

    try:
        document = decode_toml(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"config file cannot be read: {error.strerror}", str(path)) from error
    said = dict(_keys(document, path))
    defaults = {
        setting.name: _default(setting, value, path) for key, value in said.items() if not (setting := BY_KEY[key]).is_read_apart
    }
    trust = read_trust(document.get("trust", {}), lambda name: read_key_file(path.parent / Path(name).expanduser()), str(path))
    return Config(_aliases(said, path), trust, path, defaults, said)


def _keys(document: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    """All keys of the file, `size` below `[cache]` as "cache.size", with their values. Raises `UsageError` for an unknown one."""
    sections = {key.partition(".")[0] for key in BY_KEY if "." in key}
    for name, value in document.items():
        if isinstance(value, dict) and name != _NAMES_ARE_FREE:
            if name in sections or value:
                yield from ((_known(f"{name}.{inner}", path), each) for inner, each in value.items())
            else:
                _known(name, path)
        elif name in sections:
            raise UsageError(f"[{name}] must be a table", str(path))
        else:
            yield _known(name, path), value


def _known(key: str, path: Path) -> str:
    if key not in BY_KEY:
        from difflib import get_close_matches

        near = get_close_matches(key, BY_KEY, 1)
        hint = f"did you mean {near[0]}?" if near else "kitfs config show lists all keys"
        raise UsageError(f"unknown key {key[:80]!a}", str(path), hint)
    return key


def _default(setting: Setting, value: object, path: Path) -> object:
    """What `value` of the file means to the option of `setting`. Raises `UsageError`."""
    if setting.is_repeatable and not isinstance(value, list):
        raise UsageError(f"{setting.key} is {str(value)[:40]!a} (expected a list, each {setting.kind.expected})", str(path))
    try:
        several = value if isinstance(value, list) and setting.is_repeatable else [value]
        read = [setting.kind.read(each, path.parent) for each in several]
        return read if setting.is_repeatable else read[0]
    except ValueError as error:
        raise UsageError(f"{setting.key} {error}", str(path)) from error


def _aliases(said: Mapping[str, Any], path: Path) -> dict[str, str]:
    alias, default = said.get("alias", {}), said.get("default_registry")
    if not isinstance(alias, dict) or not all(isinstance(value, str) and value for value in alias.values()):
        raise UsageError('[alias] must map names to registries, e.g. registry = "localhost:5000"', str(path))
    if default is not None and (not isinstance(default, str) or not default):
        raise UsageError('default_registry must name a registry, e.g. "localhost:5000"', str(path))
    return {name: value for name, value in alias.items() if name != UNSAID} | ({} if default is None else {UNSAID: default})
