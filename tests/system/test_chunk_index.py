"""A chunk index beside an artifact: what it saves, who believes it, and that stripping or swapping it weakens nothing."""

import json
import subprocess
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.oci.referrers import fallback_tag
from mkfs.testing.faults import Fault, Flip, Match
from mkfs.testing.kits import Directory, Kit, KitBuilder, Layer, expected_tree
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Shell

INTEGRITY = 13
NAME = "weights/b.safetensors"


@pytest.fixture(scope="module")
def kit() -> Kit:
    weights = Directory({"a.safetensors": 24 * MIB, "b.safetensors": 20 * MIB})
    return KitBuilder("llama", seed=4).model("weights", weights).part("raw.bin", 4 * MIB, raw=True).docs("README.md", b"#").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key, with its public half beside it."""
    private = tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private],
        check=True,
        capture_output=True,
    )
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", private.with_suffix(".pub")], check=True)
    return private


def weights(kit: Kit) -> Layer:
    return kit.layers[0]


def pushed(shell: Shell, reference: str, *options: str | Path) -> dict[str, object]:
    """Pushes an index from a machine of its own: what it proved is not in the cache of who mounts."""
    ran = shell.run("index", "push", reference, "--format", "json", "--cache-dir", shell.home / "publisher", *options)
    assert ran.exit_code == 0, ran
    document: dict[str, object] = json.loads(ran.stdout)
    return document


def last_kibibyte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1024, 2)
        return file.read(1024)


def proofs(shell: Shell, reference: str, *options: str | Path) -> list[str]:
    ran = shell.run("inspect", reference, "--format", "json", *options)
    assert ran.exit_code == 0, ran
    return [layer["proof"] for layer in json.loads(ran.stdout)["layers"]]


@pytest.mark.fuse
@pytest.mark.parametrize("listing", [None, ReferrersApi()], ids=["fallback tag", "referrers API"])
def test_with_a_signed_index_the_first_byte_costs_one_chunk(
    registry: MemoryRegistry, reference: str, kit: Kit, key: Path, shell: Shell, listing: ReferrersApi | None
) -> None:
    registry.referrers = listing
    pushed(shell, reference, "--sign-key", key)
    registry.log.clear()
    with shell.mounted(reference, "--trust-key", str(key.with_suffix(".pub"))) as mount:
        assert registry.bytes_sent(weights(kit).digest) == 0
        got = last_kibibyte(mount.place / NAME)
        assert registry.bytes_sent(weights(kit).digest) == MIB
        whole = (mount.place / NAME).read_bytes()
        assert (len(whole), whole[-1024:]) == (20 * MIB, got)
        assert Digest.of(whole).hex == next(entry.sha256 for entry in expected_tree(kit) if entry.path == NAME.encode())


@pytest.mark.fuse
def test_without_trust_the_same_index_changes_nothing(
    registry: MemoryRegistry, reference: str, kit: Kit, key: Path, shell: Shell
) -> None:
    pushed(shell, reference, "--sign-key", key)
    registry.log.clear()
    with shell.mounted(reference) as mount:
        last_kibibyte(mount.place / NAME)
    assert registry.bytes_sent(weights(kit).digest) >= weights(kit).body.size_bytes
    assert not any("referrers" in served.path or fallback_tag(kit.manifest_digest) in served.path for served in registry.log)


def test_inspect_says_what_was_believed_and_why_not(reference: str, kit: Kit, key: Path, shell: Shell, tmp_path: Path) -> None:
    signed = pushed(shell, reference, "--sign-key", key)
    public = key.with_suffix(".pub")
    assert proofs(shell, reference, "--trust-key", public) == [f"signed by {signed['signed_by']}"] * 3
    assert proofs(shell, reference) == ["layer digest"] * 3
    assert proofs(shell, reference, "--trust-index", "registry") == ["registry's word"] * 3
    pinned = reference.replace(":7b", f"@{kit.manifest_digest}")
    assert proofs(shell, pinned, "--trust-index", "registry") == ["layer digest"] * 3
    other = tmp_path / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", other], check=True)
    subprocess.run(["openssl", "pkey", "-in", other, "-pubout", "-out", tmp_path / "other.pub"], check=True)
    ran = shell.run("inspect", reference, "--trust-key", tmp_path / "other.pub")
    assert "not believed" in ran.stderr
    assert "not trusted here" in ran.stderr


def test_what_is_required_and_missing_fails_closed(
    registry: MemoryRegistry, reference: str, kit: Kit, key: Path, shell: Shell
) -> None:
    shell.config.write_text(f'[trust]\nkeys = ["{key.with_suffix(".pub")}"]\nindex = "required"\n')
    ran = shell.run("ls", reference)
    assert ran.exit_code == INTEGRITY
    assert "no chunk index signed by a key" in ran.stderr
    pushed(shell, reference, "--sign-key", key)
    assert shell.run("ls", reference).exit_code == 0
    contents = registry.repositories["team/llama"]
    contents.tags.pop(fallback_tag(kit.manifest_digest), None)
    for digest in [each for each in contents.manifests if each != kit.manifest_digest]:
        del contents.manifests[digest]
    assert shell.run("ls", reference).exit_code == INTEGRITY


@pytest.mark.fuse
def test_a_flipped_byte_under_an_index_is_an_error_for_its_chunk_only(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    pushed(shell, reference)
    offset = weights(kit).body.size_bytes - 5 * MIB
    registry.faults.install(Fault(Match(digest=weights(kit).digest), Flip(offset)))
    with shell.mounted(reference, "--trust-index", "registry") as mount:
        path = mount.place / NAME
        assert len(last_kibibyte(path)) == 1024
        with pytest.raises(OSError, match="Input/output error"):
            path.read_bytes()
        assert "do not match their digest" in mount.log_file.read_text()


def test_names_of_a_trusted_index_are_certain_without_header_reads(
    registry: MemoryRegistry, reference: str, kit: Kit, shell: Shell
) -> None:
    pushed(shell, reference)
    registry.log.clear()
    ran = shell.run("ls", reference, "--format", "json", "--trust-index", "registry")
    assert ran.exit_code == 0, ran
    entries = json.loads(ran.stdout)["entries"]
    assert not any(entry["provisional"] for entry in entries)
    assert {entry["path"] for entry in entries} >= {NAME, "raw.bin", "README.md", "Kitfile"}
    assert registry.bytes_sent(weights(kit).digest) == 0


def test_an_index_written_to_a_file_says_what_it_is_of(reference: str, kit: Kit, shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "index"
    assert shell.run("index", "build", reference, "-o", path).exit_code == 0
    ran = shell.run("index", "show", path, "--format", "json")
    document = json.loads(ran.stdout)
    assert document["subject"] == str(kit.manifest_digest)
    assert {layer["digest"] for layer in document["layers"]} == {str(layer.digest) for layer in kit.layers}
    assert str(kit.manifest_digest) in shell.run("index", "show", path).stdout
    path.write_bytes(path.read_bytes()[:-1])
    assert shell.run("index", "show", path).exit_code == INTEGRITY


def test_an_expired_signature_counts_for_nothing(reference: str, key: Path, shell: Shell) -> None:
    pushed(shell, reference, "--sign-key", key, "--expires", "0s")
    assert proofs(shell, reference, "--trust-key", key.with_suffix(".pub")) == ["layer digest"] * 3


def test_the_index_of_another_artifact_counts_for_nothing(
    registry: MemoryRegistry, server: RegistryServer, reference: str, kit: Kit, key: Path, shell: Shell
) -> None:
    """Somebody hangs the signed index of one artifact on another one: subject and layers do not fit."""
    registry.referrers = ReferrersApi()
    other = KitBuilder("other", seed=5).model("model.bin", 3 * MIB).build()
    registry.push("team/llama", "other", other.manifest, other.blobs)
    replayed = pushed(shell, reference.replace(":7b", ":other"), "--sign-key", key)
    contents = registry.repositories["team/llama"]
    bundle = json.loads(contents.manifests[Digest.parse(str(replayed["bundle"]))].data)
    bundle["subject"] |= {"digest": str(kit.manifest_digest), "size": len(kit.manifest)}
    contents.add_manifest(json.dumps(bundle).encode(), None, bundle["mediaType"])
    ran = shell.run("inspect", reference, "--format", "json", "--trust-key", key.with_suffix(".pub"))
    document = json.loads(ran.stdout)
    assert [layer["proof"] for layer in document["layers"]] == ["layer digest"] * 3
    assert ["about another artifact" in refusal["reason"] for refusal in document["refused"]] == [True]
