"""The policy: what is believed about an artifact, in whose words, and when nothing is shown at all."""

from dataclasses import replace

import pytest

from mkfs.errors import IntegrityError
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference
from mkfs.proof.artifact_index import ArtifactIndex
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.proof.evidence import Refusal, Signature, SignedIndex, SignedStatement, UnsignedIndex
from mkfs.proof.policy import Policy, Rule, Trust, decide
from mkfs.proof.statement import IndexStatement
from tests.support.indexed import IndexedArtifact, sample
from tests.support.signing import key_pair

BY_TAG = Reference.parse("registry.example:5000/acme/model:v1")
KEY = key_pair().public
REGISTRY = Policy(trust_registry=True)
INDEX_REQUIRED = Policy((Rule("", (KEY,), require_index=True),))
SIGNATURE_REQUIRED = Policy((Rule("", (KEY,), verify_signature=True),))


@pytest.fixture(scope="module")
def artifact() -> IndexedArtifact:
    return sample()


def lying(artifact: IndexedArtifact) -> ArtifactIndex:
    """An index of the same artifact with another digest for the last chunk of its first layer."""
    first, *others = artifact.index.layers
    digests = first.digests[:-1] + bytes([first.digests[-1] ^ 1])
    options = {"compression": first.compression, "stored_bytes": first.stored_bytes}
    return ArtifactIndex(artifact.subject, [ChunkIndex(first.layer, first.grid, digests, first.table, **options), *others])


def believed(policy: Policy, artifact: IndexedArtifact, *evidence: object, reference: Reference = BY_TAG, **options: object) -> str:
    """In whose words the first layer is believed."""
    return decide(policy, reference, evidence, **options).words(artifact.described[0].digest)


def test_with_nothing_at_hand_a_layer_is_proven_by_its_digest(artifact: IndexedArtifact) -> None:
    verdict = decide(Policy(), BY_TAG, [])
    assert verdict.words(artifact.described[0].digest) == Trust.LAYER.value == "layer digest"
    assert verdict.of(artifact.described[0]) is None
    assert (verdict.signed_by, verdict.refused) == ((), ())


def test_what_was_made_here_is_believed(artifact: IndexedArtifact) -> None:
    verdict = decide(Policy(), BY_TAG, [], [artifact.layers[0].index])
    layer = verdict.of(artifact.described[0])
    assert layer is not None
    assert (layer.index, layer.trust, layer.words) == (artifact.layers[0].index, Trust.OWN, "own")
    assert verdict.of(artifact.described[1]) is None


def test_what_a_trusted_key_signed_is_believed(artifact: IndexedArtifact) -> None:
    verdict = decide(Policy(), BY_TAG, [SignedIndex("it", KEY.id, artifact.index)])
    for layer, compression in zip(artifact.described, ("", "", "gzip"), strict=True):
        trust = verdict.of(layer, compression)
        assert trust is not None
        assert (trust.trust, trust.words) == (Trust.SIGNED, f"signed by {KEY.id}")
    assert verdict.refused == ()


def test_what_nobody_signed_is_refused_unless_the_user_says_so(artifact: IndexedArtifact) -> None:
    unsigned = UnsignedIndex("sha256:it", artifact.index)
    verdict = decide(Policy(), BY_TAG, [unsigned])
    assert verdict.of(artifact.described[0]) is None
    [refusal] = verdict.refused
    assert refusal.what == "sha256:it"
    assert "--trust-index registry" in refusal.reason
    assert believed(REGISTRY, artifact, unsigned) == "registry's word"
    assert decide(REGISTRY, BY_TAG, [unsigned]).refused == ()


@pytest.mark.parametrize("reference", [BY_TAG.pinned(Digest.of(b"")), replace(BY_TAG, tag=None, digest=Digest.of(b""))], ids=str)
def test_the_registrys_word_is_not_asked_where_a_digest_was_named(artifact: IndexedArtifact, reference: Reference) -> None:
    unsigned = UnsignedIndex("it", artifact.index)
    verdict = decide(REGISTRY, reference, [unsigned])
    assert verdict.layers == {}
    assert "by digest" in verdict.refused[0].reason
    pinned_on_the_way = decide(REGISTRY, BY_TAG, [unsigned], pinned=True)
    assert pinned_on_the_way.layers == {}


def test_the_registrys_word_is_not_asked_where_the_artifact_must_be_signed(artifact: IndexedArtifact) -> None:
    policy = replace(SIGNATURE_REQUIRED, trust_registry=True)  # who may push cannot move this tag to what nobody signed
    verdict = decide(policy, BY_TAG, [Signature("signature", KEY.id), UnsignedIndex("it", artifact.index)])
    assert verdict.layers == {}
    assert "must be signed" in verdict.refused[0].reason


def test_the_registrys_word_counts_only_where_nobody_signed(artifact: IndexedArtifact) -> None:
    evidence = [UnsignedIndex("it", lying(artifact)), SignedIndex("signed", KEY.id, artifact.index)]
    verdict = decide(REGISTRY, BY_TAG, evidence)
    assert verdict.words(artifact.described[0].digest) == f"signed by {KEY.id}"
    assert verdict.refused == (Refusal("it", "nobody signed it, and a signed one is there"),)


def test_what_was_made_here_comes_before_what_was_signed(artifact: IndexedArtifact) -> None:
    signed = SignedIndex("it", KEY.id, artifact.index)
    assert believed(Policy(), artifact, signed, own=[artifact.layers[0].index]) == "own"


def test_of_two_without_names_the_first_is_taken(artifact: IndexedArtifact) -> None:
    raw = artifact.layers[1].index
    verdict = decide(Policy(), BY_TAG, [SignedIndex("it", KEY.id, artifact.index)], [raw])
    assert verdict.words(raw.layer) == "own"


def test_of_two_that_agree_the_one_with_names_is_taken(artifact: IndexedArtifact) -> None:
    tabled = artifact.layers[2].index
    bare = ChunkIndex(tabled.layer, tabled.grid, tabled.digests, None, compression="gzip", stored_bytes=tabled.stored_bytes)
    verdict = decide(Policy(), BY_TAG, [SignedIndex("it", KEY.id, artifact.index)], [bare])
    layer = verdict.of(artifact.described[2], "gzip")
    assert layer is not None
    assert (layer.index, layer.trust) == (tabled, Trust.SIGNED)


@pytest.mark.parametrize("pair", ["signed, signed", "own, signed", "registry, registry", "own, registry"])
def test_two_trusted_ones_that_disagree_are_an_error_that_names_layer_and_range(artifact: IndexedArtifact, pair: str) -> None:
    right, wrong = artifact.index, lying(artifact)
    own: list[ChunkIndex] = []
    evidence: list[SignedIndex | UnsignedIndex] = []
    for index, kind in zip((right, wrong), pair.split(", "), strict=True):
        match kind:
            case "own":
                own += index.layers
            case "signed":
                evidence.append(SignedIndex("it", KEY.id, index))
            case "registry":
                evidence.append(UnsignedIndex("it", index))
    first = right.layers[0]
    last = first.grid.chunk_range(first.grid.count - 1)
    with pytest.raises(IntegrityError, match=rf"disagree about bytes \[{last.start}, {last.stop}\)") as caught:
        decide(REGISTRY, BY_TAG, evidence, own)
    assert caught.value.where == f"layer {first.layer}"
    assert caught.value.exit_code == 13


def test_one_that_is_not_trusted_cannot_disagree(artifact: IndexedArtifact) -> None:
    evidence = [SignedIndex("it", KEY.id, artifact.index), UnsignedIndex("it", lying(artifact))]
    assert believed(Policy(), artifact, *evidence) == f"signed by {KEY.id}"


def test_a_third_one_cannot_hide_behind_one_without_names(artifact: IndexedArtifact) -> None:
    first = artifact.layers[2].index
    options = {"compression": "gzip", "stored_bytes": first.stored_bytes}
    bare = ChunkIndex(first.layer, first.grid, first.digests, None, **options)
    renamed = ChunkIndex(first.layer, first.grid, first.digests, first.table[:-1], **options)
    evidence = [SignedIndex("it", KEY.id, ArtifactIndex(artifact.subject, [index])) for index in (first, renamed)]
    with pytest.raises(IntegrityError, match="disagree about the entries"):
        decide(Policy(), BY_TAG, evidence, [bare])


def test_a_required_index_must_be_signed(artifact: IndexedArtifact) -> None:
    signed = SignedIndex("it", KEY.id, artifact.index)
    assert believed(INDEX_REQUIRED, artifact, signed) == f"signed by {KEY.id}"
    both = replace(INDEX_REQUIRED, trust_registry=True)
    statement = SignedStatement("it", KEY.id, IndexStatement.about(artifact.index, artifact.index.encode()))
    unsigned, signature = UnsignedIndex("it", artifact.index), Signature("it", KEY.id)
    for evidence in ([], [unsigned], [signature], [statement], [Refusal("it", "expired")]):
        with pytest.raises(IntegrityError, match="no chunk index signed by a key") as caught:
            decide(both, BY_TAG, evidence, artifact.index.layers)
        assert caught.value.exit_code == 13
        assert caught.value.where == str(BY_TAG)


def test_a_required_signature_must_be_of_the_artifact_itself(artifact: IndexedArtifact) -> None:
    signature = Signature("it", KEY.id)
    assert decide(SIGNATURE_REQUIRED, BY_TAG, [signature, signature]).signed_by == (KEY.id,)
    signed = SignedIndex("it", KEY.id, artifact.index)
    for evidence in ([], [signed], [Refusal("it", "of another artifact")]):
        with pytest.raises(IntegrityError, match="artifact is not signed") as caught:
            decide(SIGNATURE_REQUIRED, BY_TAG, evidence, artifact.index.layers)
        assert caught.value.exit_code == 13
        assert caught.value.where == str(BY_TAG)


@pytest.mark.parametrize("demand", [{"require_index": True}, {"verify_signature": True}], ids=str)
def test_what_is_demanded_of_one_repository_is_decided_by_its_name(demand: dict[str, bool]) -> None:
    policy = Policy((Rule(""), Rule("registry.example:5000/acme", (KEY,), **demand)))
    with pytest.raises(IntegrityError, match="by a key that is trusted"):
        decide(policy, BY_TAG, [])
    assert decide(policy, Reference.parse("registry.example:5000/other/model:v1"), []).layers == {}


def test_whoever_makes_the_index_is_asked_for_everything_but_an_index(artifact: IndexedArtifact) -> None:
    scoped = Rule("registry.example:5000/acme", (KEY,), require_index=True, verify_signature=True)
    policy = Policy((Rule("", require_index=True), scoped), trust_registry=True).without_index()
    assert policy == Policy((Rule(""), replace(scoped, require_index=False)), trust_registry=True)
    assert not any(rule.require_index is not False for rule in policy.rules)
    assert decide(policy, BY_TAG, [Signature("it", KEY.id)], artifact.index.layers).signed_by == (KEY.id,)
    with pytest.raises(IntegrityError, match="artifact is not signed"):
        decide(policy, BY_TAG, [])


def test_an_error_says_why_what_was_there_did_not_count() -> None:
    refused = [Refusal(f"sha256:{n}", f"reason {n}") for n in range(5)]
    with pytest.raises(IntegrityError) as caught:
        decide(SIGNATURE_REQUIRED, BY_TAG, refused)
    assert caught.value.hint == "refused: sha256:0: reason 0; sha256:1: reason 1; sha256:2: reason 2; and 2 more"
    with pytest.raises(IntegrityError) as caught:
        decide(SIGNATURE_REQUIRED, BY_TAG, refused[:3])
    assert caught.value.hint == "refused: sha256:0: reason 0; sha256:1: reason 1; sha256:2: reason 2"
    with pytest.raises(IntegrityError) as caught:
        decide(SIGNATURE_REQUIRED, BY_TAG, [])
    assert caught.value.hint == "nothing of the kind was found"
    assert len(caught.value.lines()) == 3


def test_a_signed_statement_whose_index_is_gone_is_named(artifact: IndexedArtifact) -> None:
    statement = SignedStatement("it", KEY.id, IndexStatement.about(artifact.index, artifact.index.encode()))
    verdict = decide(Policy(), BY_TAG, [statement])
    assert (verdict.layers, verdict.refused) == ({}, (Refusal("it", "the signed chunk index was not there"),))


@pytest.mark.parametrize("taken", ["signature", "index", "both"])
def test_taking_things_away_never_makes_more_believed(artifact: IndexedArtifact, taken: str) -> None:
    everything = {"signature": Signature("it", KEY.id), "index": SignedIndex("it", KEY.id, artifact.index)}
    rest = [piece for name, piece in everything.items() if taken not in (name, "both")]
    full, less = decide(REGISTRY, BY_TAG, everything.values()), decide(REGISTRY, BY_TAG, rest)
    assert less.layers.items() <= full.layers.items()
    assert set(less.signed_by) <= set(full.signed_by)


def test_a_trusted_index_that_contradicts_the_plan_is_an_error(artifact: IndexedArtifact) -> None:
    verdict = decide(Policy(), BY_TAG, [SignedIndex("it", KEY.id, artifact.index)])
    with pytest.raises(IntegrityError, match="another compression"):
        verdict.of(artifact.described[0], "gzip")
    with pytest.raises(IntegrityError, match="another size"):
        verdict.of(replace(artifact.described[0], size_bytes=1))


RULES = Policy(
    tuple(
        Rule(scope, require_index=True)
        for scope in (
            "",
            "registry.example:5000",
            "registry.example:5000/acme",
            "registry.example:5000/acme/model",
            "registry.example",
        )
    )
)


@pytest.mark.parametrize(
    ("reference", "scope"),
    [
        ("registry.example:5000/acme/model:v1", "registry.example:5000/acme/model"),
        ("registry.example:5000/acme/model/large:v1", "registry.example:5000/acme/model"),
        ("registry.example:5000/acme/models:v1", "registry.example:5000/acme"),
        ("registry.example:5000/acme-test/model:v1", "registry.example:5000"),
        ("registry.example:5000/other:v1", "registry.example:5000"),
        ("registry.example/acme/model:v1", "registry.example"),
        ("registry.example:50000/acme/model:v1", ""),
        ("elsewhere.example/registry.example/acme:v1", ""),
    ],
)
def test_the_longest_scope_that_covers_a_repository_rules(reference: str, scope: str) -> None:
    assert RULES.rule_for(Reference.parse(reference)).scope == scope


def test_where_no_rule_is_nothing_is_demanded() -> None:
    assert Policy(()).rule_for(BY_TAG) == Rule("")
    assert Policy((Rule("elsewhere.example", require_index=True),)).rule_for(BY_TAG) == Rule("")
