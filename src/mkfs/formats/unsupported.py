"""What a foreign artifact is, for the person who asked for it: known kinds by their marks, others by the type they say they are."""

from typing import Final

from mkfs.errors import Unsupported
from mkfs.oci import media_types
from mkfs.oci.manifest import Manifest

_HINT: Final = "mkfs shows ModelKits, ModelPacks, models of Docker and Ollama, files pushed by ORAS, and images with /models"


def refusal(manifest: Manifest) -> Unsupported:
    """The error for an artifact that no module of this room recognises."""
    return Unsupported(f"cannot show {_kind(manifest)}", hint=_HINT)


def _kind(manifest: Manifest) -> str:
    config = manifest.config.media_type
    if config == media_types.HELM_CONFIG:
        return "a Helm chart: it holds no model"
    if config in media_types.IMAGE_CONFIGS:
        return "a container image: it is no model artifact"
    return f"an artifact of unknown type ({ascii(manifest.artifact_type)[1:-1] or config})"
