"""A registry with one model, a storage host beside it, and clients that reach both without a network."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from tests.support.little_model import BLOB, BODY, MANIFEST


@pytest.fixture
def registry() -> MemoryRegistry:
    registry = MemoryRegistry()
    registry.push("team/model", "7b", MANIFEST, {BLOB: BODY})
    return registry


@pytest.fixture
def storage() -> MemoryRegistry:
    """Where blobs are kept, on a host of its own."""
    storage = MemoryRegistry()
    storage.push("any", None, MANIFEST, {BLOB: BODY})
    return storage


@pytest.fixture
def blob() -> Descriptor:
    return Descriptor("application/octet-stream", BLOB, BODY.size_bytes)


@pytest.fixture
def reference() -> Reference:
    return Reference.parse("registry.test/team/model:7b")


@pytest.fixture
def client(registry: MemoryRegistry, storage: MemoryRegistry) -> Callable[..., RegistryClient]:
    """Makes a client: `client(credentials, plain_http=…)`."""

    def make(credentials: Credentials | None = None, *, plain_http: bool | None = None) -> RegistryClient:
        hosts = {
            "registry.test": registry,
            "localhost:5000": registry,
            "storage.test": storage,
            "registry.test:8080": storage,
            "auth.test": registry,
            "169.254.169.254": storage,
        }
        settings = ClientSettings(plain_http=plain_http)
        return RegistryClient(settings, credentials or Credentials.anonymous(), inner=MemoryTransport(hosts))

    return make


@pytest.fixture
def repository(client: Callable[..., RegistryClient], reference: Reference) -> Repository:
    """`registry.test/team/model`, read by nobody in particular."""
    return client().repository(reference)


@pytest.fixture
def docker_config(tmp_path: Path) -> Callable[..., Path]:
    """Writes docker's config.json: `docker_config("registry.test", "user:password")`, or with the fields of the entry."""

    def write(host: str = "registry.test", pair: str = "", **fields: str) -> Path:
        path = tmp_path / "config.json"
        entry = {"auth": base64.b64encode(pair.encode()).decode(), **fields} if pair else fields
        path.write_text(json.dumps({"auths": {host: entry}}))
        return path

    return write
