"""Layers with the media types of container images: archives, as far as their type tells (image-spec, layer.md)."""

from collections.abc import Mapping
from typing import Final

from mkfs.formats.plan import Compression
from mkfs.oci.media_types import DOCKER_IMAGE_LAYERS, OCI_IMAGE_LAYERS

_COMPRESSIONS: Final[Mapping[str, Compression]] = {"tar": "", "+gzip": "gzip", ".gzip": "gzip", "+zstd": "zstd"}


def image_compression(media_type: str) -> Compression | None:
    """How an image layer of this type is compressed; None where it is no type of image layers."""
    if media_type not in OCI_IMAGE_LAYERS and media_type not in DOCKER_IMAGE_LAYERS:
        return None
    return next(compression for end, compression in _COMPRESSIONS.items() if media_type.endswith(end))
