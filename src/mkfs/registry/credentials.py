"""Whose password to show: docker's `config.json`, read once at the start and again when a registry refuses what it says.

So a rotated password, or a login that comes late, takes effect without a new mount. A file that is missing or unreadable, or a
helper that fails, means no credentials, not an error: most registries let anybody pull. What was found, and where, is kept for
the message when a registry does refuse.
"""

import logging
from pathlib import Path
from typing import Final, Self, final

import trio

from mkfs.errors import BadDocument
from mkfs.registry.docker_config import CONFIG_LIMIT_BYTES, Credential, DockerConfig, server_of
from mkfs.registry.helpers import HelperFailed, ask_helper

_log: Final = logging.getLogger(__name__)

_MISSING: Final = "does not exist"


@final
class Credentials:
    """The credentials of one file. `load` makes one; `anonymous` has none at all.

    Atomic between checkpoints: the file's content and what is said to be wrong with it. Helpers are asked one at a time, and once.
    """

    def __init__(self, path: Path | None, config: DockerConfig, trouble: str = "") -> None:
        self._path, self._config, self._trouble = path, config, trouble
        self._kept: dict[str, Credential | None] = {}  # what helpers said, by registry
        self._failed: dict[str, str] = {}  # how helpers failed, by registry
        self._lock = trio.Lock()

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """Reads `path` now, blocking; None means none. Warns, but does not raise, about a file that is there and cannot be used."""
        if path is None:
            return cls.anonymous()
        config, trouble = _read(path)
        if trouble not in ("", _MISSING):
            _log.warning("%s %s: going on without credentials", path, trouble)
        return cls(path, config, trouble)

    @classmethod
    def anonymous(cls) -> Self:
        """No credentials, from nowhere."""
        return cls(None, DockerConfig())

    async def lookup(self, registry: str) -> Credential | None:
        """What may be shown to `registry` (`host[:port]` of a reference)."""
        async with self._lock:
            return await self._lookup(registry)

    async def lookup_again(self, registry: str, refused: Credential | None) -> Credential | None:
        """The same now that the registry refused `refused`: file and helper are asked again, unless somebody did that meanwhile."""
        async with self._lock:
            found = await self._lookup(registry)
            if found != refused or self._path is None:
                return found
            config, trouble = await trio.to_thread.run_sync(_read, self._path)
            if not trouble:  # a file that cannot be read just now changes nothing
                self._config, self._trouble = config, ""
            self._kept.pop(registry, None)
            return await self._lookup(registry)

    def describe(self, registry: str) -> str:
        """Where credentials for `registry` were looked for and what was found, for a message. No secret and no user name."""
        if self._path is None:
            return "no credentials file given"
        if self._trouble:
            return f"{self._path} {self._trouble}"
        helper = self._config.helper(registry)
        if helper:
            failed = self._failed.get(registry)
            return f"{self._path} leaves {registry} to the helper {helper[:80]!a}{f', which {failed}' if failed else ''}"
        found = "has an entry" if self._config.credential(registry) else "has no entry"
        return f"{self._path} {found} for {registry}"

    async def _lookup(self, registry: str) -> Credential | None:
        helper = self._config.helper(registry)
        if not helper:
            return self._config.credential(registry)
        if registry not in self._kept:
            self._failed.pop(registry, None)
            try:
                kept = await ask_helper(helper, server_of(registry))
            except HelperFailed as error:
                _log.warning("docker-credential-%s %s: going on without it", ascii(helper[:80])[1:-1], error)
                kept, self._failed[registry] = None, str(error)
            self._kept[registry] = kept or self._config.credential(registry)
        return self._kept[registry]

    def __repr__(self) -> str:
        return f"<Credentials from {self._path}>"


def _read(path: Path) -> tuple[DockerConfig, str]:
    """What the file says, and what is wrong with it ("" for nothing)."""
    try:
        with path.open("rb") as file:
            return DockerConfig.parse(file.read(CONFIG_LIMIT_BYTES + 1)), ""
    except FileNotFoundError:
        return DockerConfig(), _MISSING
    except OSError as error:
        return DockerConfig(), f"cannot be read ({(error.strerror or type(error).__name__).lower()})"
    except BadDocument:
        return DockerConfig(), "is not JSON that makes sense"
