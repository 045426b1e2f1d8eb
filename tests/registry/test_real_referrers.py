"""Pushed to registries that are not ours, found there by us, and by others; and what others attached, found by us.

Debian's docker-registry and `crane registry serve` know no referrers (a list under the fallback tag), ggcr's registry with its
referrers API lists them itself, by the type of their configs, and does not say so to whoever pushes.
"""

import json
import os
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import OCI_IMAGE_CONFIG, OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.repository import Repository
from mkfs.testing.bodies import PIECE_BYTES, SeededBody, digest_of
from mkfs.units import MIB
from tests.support import docker_registry as debian
from tests.support.attached import EMPTY, EMPTY_BLOB, Attached
from tests.support.crane_registry import crane_serving, ggcr_serving

KIND: Final = "application/vnd.test.document"
LARGE: Final = SeededBody(seed=3, size_bytes=64 * MIB)

pytestmark = [pytest.mark.registry, pytest.mark.crane, pytest.mark.oras]


@pytest.fixture(scope="module", params=["docker-registry", "crane", "ggcr with referrers"])
def host(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    docker_registry: Path,
    crane: Path,
    ggcr_registry: Path,
) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("registry")
    with ExitStack() as stack:
        match request.param:
            case "docker-registry":
                yield stack.enter_context(debian.running(docker_registry, directory / "debian")).host
            case "crane":
                yield stack.enter_context(crane_serving(crane, directory))
            case _:
                yield stack.enter_context(ggcr_serving(ggcr_registry, directory))


@asynccontextmanager
async def opened(host: str, name: str) -> AsyncIterator[Repository]:
    async with RegistryClient(ClientSettings(), Credentials.anonymous()) as client:
        yield client.repository(Reference.parse(f"{host}/tests/{name}:1"))


async def push_model(repository: Repository) -> Descriptor:
    """Something to refer to."""
    await repository.push_blob(EMPTY_BLOB, EMPTY)
    config = {"mediaType": OCI_IMAGE_CONFIG, "digest": str(EMPTY_BLOB.digest), "size": len(EMPTY)}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config,
        "layers": [],
        "annotations": {"a": repository.name},
    }
    data = json.dumps(document).encode()
    return Descriptor(OCI_MANIFEST, await repository.push_manifest(data, OCI_MANIFEST, "1"), len(data))


def run(*command: object, **environment: str) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, **environment}).stdout


async def test_a_manifest_nobody_refers_to_has_no_referrers(host: str) -> None:
    async with opened(host, "none") as repository:
        subject = await push_model(repository)
        assert await repository.referrers(subject.digest) == ()


async def test_what_we_attach_is_found_by_us_and_by_oras(host: str, oras: Path) -> None:
    async with opened(host, "ours") as repository:
        subject = await push_model(repository)
        attached = [Attached(subject, bytes((number,)), KIND, {"number": str(number)}) for number in range(3)]
        attached.append(Attached(subject, b"another", "application/vnd.test.other"))
        for each in attached:
            await each.push(repository)
            await each.push(repository)
        found = await repository.referrers(subject.digest, KIND)
        assert {*found} == {each.descriptor for each in attached[:3]}
        assert sorted(each.annotations["number"] for each in found) == ["0", "1", "2"]
        for each in found:
            manifest = await repository.resolve(Reference(host, repository.name, None, each.digest))
            layer = next(one.layer for one in attached if one.descriptor.digest == each.digest)
            assert str(layer.digest) in manifest.data.decode()
            assert (await repository.read_blob(layer)).digest == layer.digest
        shown = json.loads(run(oras, "discover", "--plain-http", "--format", "json", f"{host}/{repository.name}:1"))
        assert {each["digest"] for each in shown["referrers"]} == {str(each.descriptor.digest) for each in attached}


async def test_what_oras_attached_is_found(host: str, oras: Path, tmp_path: Path) -> None:
    async with opened(host, "theirs") as repository:
        subject = await push_model(repository)
        await Attached(subject).push(repository)
        document = tmp_path / "document.txt"
        document.write_text("a document of oras")
        name = f"{host}/{repository.name}:1"
        kind = ("--artifact-type", KIND, "--annotation", "by=oras")
        run(oras, "attach", "--plain-http", "--disable-path-validation", *kind, name, f"{document}:text/plain")
        (found,) = (each for each in await repository.referrers(subject.digest, KIND) if "by" in each.annotations)
        assert found.annotations["by"] == "oras"
        manifest = decode_manifest((await repository.resolve(Reference(host, repository.name, None, found.digest))).data)
        assert isinstance(manifest, Manifest)
        assert manifest.subject is not None
        assert manifest.subject.digest == subject.digest
        assert (await repository.read_blob(manifest.layers[0])).data == document.read_bytes()
        assert len(await repository.referrers(subject.digest)) == 2


async def test_a_document_of_64_mib_goes_up_and_comes_down(host: str, crane: Path, tmp_path: Path) -> None:
    path = tmp_path / "document"
    with path.open("wb") as file:
        for piece in ByteRange(0, LARGE.size_bytes).pieces(PIECE_BYTES):
            file.write(LARGE.read(piece))
    blob = Descriptor("application/octet-stream", digest_of(LARGE), LARGE.size_bytes)
    async with opened(host, "large") as repository:
        with path.open("rb") as file:
            tracemalloc.start()
            try:
                await repository.push_blob(blob, file)
                _, most_bytes = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            await repository.push_blob(blob, file)
        assert most_bytes < 8 * MIB
        assert (await repository.read_blob(blob, LARGE.size_bytes)).digest == blob.digest
    assert (
        f"sha256:{run('sh', '-c', 'exec $0 blob --insecure $1 | sha256sum', crane, f'{host}/tests/large@{blob.digest}')[:64]}"
        == str(blob.digest)
    )
