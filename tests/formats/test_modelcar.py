"""Images with a model in them: told from what only borrows their types, and planned as one file system."""

import pytest

from mkfs.errors import BadDocument, Unsupported
from mkfs.formats.plan import TarLayer
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import DOCKER_IMAGE_CONFIG, DOCKER_MANIFEST, OCI_IMAGE_CONFIG
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.kit_layers import gzipped
from mkfs.testing.producers.images import LAYER, changeset, image
from mkfs.tree.nodes import File
from tests.support.growing import grown
from tests.support.planning import plan_made, whole

CONFIG = Part(OCI_IMAGE_CONFIG, b'{"os":"linux"}')
MODEL = {"models/": None, "models/config.json": b"{}", "models/a/w.bin": b"weights" * 900}


def files(made: Artifact) -> dict[str, bytes]:
    of = grown(plan_made(made), lambda digest: whole(made.blobs[digest]))
    return {path.decode(): of.content(node) for path, node in of.tree.walk() if isinstance(node, File)}


@pytest.mark.parametrize("compressed", [True, False])
def test_an_image_is_what_its_layers_come_to_below_models(compressed: bool) -> None:
    base = {"etc/passwd": b"root", "models/old": b"x", "models/config.json": b"old"}
    made = image([base, MODEL, {"models/.wh.old": b""}], compressed=compressed)
    assert files(made) == {"config.json": b"{}", "a/w.bin": b"weights" * 900}
    answer = plan_made(made)
    assert (answer.format_name, answer.overlay, answer.top) == ("container image with a model", True, b"models")
    assert (answer.warnings, answer.doubts) == ((), ())
    assert [each.reading.compression for each in answer.layers] == ["gzip" if compressed else ""] * 3


def test_diff_ids_of_the_config_belong_to_the_layers_in_order() -> None:
    answer = plan_made(image([MODEL, {"models/b": b""}]))
    assert [each.diff_id for each in answer.layers] == [Digest.of(changeset(MODEL)), Digest.of(changeset({"models/b": b""}))]


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        (LAYER, ""),
        (f"{LAYER}+gzip", "gzip"),
        (f"{LAYER}+zstd", "zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar", ""),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
    ],
)
@pytest.mark.parametrize("config", [OCI_IMAGE_CONFIG, DOCKER_IMAGE_CONFIG])
def test_layers_of_docker_and_oci_are_read_as_their_types_say(config: str, media_type: str, compression: str) -> None:
    made = artifact(Part(config, b'{"os":"linux"}'), [Part(media_type, b"data")], media_type=DOCKER_MANIFEST)
    (answer,) = plan_made(made).layers
    assert isinstance(answer.reading, TarLayer)
    assert answer.reading.compression == compression


def test_what_is_no_layer_of_a_file_system_is_left_out_and_named() -> None:
    made = artifact(CONFIG, [Part(f"{LAYER}+gzip", gzipped(changeset(MODEL))), Part("application/vnd.in-toto+json", b"{}")])
    answer = plan_made(made)
    assert len(answer.layers) == 1
    assert answer.warnings == ("layer 2 of 2 (application/vnd.in-toto+json) is not shown: it is no layer of a file system",)


def test_what_the_first_oras_pushed_as_an_image_is_files() -> None:
    titled = Part(LAYER, b"plain", {"org.opencontainers.image.title": "a.bin"})
    assert plan_made(artifact(Part(OCI_IMAGE_CONFIG, b"{}"), [titled])).format_name == "files pushed by ORAS"
    assert plan_made(artifact(CONFIG, [titled])).format_name == "container image with a model"


def test_wrong_types_are_refused_by_name() -> None:
    layer = Part(LAYER, changeset(MODEL))
    with pytest.raises(BadDocument, match="config: rootfs is a list"):
        plan_made(artifact(Part(OCI_IMAGE_CONFIG, b'{"rootfs":[]}'), [layer]))
    with pytest.raises(BadDocument, match="config: diff_ids are"):
        plan_made(artifact(Part(OCI_IMAGE_CONFIG, b'{"rootfs":{"diff_ids":"x"}}'), [layer]))
    with pytest.raises(Unsupported, match="no /models"):
        files(image([{"etc/passwd": b""}]))
