"""Every fault, as a client sees it, over sockets and in memory alike."""

import gzip

import pytest

from mkfs.testing import faults
from mkfs.testing.answers import Cut, Hold, Request
from mkfs.testing.faults import Fault, Match
from mkfs.testing.registry import MemoryRegistry
from tests.support.carriers import Ask, Carrier, Seen
from tests.support.little_model import BLOB, BLOB_PATH, DATA, MANIFEST, MANIFEST_PATH

START, STOP = 1000, 90_000
RANGED = Ask(BLOB_PATH, headers={"Range": f"bytes={START}-{STOP - 1}"})
RIGHT = DATA[START:STOP]


def with_fault(registry: MemoryRegistry, carrier: Carrier, action: faults.Action, ask: Ask = RANGED) -> Seen:
    """The answer with the fault; and that the right one comes once it is mended."""
    fault = registry.faults.install(Fault(Match(path="/v2/"), action))
    seen = carrier.fetch(ask)
    registry.faults.mend(fault)
    mended = carrier.fetch(ask)
    assert (mended.status, mended.ended) in {(206, "complete"), (200, "complete")}
    assert bytes(mended.body) in {RIGHT, MANIFEST}
    return seen


def test_without_a_fault_the_range_comes_whole(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = carrier.fetch(RANGED)
    assert (seen.status, seen.body, seen.ended) == (206, RIGHT, "complete")
    assert seen.headers["content-range"] == f"bytes {START}-{STOP - 1}/{len(DATA)}"
    assert registry.bytes_sent(BLOB) == len(RIGHT)


def test_status(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.Status(429, {"Retry-After": "7"}, b"slow down"))
    assert (seen.status, seen.headers["retry-after"], seen.body) == (429, "7", b"slow down")
    assert registry.log.requests(BLOB)[0].status == 429
    assert registry.bytes_sent(BLOB) == len(RIGHT)  # an error's body is no content


def test_ignore_range(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.IgnoreRange())
    assert (seen.status, seen.body) == (200, DATA)
    assert "content-range" not in seen.headers


def test_wrong_content_range(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.WrongContentRange())
    assert (seen.status, seen.body) == (206, RIGHT)
    assert seen.headers["content-range"] == f"bytes {START + 1}-{STOP}/{len(DATA)}"
    assert with_fault(registry, carrier, faults.WrongContentRange("0-1/2")).headers["content-range"] == "0-1/2"


def test_missing_content_range(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.MissingContentRange())
    assert (seen.status, seen.body, "content-range" in seen.headers) == (206, RIGHT, False)


@pytest.mark.parametrize("size_bytes", [0, 10, 70_000])
def test_short_body(registry: MemoryRegistry, carrier: Carrier, size_bytes: int) -> None:
    seen = with_fault(registry, carrier, faults.ShortBody(size_bytes))
    assert (seen.status, seen.body, seen.ended) == (206, RIGHT[:size_bytes], "cut short")
    assert seen.headers["content-length"] == str(len(RIGHT))
    assert registry.requests(BLOB)[0].sent_bytes == size_bytes


def test_short_body_that_says_so(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.ShortBody(10, honest=True))
    assert (seen.body, seen.ended, seen.headers["content-length"]) == (RIGHT[:10], "complete", "10")


def test_short_body_of_unannounced_length_looks_complete(registry: MemoryRegistry, carrier: Carrier) -> None:
    registry.faults.install(Fault(Match(), faults.NoContentLength()))
    seen = with_fault(registry, carrier, faults.ShortBody(10))
    assert (seen.body, seen.ended) == (RIGHT[:10], "complete")


def test_long_body(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.LongBody(extra_bytes=3))
    assert (seen.body, seen.ended) == (DATA[START : STOP + 3], "complete")
    whole = with_fault(registry, carrier, faults.LongBody(extra_bytes=3), Ask(MANIFEST_PATH))
    assert whole.body == MANIFEST + bytes(3)


def test_no_content_length(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.NoContentLength())
    assert (seen.body, seen.ended, "content-length" in seen.headers) == (RIGHT, "complete", False)


def test_flip(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.Flip(START + 5))
    assert [index for index, (got, right) in enumerate(zip(seen.body, RIGHT, strict=True)) if got != right] == [5]
    assert seen.body[5] ^ RIGHT[5] == 1
    for outside in (START - 1, STOP):
        assert with_fault(registry, carrier, faults.Flip(outside)).body == RIGHT
    assert with_fault(registry, carrier, faults.Flip(0), Ask(MANIFEST_PATH)).body == b"z" + MANIFEST[1:]


@pytest.mark.parametrize("after_bytes", [None, 0, 10])
def test_reset(registry: MemoryRegistry, carrier: Carrier, after_bytes: int | None) -> None:
    seen = with_fault(registry, carrier, faults.Reset(after_bytes))
    assert seen.ended == "reset"
    assert RIGHT[: after_bytes or 0].startswith(seen.body)  # a reset may overtake bytes and even the head


def test_nothing_comes_after_a_cut(registry: MemoryRegistry) -> None:
    registry.faults.install(Fault(Match(), faults.ShortBody(10)))
    registry.faults.install(Fault(Match(), faults.Stall(20)))
    assert list(registry.respond(Request("GET", BLOB_PATH)).items()) == [DATA[:10], Cut(reset=False)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_no_longer_than_a_stall_lets_pass_is_not_held_up(registry: MemoryRegistry, method: str) -> None:
    """Else its connection would be, after the last byte, and with it whatever is asked for there next."""
    registry.faults.install(Fault(Match(), faults.Stall(len(DATA))))
    assert list(registry.respond(Request(method, BLOB_PATH)).items()) == ([DATA] if method == "GET" else [])


def test_a_body_with_one_byte_more_is(registry: MemoryRegistry) -> None:
    registry.faults.install(Fault(Match(), faults.Stall(len(DATA) - 1)))
    assert [type(item) for item in registry.respond(Request("GET", BLOB_PATH)).items()] == [bytes, Hold, bytes]


def test_redirect(registry: MemoryRegistry, carrier: Carrier) -> None:
    away = faults.Redirect("http://storage.test:81/storage/{digest}?signature=s3cr3t", 302)
    seen = with_fault(registry, carrier, away)
    assert (seen.status, seen.headers["location"]) == (302, f"http://storage.test:81/storage/{BLOB}?signature=s3cr3t")
    registry.faults.install(Fault(Match(), away))
    assert "s3cr3t" not in repr((away, list(registry.log), registry.respond(Request("GET", BLOB_PATH))))


def test_redirect_to_the_storage_of_the_same_registry(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.Redirect("/storage/{digest}"))
    assert seen.status == 307
    followed = carrier.fetch(Ask(seen.headers["location"], headers=RANGED.headers))
    assert (followed.status, followed.body) == (206, RIGHT)


def test_encoded(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.Encoded())
    assert (seen.headers["content-encoding"], gzip.decompress(seen.body)) == ("gzip", RIGHT)


def test_html_200(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.Html200())
    assert (seen.status, seen.headers["content-type"].partition(";")[0]) == (200, "text/html")
    assert seen.body.startswith(b"<!doctype html>")


def test_wrong_digest_header(registry: MemoryRegistry, carrier: Carrier) -> None:
    right = carrier.fetch(Ask(MANIFEST_PATH)).headers["docker-content-digest"]
    seen = with_fault(registry, carrier, faults.WrongDigestHeader(), Ask(MANIFEST_PATH))
    assert (seen.status, seen.body) == (200, MANIFEST)
    assert seen.headers["docker-content-digest"] != right


def test_wrong_content_type(registry: MemoryRegistry, carrier: Carrier) -> None:
    seen = with_fault(registry, carrier, faults.WrongContentType("text/plain"), Ask(MANIFEST_PATH))
    assert (seen.headers["content-type"], seen.body) == ("text/plain", MANIFEST)


def test_a_trickle_brings_everything_in_the_end(registry: MemoryRegistry, carrier: Carrier) -> None:
    assert with_fault(registry, carrier, faults.Slow(bytes_per_second=2_000_000)).body == RIGHT


@pytest.mark.parametrize(
    ("match", "statuses"),
    [
        (Match(), [500, 500, 500]),
        (Match(method="HEAD"), [206, 206, 206]),
        (Match(path=r"/blobs/"), [500, 500, 500]),
        (Match(path=r"^/token$"), [206, 206, 206]),
        (Match(digest=BLOB, nth=3), [206, 206, 500]),
        (Match(offset=START), [500, 500, 500]),
        (Match(offset=STOP), [206, 206, 206]),
    ],
    ids=str,
)
def test_a_fault_hits_only_what_it_matches(registry: MemoryRegistry, carrier: Carrier, match: Match, statuses: list[int]) -> None:
    registry.faults.install(Fault(match, faults.Status(500)))
    assert [carrier.fetch(RANGED).status for _ in statuses] == statuses


def test_a_fault_is_over_after_its_times(registry: MemoryRegistry, carrier: Carrier) -> None:
    registry.faults.install(Fault(Match(nth=2), faults.Status(500), times=1))
    assert [carrier.fetch(RANGED).status for _ in range(3)] == [206, 500, 206]


def test_faults_add_up_and_are_mended_together(registry: MemoryRegistry, carrier: Carrier) -> None:
    registry.faults.install(Fault(Match(), faults.IgnoreRange()))
    registry.faults.install(Fault(Match(), faults.ShortBody(10)))
    seen = carrier.fetch(RANGED)
    assert (seen.status, seen.body, seen.ended) == (200, DATA[:10], "cut short")
    registry.faults.mend_all()
    assert carrier.fetch(RANGED).body == RIGHT
