"""A registry client for a command that only asks: no cache, no engine."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from mkfs.registry.client import RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.settings import ClientSettings


@asynccontextmanager
async def asking(settings: ClientSettings) -> AsyncGenerator[RegistryClient, None]:
    """The client for the length of the block, with the logins that its settings name."""
    credentials = await trio.to_thread.run_sync(lambda: Credentials.load(*map(Path, settings.credential_files)))
    async with RegistryClient(settings, credentials) as client:
        yield client
