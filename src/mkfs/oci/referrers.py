"""Referrers: manifests that name another one as their subject (distribution-spec "Listing Referrers", "Referrers Tag Schema").

A list of them is an index. Nothing in it is proven, and its writers differ: entries without an artifact type, or with the type of
an empty config in its place, are common (cosign and ggcr before 0.22.1), so only the manifest itself says what it is.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from mkfs.errors import BadDocument
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.json import decode_json
from mkfs.oci.manifest import MANIFEST_LIMIT_BYTES, Index, Manifest, decode_manifest
from mkfs.oci.media_types import OCI_EMPTY, OCI_INDEX

_ALGORITHM_LIMIT: Final = 32  # characters, and
_ENCODED_LIMIT: Final = 64  # so many, of a digest in a tag: distribution-spec, "Referrers Tag Schema"
_NOT_OF_A_TAG: Final = re.compile(r"[^a-zA-Z0-9._-]", re.ASCII)


def fallback_tag(subject: Digest) -> str:
    """The tag under which referrers of `subject` are listed where the registry does not list them itself."""
    text = f"{subject.algorithm[:_ALGORITHM_LIMIT]}-{subject.hex[:_ENCODED_LIMIT]}"
    return _NOT_OF_A_TAG.sub("-", text)


def signature_tag(subject: Digest) -> str:
    """The tag of cosign's signatures of `subject` from before there were referrers (cosign SIGNATURE_SPEC.md)."""
    return f"{subject.algorithm}-{subject.hex}.sig"


def decode_referrers(data: bytes, content_type: str = "") -> tuple[Descriptor, ...]:
    """What a list of referrers holds, in its order. Raises `BadDocument`."""
    document = decode_manifest(data, content_type)
    if not isinstance(document, Index):
        raise BadDocument("a manifest stands where a list of referrers should be")
    return document.manifests


def artifact_type_of(document: Manifest | Index) -> str:
    """What a manifest is: its `artifactType`, else the media type of its config. "" where an index says nothing."""
    return document.artifact_type or (document.config.media_type if isinstance(document, Manifest) else "")


def is_vague(referrer: Descriptor) -> bool:
    """Whether an entry of a list does not say what it is."""
    return referrer.artifact_type in ("", OCI_EMPTY)


def with_referrer(listed: bytes | None, referrer: Descriptor) -> bytes | None:
    """The list `listed` (None: there is none yet) with `referrer` at its end, all else as it was; None where it is in there.

    Raises `BadDocument` where `listed` is no list of referrers, or has no room.
    """
    if listed is None:
        document: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    else:
        if any(entry.digest == referrer.digest for entry in decode_referrers(listed)):
            return None
        document = decode_json(listed, MANIFEST_LIMIT_BYTES, "manifest")
    entries = document["manifests"]
    document["manifests"] = [*(entries if isinstance(entries, list) else ()), _entry(referrer)]
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) > MANIFEST_LIMIT_BYTES:
        raise BadDocument(f"the list of referrers is full (it would have {len(data)} bytes)")
    return data


def encode_referrers(listed: Iterable[Descriptor]) -> bytes:
    """A list of referrers that holds `listed`, for `decode_referrers`."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [_entry(referrer) for referrer in listed]}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _entry(referrer: Descriptor) -> Mapping[str, object]:
    entry: dict[str, object] = {
        "mediaType": referrer.media_type,
        "digest": str(referrer.digest),
        "size": referrer.size_bytes,
        "artifactType": referrer.artifact_type,
        "annotations": dict(referrer.annotations),
    }
    return {name: value for name, value in entry.items() if value not in ("", {})}
