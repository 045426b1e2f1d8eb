"""Modelcars: container images with a model below `/models`, as KServe mounts them (`python/storage/kserve_storage`).

The directory is what a runtime's snapshot of the image has there: all layers over one another. Layers that are no archives
(attestations) are left out, as by every runtime. Asked after those whose artifacts only borrow an image's types.
"""

from typing import Final

from mkfs.archive.entry import EntryKind
from mkfs.formats.image_layers import image_compression
from mkfs.formats.model_config import find_config, unusable_diff_ids
from mkfs.formats.plan import Documents, Need, Plan, PlannedLayer, TarLayer
from mkfs.formats.properties import of_image_config
from mkfs.formats.wording import layer_label
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import IMAGE_CONFIGS

TOP: Final = b"models"
_EMPTY_BYTES: Final = 2  # of `{}`


def recognises(manifest: Manifest) -> bool:
    """By an image's config, which says something, over layers of an image. The first oras pushed files with both, and `{}`."""
    config = manifest.config
    if config.media_type not in IMAGE_CONFIGS or config.size_bytes <= _EMPTY_BYTES:
        return False
    return any(image_compression(layer.media_type) is not None for layer in manifest.layers)


def plan(documents: Documents) -> Plan | Need:
    """Needs the config. See `formats.Format`."""
    config = find_config(documents)
    if isinstance(config, Need):
        return config
    manifest = documents.manifest
    layers, left_out = [], []
    for number, layer in enumerate(manifest.layers):
        compression = image_compression(layer.media_type)
        if compression is None:
            left_out.append(f"{layer_label(number, len(manifest.layers), layer)} is not shown: it is no layer of a file system")
            continue
        reading = TarLayer(kinds=frozenset(EntryKind), compression=compression, keeps_times=True)
        name = f"{number + 1} of {len(manifest.layers)}"
        layers.append(PlannedLayer(layer, reading, "model", name, ("",), config.diff_id(number)))
    return Plan(
        "container image with a model",
        tuple(layers),
        warnings=tuple(left_out),
        doubts=unusable_diff_ids(config, documents),
        overlay=True,
        top=TOP,
        claims=tuple(of_image_config(config.document)),
    )
