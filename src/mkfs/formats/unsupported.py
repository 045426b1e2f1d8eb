"""What a foreign artifact is, for the person who asked for it: known kinds by their marks, others by the type they say they are."""

from typing import Final

from mkfs.errors import Unsupported
from mkfs.oci import media_types
from mkfs.oci.manifest import Manifest

_HINT: Final = "this version shows KitOps ModelKits"
_IMAGE_CONFIGS: Final = frozenset({media_types.OCI_IMAGE_CONFIG, media_types.DOCKER_IMAGE_CONFIG})


def refusal(manifest: Manifest) -> Unsupported:
    """The error for an artifact that no module of this room recognises."""
    return Unsupported(f"cannot show {_kind(manifest)}", hint=_HINT)


def _kind(manifest: Manifest) -> str:
    config = manifest.config.media_type
    layers = [layer.media_type for layer in manifest.layers]
    if config == media_types.HELM_CONFIG:
        return "a Helm chart: it holds no model"
    if config.startswith(media_types.DOCKER_MODEL_CONFIG_PREFIX):
        return f"a Docker model ({config})"
    if any(layer.startswith(media_types.OLLAMA_LAYER_PREFIX) for layer in layers):  # before images: it borrows their config type
        return "an Ollama model"
    if config in _IMAGE_CONFIGS:
        return "a container image: it is no model artifact"
    return f"an artifact of unknown type ({ascii(manifest.artifact_type)[1:-1] or config})"
