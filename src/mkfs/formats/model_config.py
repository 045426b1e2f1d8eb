"""The config of a ModelPack: where it is, and what it says. Both of its generations, and the places the RFC proposed for it.

It is the manifest's config blob as JSON; or, as the RFC had it, a tar (gzip) that holds the JSON; or one of the layers, where the
manifest's config is empty. Field names were `snake_case` under `cnai`, with spellings of their own before 0.0.4, and are
`camelCase` under `cncf` (model-spec, `specs-go/v1/config.go` and its history). Read strictly where a field is known: its type must
be right. Nothing of it decides what a directory holds.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast, final

from mkfs.archive.entry import EntryKind
from mkfs.archive.tar import TarScanner
from mkfs.errors import BadArchive, BadDocument
from mkfs.formats.plan import Documents, Need
from mkfs.oci import media_types
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json, section, shown
from mkfs.units import MIB

CONFIG_LIMIT_BYTES: Final = MIB  # 70 bytes of diff_id for each layer, and some fields
IS_CONFIG: Final = "org.cnai.model.config"  # of a layer, before the config had a place of its own

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS  # zlib: gzip header and trailer expected
_CONFIG_KIND: Final = ".model.config.v"  # in the media type of a config that stands among the layers
_SECTIONS: Final = ("descriptor", "config", "modelfs")  # what a ModelPack's config has, and no model's own config.json

Json: TypeAlias = Mapping[str, object]


@final
@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What was found. `document` is the whole of it; `origin` says where, for a person. `diff_ids` as it says them, None where it
    does not: they prove nothing.
    """

    document: Json = field(hash=False)
    origin: str
    diff_ids: tuple[str, ...] | None = None

    def diff_id(self, number: int) -> Digest | None:
        """What it says of layer `number`, counted from 0; None where that is nothing that could be a digest."""
        return None if self.diff_ids is None or number >= len(self.diff_ids) else Digest.found_in(self.diff_ids[number])


_NOTHING: Final = ModelConfig({}, "config")


def find_config(documents: Documents) -> ModelConfig | Need:
    """The config, or which blob must be read for it. Raises `BadDocument`.

    An artifact without one is no error: an empty config, one that is an image's, or layers too large to be looked into.
    """
    manifest = documents.manifest
    config = manifest.config
    if config.media_type != media_types.OCI_EMPTY:
        data = documents.read(config, CONFIG_LIMIT_BYTES, "config")
        return data if isinstance(data, Need) else _read(_inside(data, config, "config"), "config")
    for number, layer in enumerate(manifest.layers):
        if _may_be_config(layer):
            data = documents.read(layer, CONFIG_LIMIT_BYTES, "config")
            if isinstance(data, Need):
                return data
            found = _in_layer(data, layer, f"layer {number + 1}")
            if found is not None:
                return found
    return _NOTHING


def _may_be_config(layer: Descriptor) -> bool:
    """Whether this layer may be the config: said so, small, and not compressed in a way that cannot be read here."""
    if layer.size_bytes > CONFIG_LIMIT_BYTES or layer.media_type.endswith("zstd"):
        return False
    is_typed = any(_CONFIG_KIND in text for text in (layer.media_type, layer.artifact_type))
    return is_typed or layer.annotations.get(IS_CONFIG) == "true"


def _in_layer(data: bytes, layer: Descriptor, origin: str) -> ModelConfig | None:
    """The config, if this layer holds one. Some other configuration file, whatever it looks like, is none of ours to judge."""
    try:
        document = _inside(data, layer, origin)
    except BadDocument:
        return None
    return _read(document, origin) if any(section in document for section in _SECTIONS) else None


def _inside(data: bytes, blob: Descriptor, what: str) -> Json:
    """The JSON in `data`: as it is, or the first file of an archive, gzipped or not, as the media type says."""
    if "+gzip" in blob.media_type or blob.media_type.endswith(".gzip"):
        data = _gunzip(data, what)
    if ".tar" in blob.media_type or ".tar" in blob.artifact_type:
        data = _first_file(data, what)
    return decode_json(data, CONFIG_LIMIT_BYTES, what)


def _gunzip(data: bytes, what: str) -> bytes:
    """At most `CONFIG_LIMIT_BYTES`, and not a byte more is made of it."""
    inflate = zlib.decompressobj(_GZIP_WINDOW)
    try:
        inflated = inflate.decompress(data, CONFIG_LIMIT_BYTES + 1)
    except zlib.error as error:
        raise BadDocument(f"{what}: not gzip ({error})") from error
    if len(inflated) > CONFIG_LIMIT_BYTES:
        raise BadDocument(f"{what}: larger than {CONFIG_LIMIT_BYTES} bytes when decompressed")
    if not inflate.eof:
        raise BadDocument(f"{what}: gzip ends too early")
    return inflated


def _first_file(data: bytes, what: str) -> bytes:
    try:
        scanner = TarScanner(len(data), what)
        scanner.feed(0, data)
        table = scanner.table()
    except BadArchive as error:
        raise BadDocument(f"{what}: {error.what}", error.where) from error
    file = next((entry for entry in table if entry.kind is EntryKind.FILE), None)
    if file is None:
        raise BadDocument(f"{what}: an archive without a file")
    return data[file.content_offset : file.content_offset + file.size_bytes]


def _read(document: Json, origin: str) -> ModelConfig:
    # The latter: in an image's config, and in Docker's.
    file_systems = [section(document, name, origin) for name in ("modelfs", "rootfs")]
    value = next((each[key] for each in file_systems for key in ("diffIds", "diff_ids") if each.get(key) is not None), None)
    if value is None:
        return ModelConfig(document, origin)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadDocument(f"{origin}: diff_ids are {shown(value)} (expected a list of strings)")
    return ModelConfig(document, origin, tuple(cast("list[str]", value)))


def unusable_diff_ids(config: ModelConfig, documents: Documents) -> tuple[str, ...]:
    """A doubt where the config's diff_ids cannot be compared with layers: another number of them, or no digests."""
    count, layers = len(config.diff_ids or ()), len(documents.manifest.layers)
    if config.diff_ids is None:
        return ()
    if count != layers:
        return (f"{config.origin}: {count} diff_ids for {layers} layers",)
    unreadable = sum(config.diff_id(number) is None for number in range(count))
    return (f"{config.origin}: {unreadable} of {count} diff_ids are no digests",) if unreadable else ()
