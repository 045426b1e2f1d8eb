"""The referrers API of distribution-spec, with the ways in which registries do it differently as switches."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import final
from urllib.parse import parse_qs, quote

from mkfs.errors import MkfsError
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.oci.media_types import OCI_INDEX
from mkfs.testing.answers import Answer, Request
from mkfs.testing.contents import Contents, StoredManifest
from mkfs.testing.refusals import refusal


@final
@dataclass(frozen=True, slots=True)
class ReferrersApi:
    """How a registry lists referrers.

    `page`: so many entries at a time, with a Link to what follows. `filters`: a filter is applied, and said to be. `says_subject`:
    a manifest with a subject is answered with OCI-Subject (ggcr's registry does not). `config_types`: the artifact type of an entry
    is the type of its config, whatever the manifest says (ggcr's registry again).
    """

    page: int | None = None
    filters: bool = True
    says_subject: bool = True
    config_types: bool = False

    def answer(self, request: Request, contents: Contents, repository: str, subject: Digest | None) -> Answer:
        """The answer to GET; a subject that is not there has no referrers, as the specification says."""
        if subject is None:
            return refusal(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID")
        fields = parse_qs(request.query)
        found = [entry for digest, stored in sorted(contents.manifests.items()) if (entry := self._entry(digest, stored, subject))]
        headers = {"Content-Type": OCI_INDEX}
        wanted = fields.get("artifactType")
        if self.filters and wanted:
            found = [entry for entry in found if entry.get("artifactType") == wanted[0]]
            headers["OCI-Filters-Applied"] = "artifactType"
        first = int(fields.get("first", ["0"])[0])
        page = found[first:] if self.page is None else found[first : first + self.page]
        if first + len(page) < len(found):
            query = f"artifactType={quote(wanted[0], safe='')}&" if wanted else ""
            headers["Link"] = f'</v2/{repository}/referrers/{subject}?{query}first={first + len(page)}>; rel="next"'
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": page}
        return Answer.of_bytes(HTTPStatus.OK, json.dumps(document).encode(), headers)

    def says(self, manifest: bytes) -> dict[str, str]:
        """The headers that tell whoever pushed `manifest` that it will be listed."""
        subject = decode_manifest(manifest).subject
        return {"OCI-Subject": str(subject.digest)} if subject and self.says_subject else {}

    def _entry(self, digest: Digest, stored: StoredManifest, subject: Digest) -> dict[str, object] | None:
        try:
            document = decode_manifest(stored.data)
        except MkfsError:
            return None
        if document.subject is None or document.subject.digest != subject:
            return None
        config_type = document.config.media_type if isinstance(document, Manifest) else ""
        artifact_type = config_type if self.config_types else document.artifact_type or config_type
        entry: dict[str, object] = {"mediaType": stored.media_type, "digest": str(digest), "size": len(stored.data)}
        more = {"artifactType": artifact_type, "annotations": dict(document.annotations)}
        return {**entry, **{name: value for name, value in more.items() if value}}
