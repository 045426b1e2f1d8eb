"""Whose password to show: what docker's `config.json`, podman's `auth.json` and others of that form say, in a given order.

They are read at the start, and again when a registry refuses what they say: so a rotated password, or a login that comes late,
takes effect without a new mount. A file that is missing or unreadable, or a helper that fails, means no credentials, not an error:
most registries let anybody pull. What was found, and where, is kept for the message when a registry does refuse.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self, final

import trio

from mkfs.errors import BadDocument
from mkfs.registry.docker_config import CONFIG_LIMIT_BYTES, Credential, DockerConfig, server_of
from mkfs.registry.helpers import HelperFailed, ask_helper

_log: Final = logging.getLogger(__name__)

_MISSING: Final = "does not exist"


@final
@dataclass(slots=True, eq=False)
class _File:
    """One of them: its content, what is wrong with it ("" for nothing), what its helpers said and how they failed, by registry."""

    path: Path
    config: DockerConfig
    trouble: str
    kept: dict[str, Credential | None] = field(default_factory=dict, repr=False)
    failed: dict[str, str] = field(default_factory=dict)

    def describe(self, registry: str, repository: str) -> str:
        """What it has for `repository`, for a message; "" where it has nothing."""
        helper = self.config.helper(registry)
        if helper:
            failed = self.failed.get(registry)
            return f"{self.path} leaves {registry} to the helper {helper[:80]!a}{f', which {failed}' if failed else ''}"
        return f"{self.path} has an entry for {registry}" if self.config.credential(registry, repository) else ""


@final
class Credentials:
    """The credentials of some files. `load` makes one; `anonymous` has none at all.

    The first file that has something for a repository, or for what is above it, decides. Atomic between checkpoints: each file's
    content and what is said to be wrong with it. Helpers are asked one at a time, and once.
    """

    def __init__(self, files: Sequence[_File]) -> None:
        self._files = files
        self._lock = trio.Lock()

    @classmethod
    def load(cls, *paths: Path) -> Self:
        """Reads the files now, blocking. Warns, but does not raise, about one that is there and cannot be used."""
        files = [_File(path, *_read(path)) for path in paths]
        for file in files:
            if file.trouble not in ("", _MISSING):
                _log.warning("%s %s: going on without its credentials", file.path, file.trouble)
        return cls(files)

    @classmethod
    def anonymous(cls) -> Self:
        """No credentials, from nowhere."""
        return cls(())

    async def lookup(self, registry: str, repository: str) -> Credential | None:
        """What may be shown to `registry` (`host[:port]` of a reference) for `repository`."""
        async with self._lock:
            return await self._lookup(registry, repository)

    async def lookup_again(self, registry: str, repository: str, refused: Credential | None) -> Credential | None:
        """The same now that the registry refused `refused`: files and helpers are asked again, unless somebody did so meanwhile."""
        async with self._lock:
            found = await self._lookup(registry, repository)
            if found != refused:
                return found
            for file in self._files:
                config, trouble = await trio.to_thread.run_sync(_read, file.path)
                if not trouble:  # a file that cannot be read just now changes nothing
                    file.config, file.trouble = config, trouble
                file.kept.pop(registry, None)
            return await self._lookup(registry, repository)

    def describe(self, registry: str, repository: str) -> str:
        """Where credentials for `repository` were looked for and what was found, for a message. No secret and no user name."""
        if not self._files:
            return "no credentials file given"
        said = [words for file in self._files if (words := file.describe(registry, repository))]
        if not said:
            read = [str(file.path) for file in self._files if not file.trouble]
            missing = [str(file.path) for file in self._files if file.trouble == _MISSING]
            said += [f"no entry for {registry} in {', '.join(read)}"] if read else []
            said += [f"{file.path} {file.trouble}" for file in self._files if file.trouble not in ("", _MISSING)]
            said += [f"{', '.join(missing)} {'do' if missing[1:] else 'does'} not exist"] if missing else []
        return "; ".join(said)

    async def _lookup(self, registry: str, repository: str) -> Credential | None:
        for file in self._files:
            found = await self._from_helper(file, registry) or file.config.credential(registry, repository)
            if found is not None:
                return found
        return None

    async def _from_helper(self, file: _File, registry: str) -> Credential | None:
        helper = file.config.helper(registry)
        if not helper:
            return None
        if registry not in file.kept:
            file.failed.pop(registry, None)
            kept = None
            try:
                kept = await ask_helper(helper, server_of(registry))
            except HelperFailed as error:
                _log.warning("docker-credential-%s %s: going on without it", ascii(helper[:80])[1:-1], error)
                file.failed[registry] = str(error)
            file.kept[registry] = kept
        return file.kept[registry]

    def __repr__(self) -> str:
        return f"<Credentials from {', '.join(str(file.path) for file in self._files)}>"


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
