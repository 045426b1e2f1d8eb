"""What hangs on an artifact and may vouch for it: looked for, fetched and examined.

What is found is a hint until `proof.evidence` has examined it; what is missing, damaged or cannot be had counts as a refusal with
its reason. So taking something away never makes anything weaker: at most slower, or, where the policy requires it, an error.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final, final

from mkfs.content.source import Source
from mkfs.content.together import all_done
from mkfs.errors import MkfsError, NotFound
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.manifest import Manifest
from mkfs.oci.media_types import CHUNK_INDEX_ARTIFACT, SIGSTORE_BUNDLE
from mkfs.oci.referrers import signature_tag
from mkfs.proof.artifact_index import DOCUMENT_LIMIT_BYTES
from mkfs.proof.cosign import read_signatures
from mkfs.proof.evidence import Evidence, Examiner, Refusal, Signature, SignedIndex, SignedStatement
from mkfs.proof.policy import Rule
from mkfs.proof.referrers import may_help, read_bundle_referrer, read_index_referrer
from mkfs.registry.manifests import ResolvedManifest

# Of each kind. A real artifact has a few; whoever may push can add any number, and each costs two requests.
PIECES_LIMIT: Final = 32


async def search(
    source: Source, rule: Rule, resolved: ResolvedManifest, manifest: Manifest, *, asks_registry: bool
) -> list[Evidence]:
    """All that `rule` could make use of, examined, about the artifact whose manifest is `resolved`; with `asks_registry` also what
    nobody signed.
    """
    searching = _Search(source, Examiner(resolved.digest, resolved.data, manifest.layers, rule.keys, datetime.now(UTC)))
    found = await searching.bundles() if rule.keys else []
    if asks_registry and not any(isinstance(piece, SignedIndex) for piece in found):
        found += await searching.indexes()
    if rule.verify_signature and not any(isinstance(piece, Signature) for piece in found):
        found += await searching.legacy_signatures()
    return [*found, *searching.refused]


@final
class _Search:
    """Fetches the pieces of one artifact. `refused`: what was no piece at all."""

    def __init__(self, source: Source, examiner: Examiner) -> None:
        self._source, self._examiner = source, examiner
        self._listed: tuple[Descriptor, ...] | None = None
        self.refused: list[Refusal] = []

    async def bundles(self) -> list[Evidence]:
        """Signatures, and the chunk indexes that signed statements name."""
        bundles = [each for each in await self._list() if each.artifact_type == SIGSTORE_BUNDLE and may_help(each)]
        found = await self._each(bundles, self._bundle)
        statements = [piece for piece in found if isinstance(piece, SignedStatement)]
        rest: list[Evidence] = [piece for piece in found if not isinstance(piece, SignedStatement)]
        documents: dict[Descriptor, bytes] = {}

        async def fetch(document: Descriptor) -> None:
            try:
                documents[document] = await self._source.document(document, DOCUMENT_LIMIT_BYTES)
            except MkfsError as error:
                self.refused.append(Refusal(str(document.digest), str(error)))

        await all_done(partial(fetch, document) for document in {piece.statement.index: None for piece in statements})
        for piece in statements:
            document = documents.get(piece.statement.index)
            rest.append(piece if document is None else self._examiner.signed_document(piece, document))
        return rest

    async def indexes(self) -> list[Evidence]:
        """Chunk indexes that nobody signed."""
        return await self._each([each for each in await self._list() if each.artifact_type == CHUNK_INDEX_ARTIFACT], self._index)

    async def legacy_signatures(self) -> list[Evidence]:
        """Signatures as cosign made them before there were referrers."""
        tag = signature_tag(self._examiner.subject)
        try:
            manifest = await self._source.tagged(tag)
            found: list[Evidence] = []
            for each in read_signatures(manifest):
                payload = await self._source.document(each.payload)
                found.append(self._examiner.payload(tag, payload, each.signature))
        except NotFound:
            return []
        except MkfsError as error:
            return [Refusal(tag, str(error))]
        return found

    async def _list(self) -> tuple[Descriptor, ...]:
        if self._listed is None:
            try:
                self._listed = await self._source.referrers(self._examiner.subject)
            except MkfsError as error:
                self._listed = ()
                self.refused.append(Refusal("the list of referrers", str(error)))
        return self._listed

    async def _each(self, listed: list[Descriptor], read: Callable[[Descriptor], Awaitable[Evidence]]) -> list[Evidence]:
        """The pieces that `listed` name, in that order, all read at once."""
        self.refused += [Refusal(str(each.digest), f"only {PIECES_LIMIT} of a kind are read") for each in listed[PIECES_LIMIT:]]
        found: dict[Descriptor, Evidence] = {}

        async def one(listed: Descriptor) -> None:
            try:
                found[listed] = await read(listed)
            except MkfsError as error:
                found[listed] = Refusal(str(listed.digest), str(error))

        await all_done(partial(one, each) for each in listed[:PIECES_LIMIT])
        return _in_order(listed, found)

    async def _bundle(self, listed: Descriptor) -> Evidence:
        blob = read_bundle_referrer(await self._source.manifest(listed), self._examiner.subject)
        return self._examiner.bundle(str(listed.digest), await self._source.document(blob))

    async def _index(self, listed: Descriptor) -> Evidence:
        blob = read_index_referrer(await self._source.manifest(listed), self._examiner.subject)
        return self._examiner.document(str(listed.digest), await self._source.document(blob, DOCUMENT_LIMIT_BYTES))


def _in_order(listed: Iterable[Descriptor], found: dict[Descriptor, Evidence]) -> list[Evidence]:
    return [found[each] for each in listed if each in found]
