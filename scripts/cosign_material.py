"""Writes tests/golden/cosign anew: what the real cosign signed about a sample artifact, with keys made for this and thrown away.

    .venv/bin/python scripts/cosign_material.py /path/to/cosign      # cosign 3 or newer, openssl, docker-registry

The tests read the files and nothing else, so they need no cosign. `tests/proof/test_with_cosign.py` is the other way round.
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from mkfs.oci.digest import Digest
from mkfs.proof.cosign import read_signatures
from mkfs.proof.statement import CHUNK_INDEX_PREDICATE, IndexStatement

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for `tests`, which is not installed

from tests.support.cosign import KINDS, Cosign, blob_of, manifest_of  # noqa: E402 - see above
from tests.support.docker_registry import running  # noqa: E402 - see above
from tests.support.indexed import sample  # noqa: E402 - see above
from tests.support.pushing import Pusher  # noqa: E402 - see above

PLACE: Final = ROOT / "tests" / "golden" / "cosign"
REPOSITORY: Final = "acme/model"


def main(program: str) -> None:
    """Makes everything in a temporary directory, then puts it in place."""
    registry = shutil.which("docker-registry")
    assert registry is not None, "docker-registry is not installed"
    with tempfile.TemporaryDirectory() as name:
        work, made = Path(name), Path(name) / "made"
        made.mkdir()
        cosign = Cosign(program, work)
        for kind in KINDS:
            cosign.make_key(kind)
            shutil.copy(work / f"{kind}.pub", made)
        shutil.copy(work / "p256.key", made)
        with running(Path(registry), work / "registry") as serving, closing(Pusher(serving.host)) as pusher:
            _sign(cosign, pusher, made)
        shutil.rmtree(PLACE, ignore_errors=True)
        shutil.copytree(made, PLACE)


def _sign(cosign: Cosign, pusher: Pusher, made: Path) -> None:
    artifact = sample()
    document, manifest, predicate = artifact.index.encode(), made / "manifest.json", cosign.directory / "predicate.json"
    manifest.write_bytes(artifact.manifest)
    (made / "document.msgpack").write_bytes(document)
    predicate.write_bytes(IndexStatement.about(artifact.index, document).predicate())
    blobs = {layer.descriptor.digest: layer.blob for layer in artifact.layers} | {Digest.of(b"{}"): b"{}"}
    pusher.push(REPOSITORY, "v1", artifact.manifest, blobs)
    reference = f"{pusher.host}/{REPOSITORY}@{artifact.subject}"
    for kind in KINDS:
        cosign.sign(kind, reference, "--upload=false", "--bundle", made / f"{kind}.sign.json")
        cosign.attest(kind, reference, predicate, CHUNK_INDEX_PREDICATE, "--no-upload", "--bundle", made / f"{kind}.attest.json")
        cosign.sign_file(kind, manifest, made / f"{kind}.file.json")
    cosign.sign("p384", reference, "--upload=false", "--bundle", made / "certificate.json", "--certificate", _certificate(cosign))
    cosign.sign_as_before("p256", reference)
    signatures = manifest_of(pusher, REPOSITORY, f"sha256-{artifact.subject.hex}.sig")
    (made / "before.manifest.json").write_bytes(signatures)
    (made / "before.payload.json").write_bytes(blob_of(pusher, REPOSITORY, read_signatures(signatures)[0].payload))


def _certificate(cosign: Cosign) -> Path:
    """A certificate of the P-384 key that nobody vouches for."""
    certificate = cosign.directory / "certificate.pem"
    words = ["-subj", "/CN=throwaway", "-days", "3650", "-addext", "extendedKeyUsage=codeSigning"]
    key = cosign.directory / "p384.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-new", "-key", key, *words, "-addext", "subjectAltName=email:a@b.c", "-out", certificate],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return certificate


if __name__ == "__main__":
    main(*sys.argv[1:])
