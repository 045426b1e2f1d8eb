"""Manifests and indexes: image-spec manifest.md and image-index.md, and their Docker schema 2 twins, which look the same here.

A document has one meaning or none. What could be read as a manifest by one program and as an index by another (CVE-2021-41190), or
says one type and was sent as another, is refused. Fields nobody here asks for are ignored, `urls` among them. Nothing in this file
compares bytes with the manifest's own digest: whoever fetched them did that first.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

from mkfs.errors import BadDigest, BadDocument, Mismatch
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest, Verifier
from mkfs.oci.json import decode_json, shown
from mkfs.oci.media_types import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST
from mkfs.units import MIB

MANIFEST_LIMIT_BYTES: Final = 4 * MIB  # distribution-spec: registries should accept manifests of at least 4 MB; clients cap there
SIZE_LIMIT_BYTES: Final = 2**63  # exclusive: image-spec sizes are int64
_OTHERS: Final = ("platform", "modelMetadata", "name")  # fields of descriptors that some format asks for
_SCHEMA_VERSION: Final = 2  # of OCI documents and of Docker's; 1 was signed and is gone
_MEDIA_TYPE_LIMIT: Final = 255  # characters: RFC 6838 allows 127 on each side of the slash


@final
@dataclass(frozen=True, slots=True)
class Manifest:
    """One artifact: a config and its layers, in the manifest's order; a digest may stand twice. `artifact_type` may be ""."""

    media_type: str
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None


@final
@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests (or further indexes), in the document's order. `artifact_type` may be ""."""

    media_type: str
    artifact_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    subject: Descriptor | None = None


def decode_manifest(data: bytes, content_type: str = "") -> Manifest | Index:
    """Reads a manifest or an index; `content_type` is the registry's word for it, "" where there is none.

    The document's own shape decides what it is; its `mediaType` (kit writes none) and `content_type` must not say otherwise. A
    content type that names no manifest at all (`application/json`) is ignored: proxies send them. `"layers": null` is no layers:
    kit writes that. Raises `BadDocument`.
    """
    document = decode_json(data, MANIFEST_LIMIT_BYTES, "manifest")
    fields = _Fields(document, "")
    version = document.get("schemaVersion")
    if type(version) is not int or version != _SCHEMA_VERSION:
        raise BadDocument(f"manifest: schemaVersion is {shown(version)} (expected {_SCHEMA_VERSION})")
    if "manifests" in document:
        if "layers" in document or "config" in document:
            raise BadDocument("manifest: is a manifest and an index at once (has manifests, and layers or config)")
        return Index(
            _media_type(fields, content_type, INDEX_TYPES, OCI_INDEX),
            fields.media_type("artifactType"),
            fields.descriptors("manifests"),
            fields.annotations(),
            fields.descriptor("subject"),
        )
    if "layers" not in document:
        raise BadDocument("manifest: has neither layers nor manifests")
    return Manifest(
        _media_type(fields, content_type, MANIFEST_TYPES, OCI_MANIFEST),
        fields.media_type("artifactType"),
        _descriptor(document.get("config"), "config"),
        _with_right_empty_ones(fields.descriptors("layers")),
        fields.annotations(),
        fields.descriptor("subject"),
    )


def _with_right_empty_ones(layers: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
    """The layers, if those of no bytes have the digest of no bytes: nobody ever asks for a byte of an empty file to prove it."""
    for number, layer in enumerate(layers):
        try:
            if not layer.size_bytes:
                Verifier(layer.digest, 0).finish()
        except Mismatch as error:
            raise BadDocument(f"manifest: layers[{number}].size is 0, and its digest is not that of no bytes") from error
    return layers


def _media_type(fields: "_Fields", content_type: str, expected: frozenset[str], default: str) -> str:
    """What the document is called: by itself, else by the registry, else by `default`. All who say something must agree."""
    says = fields.media_type("mediaType")
    if says and says not in expected:
        raise BadDocument(f"manifest: mediaType does not fit its content (got {says!a}, expected {default})")
    sent = content_type.partition(";")[0].strip().lower()
    if sent in MANIFEST_TYPES | INDEX_TYPES and (sent not in expected or (says and says != sent)):
        raise BadDocument(f"manifest: sent as {sent} but it is {says or default}")
    return says or (sent if sent in expected else default)


@final
class _Fields:
    """Typed access to one JSON object. `at` is its path in the document for errors, "" or ending with a dot."""

    __slots__ = ("_at", "_fields")

    def __init__(self, fields: Mapping[str, object], at: str) -> None:
        self._fields, self._at = fields, at
        if len({key.lower() for key in fields}) != len(fields):  # Go's decoder takes either, the last one wins
            raise BadDocument(f"manifest: {at.rstrip('.') or 'document'} has two keys that differ only in case")

    def text(self, key: str) -> str:
        """A string; "" where the key is missing or null."""
        value = self._fields.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise BadDocument(f"manifest: {self._at}{key} is {shown(value)} (expected a string)")
        return value

    def media_type(self, key: str) -> str:
        """A string as `text`, and fit to be printed: media types are ASCII and short (RFC 6838)."""
        value = self.text(key)
        if len(value) > _MEDIA_TYPE_LIMIT or not (value.isascii() and value.isprintable()):
            raise BadDocument(f"manifest: {self._at}{key} is no media type (got {shown(value)})")
        return value

    def annotations(self) -> Mapping[str, str]:
        """String to string; empty where missing or null."""
        value = self._fields.get("annotations")
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise BadDocument(f"manifest: {self._at}annotations is not an object of strings")
        return value

    def descriptors(self, key: str) -> tuple[Descriptor, ...]:
        """A list of descriptors; empty where null."""
        value = self._fields.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise BadDocument(f"manifest: {self._at}{key} is {shown(value)} (expected a list)")
        return tuple(_descriptor(item, f"{self._at}{key}[{number}]") for number, item in enumerate(value))

    def descriptor(self, key: str) -> Descriptor | None:
        """A descriptor; None where missing or null."""
        value = self._fields.get(key)
        return None if value is None else _descriptor(value, f"{self._at}{key}")

    def size(self) -> int:
        """The required size: a JSON integer, nothing that merely equals one."""
        value = self._fields.get("size")
        if type(value) is not int or not 0 <= value < SIZE_LIMIT_BYTES:
            raise BadDocument(f"manifest: {self._at}size is {shown(value)} (expected a whole number of bytes below 2**63)")
        return value

    def digest(self) -> Digest:
        """The required digest."""
        try:
            return Digest.parse(self.text("digest"))
        except BadDigest as error:
            raise BadDocument(f"manifest: {self._at}digest: {error.what}") from error


def _descriptor(value: object, at: str) -> Descriptor:
    if not isinstance(value, dict):
        raise BadDocument(f"manifest: {at} is {shown(value)} (expected a descriptor)")
    fields = _Fields(value, f"{at}.")
    media_type, digest, size_bytes = fields.media_type("mediaType"), fields.digest(), fields.size()
    if not media_type:
        raise BadDocument(f"manifest: {at} has no mediaType")
    data = None if value.get("data") is None else _embedded(fields.text("data"), digest, size_bytes, at)
    others = {key: value[key] for key in _OTHERS if value.get(key) is not None}
    return Descriptor(media_type, digest, size_bytes, fields.annotations(), fields.media_type("artifactType"), data, others)


def _embedded(text: str, digest: Digest, size_bytes: int, at: str) -> bytes:
    """The content a descriptor carries with it, once it is what it promises (image-spec descriptor.md, "Embedded Content")."""
    verifier = Verifier(digest, size_bytes)
    try:
        data = base64.b64decode(text, validate=True)
        verifier.feed(data)
        verifier.finish()
    except (binascii.Error, ValueError) as error:
        raise BadDocument(f"manifest: {at}.data is not base64") from error
    except Mismatch as error:
        raise BadDocument(f"manifest: {at}.data: {error.what}") from error
    return data
