"""Who refers to a manifest: found by the registry's own list or under the fallback tag, whatever either leaves out."""

import json

import pytest
from trio.testing import MockClock

from mkfs.errors import BadDocument, NotAuthorised, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.media_types import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST
from mkfs.oci.reference import Reference
from mkfs.oci.referrers import fallback_tag, signature_tag
from mkfs.registry import referrers
from mkfs.registry.repository import Repository
from mkfs.testing import faults
from mkfs.testing.access import Bearer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.tokens import TokenIssuer
from tests.support.attached import Attached
from tests.support.little_model import MANIFEST, MANIFEST_DIGEST

SUBJECT = Descriptor(OCI_MANIFEST, MANIFEST_DIGEST, len(MANIFEST))
TAG = fallback_tag(MANIFEST_DIGEST)
LIST = "/referrers/"
KIND = "application/vnd.test.document"


def attach(registry: MemoryRegistry, *attached: Attached, **told: object) -> None:
    """Puts them into the registry and, as their list, under the fallback tag; `told` replaces what entries say."""
    entries = []
    for each in attached:
        registry.push("team/model", None, each.manifest)
        found = each.descriptor
        entry = {"mediaType": found.media_type, "digest": str(found.digest), "size": found.size_bytes}
        entry |= {"artifactType": found.artifact_type, "annotations": dict(found.annotations), **told}
        entries.append({name: value for name, value in entry.items() if value is not None})
    registry.push("team/model", TAG, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode())


def several(count: int, **fields: str) -> list[Attached]:
    return [Attached(SUBJECT, annotations={"number": str(number)}, **fields) for number in range(count)]


def requests(registry: MemoryRegistry) -> list[tuple[str, int]]:
    """What was asked for, and the answers."""
    return [(served.path.rpartition("/model/")[2].partition("/")[0], served.status) for served in registry.log]


@pytest.mark.parametrize("api", [None, ReferrersApi(), ReferrersApi(page=1), ReferrersApi(filters=False)])
async def test_referrers_of_one_kind_are_found(registry: MemoryRegistry, repository: Repository, api: ReferrersApi | None) -> None:
    registry.referrers = api
    found = several(3)
    attach(registry, *found, Attached(SUBJECT, artifact_type="application/vnd.test.other"))
    told = await repository.referrers(MANIFEST_DIGEST, KIND)
    assert {*told} == {each.descriptor for each in found}
    assert sorted(each.annotations["number"] for each in told) == ["0", "1", "2"]
    assert len(await repository.referrers(MANIFEST_DIGEST)) == 4


@pytest.mark.parametrize("api", [None, ReferrersApi()])
async def test_a_manifest_nobody_refers_to_has_no_referrers(
    registry: MemoryRegistry, repository: Repository, api: ReferrersApi | None
) -> None:
    registry.referrers = api
    assert await repository.referrers(MANIFEST_DIGEST) == ()
    assert len(registry.log) == (1 if api else 2)


@pytest.mark.parametrize(
    "answer",
    [
        faults.Status(400),
        faults.Status(405),
        faults.Status(406),
        faults.Status(403),
        faults.Status(501),
        faults.Html200(),
        faults.WrongContentType("application/json"),
        faults.Redirect("https://github.com/404", 303),
    ],
    ids=["400", "405", "406", "403", "501", "a web page", "another type", "away, as at GHCR"],
)
async def test_a_registry_that_does_not_know_the_api_is_asked_for_the_tag(
    registry: MemoryRegistry, repository: Repository, answer: faults.Action
) -> None:
    registry.referrers = ReferrersApi()
    registry.faults.install(Fault(Match(path=LIST), answer))
    attach(registry, *several(1))
    registry.repositories["team/model"].manifests.pop(several(1)[0].descriptor.digest)
    assert [each.annotations for each in await repository.referrers(MANIFEST_DIGEST, KIND)] == [{"number": "0"}]
    assert registry.log.requests()[-1].path.endswith(TAG)


async def test_a_registry_that_stumbles_is_not_taken_for_one_without_the_api(
    registry: MemoryRegistry, repository: Repository, autojump_clock: MockClock
) -> None:
    registry.referrers = ReferrersApi()
    registry.push("team/model", None, several(1)[0].manifest)
    stumbling = registry.faults.install(Fault(Match(path=LIST), faults.Status(503), times=2))
    assert len(await repository.referrers(MANIFEST_DIGEST)) == 1
    registry.faults.mend(stumbling)
    registry.faults.install(Fault(Match(path=LIST), faults.Status(503)))
    with pytest.raises(Unreachable, match=f"cannot answer for referrers of {MANIFEST_DIGEST}"):
        await repository.referrers(MANIFEST_DIGEST)
    registry.faults.mend_all()
    registry.faults.install(Fault(Match(path=LIST), faults.Status(429)))
    with pytest.raises(Unreachable, match="too many requests"):
        await repository.referrers(MANIFEST_DIGEST)


async def test_whoever_may_not_read_is_told_so(registry: MemoryRegistry, repository: Repository) -> None:
    registry.access = Bearer(TokenIssuer({"ada": "pl4nted"}, realm="https://registry.test/token"))
    with pytest.raises(NotAuthorised):
        await repository.referrers(MANIFEST_DIGEST)


@pytest.mark.parametrize("told", [None, "", OCI_EMPTY], ids=["nothing", "an empty type", "the type of the config"])
async def test_where_the_list_does_not_say_what_an_entry_is_its_manifest_does(
    registry: MemoryRegistry, repository: Repository, told: str | None
) -> None:
    attach(
        registry, *several(2), Attached(SUBJECT, artifact_type="application/vnd.test.other"), artifactType=told, annotations=None
    )
    found = await repository.referrers(MANIFEST_DIGEST, KIND)
    assert found == tuple(each.descriptor for each in several(2))
    assert [each.annotations["number"] for each in found] == ["0", "1"]


async def test_so_it_is_where_the_registry_lists_the_type_of_the_config(registry: MemoryRegistry, repository: Repository) -> None:
    registry.referrers = ReferrersApi(filters=False, config_types=True)
    attach(registry, *several(2), Attached(SUBJECT, artifact_type="application/vnd.test.other"))
    assert {*(await repository.referrers(MANIFEST_DIGEST, KIND))} == {each.descriptor for each in several(2)}


async def test_an_entry_nobody_can_tell_about_is_left_out(registry: MemoryRegistry, repository: Repository) -> None:
    damaged, gone, fine = several(3)
    attach(registry, damaged, gone, fine, artifactType=None)
    del registry.repositories["team/model"].manifests[gone.descriptor.digest]
    registry.faults.install(Fault(Match(digest=damaged.descriptor.digest), faults.Flip(3)))
    assert await repository.referrers(MANIFEST_DIGEST, KIND) == (fine.descriptor,)


@pytest.mark.logs("registry.test lists 40 referrers that do not say what they are: going on with the first 32")
async def test_a_flood_of_entries_that_say_nothing_costs_a_bounded_number_of_requests(
    registry: MemoryRegistry, repository: Repository
) -> None:
    attach(registry, *several(40), artifactType=None)
    assert len(await repository.referrers(MANIFEST_DIGEST, KIND)) == referrers.LOOKUPS_LIMIT
    assert len(registry.log) == 2 + referrers.LOOKUPS_LIMIT


@pytest.mark.logs("registry.test lists 1010 referrers of .*: going on with the first 1000")
async def test_a_flood_of_entries_ends_somewhere(registry: MemoryRegistry, repository: Repository) -> None:
    attach(registry, *several(1010))
    assert len(await repository.referrers(MANIFEST_DIGEST)) == referrers.REFERRERS_LIMIT


@pytest.mark.logs("registry.test lists referrers of .* on more than 16 pages: going on with those")
async def test_a_list_without_end_is_left(registry: MemoryRegistry, repository: Repository) -> None:
    registry.referrers = ReferrersApi(page=1)
    for each in several(referrers.PAGES_LIMIT + 2):
        registry.push("team/model", None, each.manifest)
    assert len(await repository.referrers(MANIFEST_DIGEST)) == referrers.PAGES_LIMIT
    assert requests(registry) == [("referrers", 200)] * referrers.PAGES_LIMIT


async def test_an_entry_that_is_listed_twice_counts_once(registry: MemoryRegistry, repository: Repository) -> None:
    (attached,) = several(1)
    attach(registry, attached, attached)
    assert await repository.referrers(MANIFEST_DIGEST) == (attached.descriptor,)


async def test_a_list_that_breaks_off_is_what_came_of_it(registry: MemoryRegistry, repository: Repository) -> None:
    registry.referrers = ReferrersApi(page=1)
    attach(registry, *several(2))
    registry.faults.install(Fault(Match(path=LIST, nth=2), faults.Status(404)))
    assert len(await repository.referrers(MANIFEST_DIGEST)) == 1
    assert requests(registry) == [("referrers", 200), ("referrers", 404)]


@pytest.mark.logs("registry.test continues its list elsewhere: not followed")
@pytest.mark.parametrize("link", ["https://storage.test/v2/more", "http://registry.test/v2/more", "ftp://x", "https://a b/"])
async def test_a_list_that_goes_on_elsewhere_is_not_followed(
    registry: MemoryRegistry, storage: MemoryRegistry, repository: Repository, link: str
) -> None:
    entry = {"mediaType": OCI_MANIFEST, "digest": str(MANIFEST_DIGEST), "size": 1, "artifactType": KIND}
    page = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    headers = {"Content-Type": OCI_INDEX, "Link": f'<{link}>; rel="next"'}
    registry.faults.install(Fault(Match(path=LIST), faults.Status(200, headers, page)))
    assert [each.digest for each in await repository.referrers(MANIFEST_DIGEST)] == [MANIFEST_DIGEST]
    assert not storage.log


async def test_a_list_that_makes_no_sense_is_told(registry: MemoryRegistry, repository: Repository) -> None:
    registry.push("team/model", TAG, several(1)[0].manifest)
    with pytest.raises(BadDocument, match="a manifest stands where a list of referrers should be"):
        await repository.referrers(MANIFEST_DIGEST)
    registry.faults.install(Fault(Match(path=LIST), faults.Status(200, {"Content-Type": OCI_INDEX}, b"[]")))
    with pytest.raises(BadDocument, match="not a JSON object"):
        await repository.referrers(MANIFEST_DIGEST)


async def test_a_list_that_would_fill_the_memory_is_cut_off(registry: MemoryRegistry, repository: Repository) -> None:
    huge = b'{"manifests":[]' + b" " * (5 << 20) + b"}"
    registry.faults.install(Fault(Match(path=LIST), faults.Status(200, {"Content-Type": OCI_INDEX}, huge)))
    with pytest.raises(BadDocument, match="at most 4194304 bytes"):
        await repository.referrers(MANIFEST_DIGEST)


async def test_an_artifact_type_is_asked_for_whatever_it_holds(registry: MemoryRegistry, repository: Repository) -> None:
    registry.referrers = ReferrersApi()
    kind = "application/x+json; a=b&c=d"
    registry.push("team/model", None, Attached(SUBJECT, artifact_type=kind).manifest)
    assert [each.artifact_type for each in await repository.referrers(MANIFEST_DIGEST, kind)] == [kind]


async def test_signatures_from_before_there_were_referrers_are_found_by_their_tag(
    registry: MemoryRegistry, repository: Repository
) -> None:
    signature = several(1)[0].manifest
    registry.push("team/model", f"sha256-{MANIFEST_DIGEST.hex}.sig", signature)
    reference = Reference(repository.registry, repository.name, signature_tag(MANIFEST_DIGEST))
    assert (await repository.resolve(reference)).digest == Digest.of(signature)
