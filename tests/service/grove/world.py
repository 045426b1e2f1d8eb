"""A made-up machine and registry, for tests of what a repository shows.

Time is `trio.testing.MockClock`: it stands still but where a test moves it, or lets waits pass (`autojump_threshold`).
"""

import errno
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from trio.testing import MockClock

from mkfs.content.describing import Terms
from mkfs.errors import FileSystemError
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.policy import Policy
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.service.grove import RepositoryGrove
from mkfs.service.opening import Means
from mkfs.testing.kits import Kit
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from mkfs.vfs.forest import Forest
from tests.support.layers import engine_at

NAME = "team/llama"
REPOSITORY = Reference("registry.test", NAME)
TTL = 60.0
WAIT = 300.0


@dataclass
class World:
    """A machine with a cache, and a network with one registry."""

    root: Path
    clock: MockClock
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    def __post_init__(self) -> None:
        self.hosts = {"registry.test": self.registry}

    @asynccontextmanager
    async def grove(
        self, *, ttl: float = TTL, policy: Policy | None = None, offline: bool = False
    ) -> AsyncGenerator[RepositoryGrove, None]:
        client = RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(self.hosts))
        async with client, engine_at(self.root / "cache") as engine:
            terms = Terms(policy or Policy(), elsewhere=client.repository)
            self.means = Means(REPOSITORY, None if offline else client.repository(REPOSITORY), engine, terms, client)
            self.forest = Forest()
            self.numbers: dict[Digest, int] = {}
            grove = RepositoryGrove(self.means, self.forest, ttl, WAIT)
            try:
                yield grove
            finally:
                grove.close()

    async def enter(self, grove: RepositoryGrove, digest: Digest) -> None:
        """What the file system does when somebody goes inside."""
        number = self.numbers.setdefault(digest, self.forest.reserve(3))
        await grove.plant(digest, number)
        assert self.forest.is_planted(number)

    def asked(self) -> list[tuple[str, str]]:
        """Methods and what for, since the last call."""
        asked = [(served.method, served.path.removeprefix(f"/v2/{NAME}/")) for served in self.registry.log]
        self.registry.log.clear()
        return asked

    def push(self, tag: str | None, kit: Kit) -> Digest:
        return self.registry.push(NAME, tag, kit.manifest, kit.blobs)

    def delete(self, tag: str) -> None:
        del self.registry.repositories[NAME].tags[tag]


async def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(FileSystemError) as caught:
        await call(*arguments)
    return errno.errorcode[caught.value.errno]
