"""Media types of the documents and artifacts we can meet. Names only; what they mean is decided in `formats/`.

Sources: image-spec media-types.md, distribution's manifest schema 2, and the producers' own sources (kit, modctl, docker model
runner, ollama, helm). ModelPack renamed its prefix from `cnai` to `cncf` with version 0.0.7; both are around.
"""

from typing import Final

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

MANIFEST_TYPES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES: Final = frozenset({OCI_INDEX, DOCKER_MANIFEST_LIST})
MANIFEST_ACCEPT: Final = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST)  # what to ask for, best first

OCI_IMAGE_LAYERS: Final = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
)
DOCKER_IMAGE_LAYERS: Final = ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip")

OCI_EMPTY: Final = "application/vnd.oci.empty.v1+json"
OCI_IMAGE_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
DOCKER_IMAGE_CONFIG: Final = "application/vnd.docker.container.image.v1+json"  # Ollama uses it too: look at the layers
IMAGE_CONFIGS: Final = frozenset({OCI_IMAGE_CONFIG, DOCKER_IMAGE_CONFIG})
HELM_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"

KITOPS_MANIFEST: Final = "application/vnd.kitops.modelkit.manifest.v1+json"  # an artifactType, kit >= 1.10
KITOPS_INDEX: Final = "application/vnd.kitops.modelkit.index.v1+json"  # an artifactType
KITOPS_CONFIG: Final = "application/vnd.kitops.modelkit.config.v1+json"
KITOPS_LAYER_PREFIX: Final = "application/vnd.kitops.modelkit."

MODELPACK_MANIFESTS: Final = frozenset(  # artifactTypes
    {"application/vnd.cncf.model.manifest.v1+json", "application/vnd.cnai.model.manifest.v1+json"},
)
MODELPACK_CONFIG_PREFIXES: Final = ("application/vnd.cncf.model.config.", "application/vnd.cnai.model.config.")
MODELPACK_LAYER_PREFIXES: Final = ("application/vnd.cncf.model.", "application/vnd.cnai.model.")
CNAI: Final = "vnd.cnai."  # in a type: a ModelPack from before its prefix was CNCF's

DOCKER_MODEL_CONFIG_PREFIX: Final = "application/vnd.docker.ai.model.config."
OLLAMA_LAYER_PREFIX: Final = "application/vnd.ollama.image."

# Our own: the chunk indexes of an artifact's layers (docs/CHUNK_INDEX.md).
CHUNK_INDEX_ARTIFACT: Final = "application/vnd.mkfs.chunk-index.v1"  # an artifactType
CHUNK_INDEX_DOCUMENT: Final = "application/vnd.mkfs.chunk-index.v1+msgpack"

SIGSTORE_BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"  # an artifactType as well
COSIGN_SIMPLE_SIGNING: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
IN_TOTO: Final = "application/vnd.in-toto+json"  # the payload of a DSSE envelope
