"""A registry client, or a layout, for a command that only asks: no cache, no engine."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from mkfs.oci.reference import Reference
from mkfs.registry.client import RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.layout import AnyRepository, Layout
from mkfs.registry.settings import ClientSettings


@asynccontextmanager
async def asking(settings: ClientSettings) -> AsyncGenerator[RegistryClient, None]:
    """The client for the length of the block, with the logins that its settings name."""
    credentials = await trio.to_thread.run_sync(lambda: Credentials.load(*map(Path, settings.credential_files)))
    async with RegistryClient(settings, credentials) as client:
        yield client


@asynccontextmanager
async def asked(settings: ClientSettings, reference: Reference) -> AsyncGenerator[AnyRepository, None]:
    """What `reference` is a name in, for the length of the block. For a layout no login is looked at."""
    if reference.is_layout:
        yield Layout(Path(reference.repository))
        return
    async with asking(settings) as registries:
        yield registries.repository(reference)
