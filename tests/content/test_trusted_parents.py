"""The policy holds for what an artifact refers to, as for itself."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mkfs.content.artifact import open_artifact
from mkfs.content.describing import Terms, describe
from mkfs.content.indexing import index_of, prove_whole
from mkfs.errors import IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.media_types import OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.proof.bundle import encode_bundle
from mkfs.proof.keys import SigningKey
from mkfs.proof.policy import Policy, Rule, Trust
from mkfs.proof.referrers import bundle_referrer, index_referrer
from mkfs.proof.statement import IndexStatement
from mkfs.registry.client import ClientSettings, RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.transport import MemoryTransport
from tests.content.test_parents import CHILD, PARENT, registries
from tests.support.layers import engine_at
from tests.support.signing import key_pair

PAIR = key_pair()
KEY = PAIR.public
BY_TAG, BY_DIGEST = "registry.test/base/llama:7b", f"registry.test/base/llama@{PARENT.manifest_digest}"
NOT_SIGNED = "the artifact is not signed by a key that is trusted for it"


def client_of(hosts: dict[str, MemoryRegistry]) -> RegistryClient:
    return RegistryClient(ClientSettings(), Credentials.anonymous(), inner=MemoryTransport(hosts))


async def refusal(root: Path, path: str, policy: Policy) -> IntegrityError:
    client = client_of(registries(path))
    async with client, engine_at(root / "cache") as engine:
        with pytest.raises(IntegrityError) as caught:
            await describe(engine, client.repository(CHILD), CHILD, Terms(policy, elsewhere=client.repository))
    return caught.value


async def test_a_parent_that_must_be_signed_and_is_not_refuses_its_child(tmp_path: Path) -> None:
    policy = Policy((Rule(""), Rule("registry.test/base", (KEY,), verify_signature=True)))
    error = await refusal(tmp_path, BY_DIGEST, policy)
    assert (error.what, "base/llama" in error.where) == (NOT_SIGNED, True)


async def hang_index(root: Path, hosts: dict[str, MemoryRegistry], reference: Reference, key: SigningKey | None = None) -> None:
    """Hangs a chunk index on an artifact, as `mkfs index push` does."""
    client = client_of(hosts)
    async with client, engine_at(root / "publisher") as engine:
        repository = client.repository(reference)
        artifact = await open_artifact(engine, repository, reference, Terms(elsewhere=client.repository))
        for layer in artifact.own_layers:
            await prove_whole(layer)
        index = await index_of(engine, artifact)
        description, document = artifact.description, index.encode()
        subject = Descriptor(OCI_MANIFEST, description.digest, description.manifest_bytes)
        referrers = [index_referrer(subject, document)]
        if key is not None:
            bundle = encode_bundle(IndexStatement.about(index, document).sign(key), key.public.hint)
            referrers.append(bundle_referrer(subject, bundle, datetime.now(UTC)))
        for referrer in referrers:
            for blob, content in referrer.blobs:
                await repository.push_blob(blob, content)
            await repository.push_manifest(referrer.manifest, OCI_MANIFEST)
        artifact.close()


async def test_a_parent_by_tag_is_refused_where_the_child_must_be_vouched_for(tmp_path: Path) -> None:
    """The child is signed for; that says nothing about what the tag means tomorrow."""
    policy = Policy((Rule(""), Rule("registry.test/team", (PAIR.public,), require_index=True)))
    for path, refused in ((BY_DIGEST, False), (BY_TAG, True)):
        hosts = registries(path)
        await hang_index(tmp_path, hosts, CHILD, PAIR.signing)
        client = client_of(hosts)
        async with client, engine_at(tmp_path / "cache") as engine:
            uncovered = pytest.raises(IntegrityError, match="by a tag, which no digest and no signature covers")
            with uncovered if refused else nullcontext():
                await describe(engine, client.repository(CHILD), CHILD, Terms(policy, elsewhere=client.repository))


@pytest.mark.parametrize(("path", "expected"), [(BY_TAG, Trust.REGISTRY), (BY_DIGEST, Trust.LAYER)], ids=["by tag", "by digest"])
async def test_the_registrys_word_about_a_parent_counts_where_it_is_named_by_tag(
    tmp_path: Path, path: str, expected: Trust
) -> None:
    hosts = registries(path)
    hosts["registry.test"].referrers = ReferrersApi()
    await hang_index(tmp_path, hosts, Reference.parse(BY_TAG))
    client = client_of(hosts)
    async with client, engine_at(tmp_path / "cache") as engine:
        terms = Terms(Policy(trust_registry=True), elsewhere=client.repository)
        artifact = await open_artifact(engine, client.repository(CHILD), CHILD, terms)
        large = next(layer for layer in artifact.layers if layer.blob.digest == PARENT.layers[0].digest)
        assert large.trust is expected
        artifact.close()
