"""Refusals as registries word them (distribution-spec, "Error Codes")."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from mkfs.testing.answers import Answer

_MESSAGES: Mapping[str, str] = {
    "BLOB_UPLOAD_INVALID": "blob upload invalid",
    "BLOB_UPLOAD_UNKNOWN": "blob upload unknown to registry",
    "BLOB_UNKNOWN": "blob unknown to registry",
    "DENIED": "requested access to the resource is denied",
    "DIGEST_INVALID": "provided digest is not one",
    "MANIFEST_BLOB_UNKNOWN": "manifest references a manifest or blob unknown to registry",
    "MANIFEST_INVALID": "manifest invalid",
    "MANIFEST_UNKNOWN": "manifest unknown to registry",
    "NAME_UNKNOWN": "repository name not known to registry",
    "UNAUTHORIZED": "authentication required",
    "UNSUPPORTED": "the operation is unsupported",
}


def refusal(status: HTTPStatus, code: str, headers: Mapping[str, str] | None = None, detail: str = "") -> Answer:
    """An answer with the specification's error document; `detail` says more than the code's own message."""
    error: dict[str, object] = {"code": code, "message": detail or _MESSAGES[code]}
    body = json.dumps({"errors": [error]}).encode() + b"\n"
    return Answer.of_bytes(status, body, {"Content-Type": "application/json", **(headers or {})})
