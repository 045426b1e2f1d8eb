"""What was found about an artifact beside it, each piece examined on its own: signed and good, or refused with a reason.

Nothing here decides what is believed; `proof.policy` does, from all pieces together. A piece that is refused takes nothing away:
whoever may push to the repository may add any number of bad ones.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import final

from mkfs.errors import IntegrityError
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.proof.artifact_index import ArtifactIndex
from mkfs.proof.bundle import MessageSignature, decode_bundle
from mkfs.proof.cosign import COSIGN_SIGN_PREDICATE, signer_of_payload
from mkfs.proof.dsse import Envelope
from mkfs.proof.keys import PublicKey, who_signed
from mkfs.proof.statement import IndexStatement, decode_statement, rfc3339


@final
@dataclass(frozen=True, slots=True)
class Refusal:
    """A piece that counts for nothing, and why. `what` names it for a person: the digest of its manifest, or a tag."""

    what: str
    reason: str


@final
@dataclass(frozen=True, slots=True)
class Signature:
    """The artifact itself was signed by the key with this id."""

    what: str
    key_id: str


@final
@dataclass(frozen=True, slots=True)
class SignedStatement:
    """The key with this id signed `statement`, which has not expired. Its document is still to be fetched."""

    what: str
    key_id: str
    statement: IndexStatement


@final
@dataclass(frozen=True, slots=True)
class SignedIndex:
    """The key with this id vouches for `index`."""

    what: str
    key_id: str
    index: ArtifactIndex


@final
@dataclass(frozen=True, slots=True)
class UnsignedIndex:
    """An index that hangs on the artifact in its own repository, and nobody vouches for but the registry."""

    what: str
    index: ArtifactIndex


Evidence = Signature | SignedStatement | SignedIndex | UnsignedIndex | Refusal


@final
@dataclass(frozen=True, slots=True)
class Examiner:
    """Examines what was found about one artifact: the one with this digest, whose proven manifest is `manifest` and has these
    `layers`. `keys` are those that policy accepts for it; `now` has a time zone. The methods raise nothing.
    """

    subject: Digest
    manifest: bytes = field(repr=False)
    layers: tuple[Descriptor, ...]
    keys: tuple[PublicKey, ...]
    now: datetime

    def bundle(self, what: str, data: bytes) -> Signature | SignedStatement | Refusal:
        """What a sigstore bundle says."""
        try:
            return self._bundle(what, decode_bundle(data).content)
        except IntegrityError as error:
            return Refusal(what, str(error))

    def payload(self, what: str, payload: bytes, signature: str) -> Signature | Refusal:
        """What a simple signing payload and its signature, in base64, say."""
        try:
            return Signature(what, signer_of_payload(payload, signature, self.subject, self.keys).id)
        except IntegrityError as error:
            return Refusal(what, str(error))

    def signed_document(self, signed: SignedStatement, document: bytes) -> SignedIndex | Refusal:
        """The index that a statement is about, if `document` is what was signed."""
        try:
            index = signed.statement.open(document)
            index.check_subject(self.subject, self.layers)
        except IntegrityError as error:
            return Refusal(signed.what, str(error))
        return SignedIndex(signed.what, signed.key_id, index)

    def document(self, what: str, document: bytes) -> UnsignedIndex | Refusal:
        """An index that nobody signed. That `document` is what its manifest describes was proven before."""
        try:
            index = ArtifactIndex.decode(document)
            index.check_subject(self.subject, self.layers)
        except IntegrityError as error:
            return Refusal(what, str(error))
        return UnsignedIndex(what, index)

    def _bundle(self, what: str, content: Envelope | MessageSignature) -> Signature | SignedStatement:
        message = self.manifest if isinstance(content, MessageSignature) else content.message
        key = who_signed(message, content.signature, self.keys)
        if key is None:
            raise IntegrityError("signed by a key that is not trusted here, or not signed at all")
        if isinstance(content, MessageSignature):
            return Signature(what, key.id)
        statement = decode_statement(content)
        if statement.predicate_type == COSIGN_SIGN_PREDICATE:
            if self.subject not in statement.subjects:
                raise IntegrityError("signature is of another artifact")
            return Signature(what, key.id)
        signed = IndexStatement.read(statement, self.subject)
        if signed.expires is not None and self.now >= signed.expires:
            raise IntegrityError(f"statement about a chunk index has expired (at {rfc3339(signed.expires)})")
        return SignedStatement(what, key.id, signed)
