"""Files and directories pushed by ORAS: a layer for each, named by its title (oras-go, `content/file`).

Only the annotation `unpack` tells a directory (a tar, always gzipped, whose entries start with the title) from a file: a plain file
goes under the media type of an archive, unless its pusher said otherwise. Layers without a title are not written by `oras pull`.
"""

from typing import Final

from mkfs.archive.entry import EntryKind
from mkfs.errors import Unsupported
from mkfs.formats.annotations import TITLE
from mkfs.formats.plan import Documents, Need, Plan, PlannedLayer, RawLayer, TarLayer
from mkfs.formats.wording import layer_label
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import HELM_CONFIG

UNPACK: Final = "io.deis.oras.content.unpack"
_KINDS: Final = frozenset({EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.SYMLINK, EntryKind.HARDLINK})
CONTENT_DIGEST: Final = "io.deis.oras.content.digest"  # of a directory's tar before it was gzipped


def recognises(manifest: Manifest) -> bool:
    """By a title on any layer. Others give titles too: this module is asked last, and a chart of Helm is none of its."""
    return manifest.config.media_type != HELM_CONFIG and any(TITLE in layer.annotations for layer in manifest.layers)


def plan(documents: Documents) -> Plan | Need:
    """Needs nothing. See `formats.Format`."""
    manifest = documents.manifest
    layers, untitled = [], []
    for number, layer in enumerate(manifest.layers):
        title = layer.annotations.get(TITLE, "")
        if title:
            layers.append(titled(layer, title))
        else:
            untitled.append(f"{layer_label(number, len(manifest.layers), layer)} is not shown: it has no title")
    if not layers:
        raise Unsupported("every file in this artifact has an empty title")
    return Plan("files pushed by ORAS", tuple(layers), warnings=tuple(untitled))


def titled(layer: Descriptor, title: str, element: str = "files") -> PlannedLayer:
    """What `oras pull` makes of a layer with this title."""
    path = title.encode("utf-8")
    if layer.annotations.get(UNPACK) != "true":
        return PlannedLayer(layer, RawLayer(path), element, title, (title,))
    reading = TarLayer(within=path, kinds=_KINDS, compression="gzip", keeps_times=True)
    return PlannedLayer(layer, reading, element, title, (title,), Digest.found_in(layer.annotations.get(CONTENT_DIGEST, "")))
