"""What `warmup` and `verify` say while they work, and at their end."""

import pytest

from mkfs.cli import verify
from mkfs.cli.layer_report import document as document_of
from mkfs.cli.layer_report import tell
from mkfs.cli.progress import Lines
from mkfs.cli.warmup import _summary
from mkfs.errors import Mismatch
from mkfs.oci.digest import Digest
from mkfs.proof.policy import Trust
from mkfs.service.layer_work import LayerOutcome, LayerResult, WorkReport
from mkfs.service.progress import Progress
from mkfs.units import GIB, MIB

CACHED = LayerResult("model a", Digest.of(b"a"), GIB, Trust.OWN, LayerOutcome.CACHED)
FETCHED = LayerResult("model b", Digest.of(b"b"), 2 * GIB, Trust.LAYER, LayerOutcome.FETCHED)
FAILED = LayerResult(
    "model c", Digest.of(b"c"), 4 * GIB, Trust.LAYER, LayerOutcome.FAILED, Mismatch("got x, expected y", "registry.test")
)
REFERENCE = "registry.test/team/llama:7b@sha256:" + "0" * 64


def test_a_line_says_how_much_is_there_and_how_fast_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.show(Progress(done_bytes=100 * MIB, size_bytes=GIB, done_layers=1, layers=3))
    lines.show(Progress(done_bytes=600 * MIB, size_bytes=GIB, done_layers=2, layers=3))
    lines.show(Progress(done_bytes=500 * MIB, size_bytes=GIB, done_layers=2, layers=3))  # a fetch that began anew
    lines.show(Progress(done_bytes=GIB, size_bytes=GIB, done_layers=3, layers=3))
    assert capsys.readouterr().err.splitlines() == [
        "100.0 MiB of 1.0 GiB, 1 of 3 layers, 10.0 MiB/s",
        "600.0 MiB of 1.0 GiB, 2 of 3 layers, 50.0 MiB/s",
        "500.0 MiB of 1.0 GiB, 2 of 3 layers, 0 B/s",
    ]


def test_the_summary_counts_what_is_there() -> None:
    done = WorkReport(REFERENCE, (CACHED, FETCHED), 80)
    assert _summary(done) == f"{REFERENCE}: 3.0 GiB in 2 layers in the cache, 2.0 GiB of it fetched in 1 min 20 s"
    part = WorkReport(REFERENCE, (CACHED, FAILED), 3)
    assert _summary(part) == f"{REFERENCE}: 1.0 GiB in 1 of 2 layers in the cache, 0 B of it fetched in 3.0 s"


def test_verify_says_what_was_proven_before() -> None:
    done = WorkReport(REFERENCE, (CACHED, FETCHED), 80)
    said = f"{REFERENCE}: 3.0 GiB in 2 layers are what their digests say, 1.0 GiB of it were proven before, in 1 min 20 s"
    assert verify._summary(done) == said


def test_the_document_names_each_layer_and_what_became_of_it() -> None:
    document = document_of(WorkReport(REFERENCE, (CACHED, FETCHED, FAILED), 1.23456))
    rows = document.pop("layers")
    assert document == {
        "schema_version": 1,
        "reference": REFERENCE,
        "size_bytes": 7 * GIB,
        "fetched_bytes": 2 * GIB,
        "seconds": 1.235,
        "warnings": [],
    }
    assert isinstance(rows, list)
    assert [(row["before"], row["outcome"], row["error"]) for row in rows] == [
        ("own", "cached", None),
        ("layer digest", "fetched", None),
        ("layer digest", "failed", "got x, expected y (registry.test)"),
    ]


def test_what_looks_wrong_is_said_beside_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    tell(WorkReport(REFERENCE, (CACHED,), 1, ("diff_ids are\nwrong",)), "all is well", "text")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("all is well\n", "warning: diff_ids are\\nwrong\n")
