"""Signing and checking by command line, beside the real cosign. `scripts/cosign` installs it and runs this."""

import json
import os
from pathlib import Path

import pytest

from mkfs.proof.statement import CHUNK_INDEX_PREDICATE
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.cosign import PASSWORD, Cosign
from tests.support.docker_registry import DockerRegistry
from tests.support.mounting import Shell
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.registry, pytest.mark.given("COSIGN")]

INTEGRITY = 13


@pytest.fixture(scope="module")
def kit() -> Kit:
    return KitBuilder("llama", seed=4).model("model.bin", 5 * MIB).docs("README.md", b"#").build()


@pytest.fixture(scope="module")
def cosign(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    made = Cosign(os.environ["COSIGN"], tmp_path_factory.mktemp("cosign"))
    for kind in ("p256", "rsa"):
        made.make_key(kind)
    return made


@pytest.fixture(params=["Debian's registry", "a registry with the referrers API"])
def reference(
    request: pytest.FixtureRequest,
    docker: DockerRegistry,
    pusher: Pusher,
    registry: MemoryRegistry,
    server: RegistryServer,
    kit: Kit,
) -> str:
    repository = f"signed/{request.node.name.partition('[')[0]}"
    if request.param == "Debian's registry":
        pusher.push(repository, "7b", kit.manifest, kit.blobs)
        return f"{docker.host}/{repository}:7b"
    registry.referrers = ReferrersApi()
    registry.push(repository, "7b", kit.manifest, kit.blobs)
    return f"{server.host}/{repository}:7b"


def test_cosign_verifies_what_index_push_signed(cosign: Cosign, reference: str, shell: Shell) -> None:
    ran = shell.run("index", "push", reference, "--sign-key", cosign.directory / "p256.pem")
    assert ran.exit_code == 0, ran
    assert cosign.accepts_statement("p256", reference, CHUNK_INDEX_PREDICATE)
    assert not cosign.accepts_statement("rsa", reference, CHUNK_INDEX_PREDICATE)


def test_a_key_that_cosign_sealed_signs_here_as_well(cosign: Cosign, reference: str, shell: Shell) -> None:
    sealed = Shell(shell.home / "sealed", {"COSIGN_PASSWORD": PASSWORD})
    ran = sealed.run("index", "push", reference, "--sign-key", cosign.directory / "p256.key")
    assert ran.exit_code == 0, ran
    assert cosign.accepts_statement("p256", reference, CHUNK_INDEX_PREDICATE)


def test_verify_accepts_what_cosign_signed_and_nothing_else(cosign: Cosign, reference: str, shell: Shell) -> None:
    trusting = ("verify", reference, "--verify-signature", "--trust-key", cosign.directory / "p256.pub")
    assert shell.run(*trusting).exit_code == INTEGRITY
    cosign.sign("rsa", reference)
    assert shell.run(*trusting).exit_code == INTEGRITY
    cosign.sign("p256", reference)
    ran = shell.run(*trusting)
    assert ran.exit_code == 0, ran
    inspected = json.loads(shell.run("inspect", *trusting[1:], "--format", "json").stdout)
    assert len(inspected["signed_by"]) == 1


def test_verify_accepts_what_earlier_versions_of_cosign_signed(cosign: Cosign, reference: str, shell: Shell) -> None:
    cosign.sign_as_before("p256", reference)
    ran = shell.run("verify", reference, "--verify-signature", "--trust-key", cosign.directory / "p256.pub")
    assert ran.exit_code == 0, ran


def test_a_chunk_index_attested_by_cosign_itself_is_believed(
    cosign: Cosign, reference: str, kit: Kit, shell: Shell, tmp_path: Path
) -> None:
    """A pipeline that signs with cosign only: the index is pushed unsigned, its predicate attested."""
    pushed = json.loads(shell.run("index", "push", reference, "--format", "json").stdout)
    predicate = tmp_path / "predicate.json"
    index = {"mediaType": "application/vnd.mkfs.chunk-index.v1+msgpack", "digest": pushed["digest"], "size": pushed["size_bytes"]}
    layers = [{"digest": layer["digest"], "size": layer["stored_bytes"]} for layer in pushed["layers"]]
    predicate.write_text(json.dumps({"formatVersion": 1, "index": index, "layers": layers}))
    cosign.attest("p256", reference, predicate, CHUNK_INDEX_PREDICATE)
    elsewhere = ("--cache-dir", shell.home / "elsewhere", "--trust-key", cosign.directory / "p256.pub")
    inspected = json.loads(shell.run("inspect", reference, "--format", "json", *elsewhere).stdout)
    assert all(layer["proof"].startswith("signed by ") for layer in inspected["layers"])
