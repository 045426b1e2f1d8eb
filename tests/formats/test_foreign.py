"""Artifacts of other producers: recognised for what they are, and refused in a sentence that helps."""

import pytest

from mkfs.errors import Unsupported
from mkfs.formats import plan
from mkfs.formats.plan import Documents
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import OCI_MANIFEST

EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"


def artifact(config: str, *layers: str, artifact_type: str = "") -> Manifest:
    described = tuple(Descriptor(each, Digest.of(each.encode()), len(each)) for each in layers)
    return Manifest(OCI_MANIFEST, artifact_type, Descriptor(config, Digest.of(b"{}"), 2), described)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (
            artifact("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
            "a Helm chart",
        ),
        (artifact("application/vnd.docker.ai.model.config.v0.3+json", "application/vnd.docker.ai.gguf.v3"), r"version v0\.3"),
        (artifact(DOCKER_CONFIG), "a container image"),
        (artifact(OCI_CONFIG, "application/vnd.in-toto+json"), "a container image"),
        (artifact(EMPTY, EMPTY, artifact_type="application/x\nnew"), r"unknown type \(application/x\\nnew\)"),
        (artifact("application/vnd.example", EMPTY), r"unknown type \(application/vnd\.example\)"),
    ],
)
def test_a_foreign_artifact_is_told_by_its_kind(manifest: Manifest, words: str) -> None:
    with pytest.raises(Unsupported, match=words) as caught:
        plan(Documents(manifest))
    assert caught.value.exit_code == 14
    assert "mkfs shows ModelKits" in caught.value.hint or "expected v0.1 or v0.2" in caught.value.what
