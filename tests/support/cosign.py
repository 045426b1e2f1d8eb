"""The real cosign, on loopback and with keys only: nothing of it asks a public service."""

import json
import os
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Final

from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_INDEX, OCI_MANIFEST
from mkfs.proof.referrers import Referrer
from tests.support.pushing import Pusher

PASSWORD: Final = "throwaway"
KINDS: Final = ("p256", "p384", "p521", "rsa", "ed25519")
_OPENSSL: Final = {
    "p256": ("EC", "ec_paramgen_curve:P-256"),
    "p384": ("EC", "ec_paramgen_curve:P-384"),
    "p521": ("EC", "ec_paramgen_curve:P-521"),
    "rsa": ("RSA", "rsa_keygen_bits:2048"),
    "ed25519": ("ED25519", ""),
}
_NO_SERVICES: Final = '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}'


class Cosign:
    """cosign with a directory of its own, in which it keeps keys and writes bundles."""

    def __init__(self, program: str | Path, directory: Path) -> None:
        self._program, self.directory = program, directory
        self._signing = directory / "signing-config.json"
        self._signing.write_text(_NO_SERVICES)

    def make_key(self, kind: str) -> None:
        """`KIND.pem` (PKCS #8), `KIND.pub`, and `KIND.key`, the same key sealed by cosign with `PASSWORD`."""
        algorithm, option = _OPENSSL[kind]
        pem = self.directory / f"{kind}.pem"
        _run("openssl", "genpkey", "-algorithm", algorithm, *(("-pkeyopt", option) if option else ()), "-out", pem)
        _run("openssl", "pkey", "-in", pem, "-pubout", "-out", self.directory / f"{kind}.pub")
        imported = self.directory / f"{kind}.imported"
        self.run("import-key-pair", "--key", pem, "--output-key-prefix", imported, "--yes")
        imported.with_suffix(".imported.key").rename(self.directory / f"{kind}.key")
        imported.with_suffix(".imported.pub").unlink()

    def sign(self, kind: str, reference: str, *options: str | Path) -> None:
        """Signs an artifact as cosign 3 does, and pushes the bundle unless the options say otherwise."""
        self.run("sign", "--key", self.directory / f"{kind}.key", "--signing-config", self._signing, *_HTTP, *options, reference)

    def sign_as_before(self, kind: str, reference: str) -> None:
        """Signs an artifact as cosign 1 and 2 did: under the tag `sha256-….sig`."""
        old = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")
        self.run("sign", "--key", self.directory / f"{kind}.key", *old, *_HTTP, reference)

    def sign_file(self, kind: str, file: Path, bundle: Path) -> None:
        """Signs the bytes of a file."""
        key, config = self.directory / f"{kind}.key", self._signing
        self.run("sign-blob", "--key", key, "--signing-config", config, "--bundle", bundle, "--yes", file)

    def attest(self, kind: str, reference: str, predicate: Path, predicate_type: str, *options: str | Path) -> None:
        """Signs a statement about an artifact."""
        what = ("--predicate", predicate, "--type", predicate_type)
        self.run(
            "attest", "--key", self.directory / f"{kind}.key", *what, "--signing-config", self._signing, *_HTTP, *options, reference
        )

    def accepts_statement(self, kind: str, reference: str, predicate_type: str) -> bool:
        """Whether `cosign verify-attestation` finds a statement of this type, signed by this key."""
        key = ("--key", self.directory / f"{kind}.pub", "--insecure-ignore-tlog=true", "--type", predicate_type)
        return self._try("verify-attestation", *key, "--allow-http-registry", reference).returncode == 0

    def run(self, *words: str | Path) -> None:
        """Runs cosign, which must succeed."""
        done = self._try(*words)
        assert done.returncode == 0, done.stdout

    def _try(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COSIGN_PASSWORD": PASSWORD, "HOME": str(self.directory)}
        command = [self._program, *words]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


_HTTP: Final = ("--allow-http-registry", "--yes")


def push_referrers(pusher: Pusher, repository: str, subject: Digest, referrers: list[Referrer]) -> None:
    """Pushes referrers and, as the registry has no list of its own, the list of them under the subject's tag."""
    entries = []
    for referrer in referrers:
        described = referrer.descriptor
        pusher.push(repository, str(described.digest), referrer.manifest, {blob.digest: data for blob, data in referrer.blobs})
        entries.append(
            {
                "mediaType": described.media_type,
                "digest": str(described.digest),
                "size": described.size_bytes,
                "artifactType": described.artifact_type,
                "annotations": dict(described.annotations),
            }
        )
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    pusher.push(repository, f"{subject.algorithm}-{subject.hex}", json.dumps(index).encode(), {}, media_type=OCI_INDEX)


def referrers_of(pusher: Pusher, repository: str, subject: Digest) -> list[bytes]:
    """The manifests listed under the subject's tag."""
    status, listed = pusher.get(f"/v2/{repository}/manifests/{subject.algorithm}-{subject.hex}", {"Accept": OCI_INDEX})
    assert status == HTTPStatus.OK
    return [manifest_of(pusher, repository, entry["digest"]) for entry in json.loads(listed)["manifests"]]


def manifest_of(pusher: Pusher, repository: str, name: str) -> bytes:
    """A manifest by tag or digest."""
    status, manifest = pusher.get(f"/v2/{repository}/manifests/{name}", {"Accept": OCI_MANIFEST})
    assert status == HTTPStatus.OK
    return manifest


def blob_of(pusher: Pusher, repository: str, blob: Descriptor) -> bytes:
    """The bytes of a blob."""
    status, data = pusher.get(f"/v2/{repository}/blobs/{blob.digest}")
    assert status == HTTPStatus.OK
    return data


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
