"""The report of a mount, from what its parts counted; and the page that has every field of it."""

import json
import re
from typing import get_args, get_type_hints

import msgspec
import pytest

from mkfs.proof.policy import Trust
from mkfs.service import report as values
from mkfs.service.report import Report
from mkfs.service.status import report_of
from mkfs.units import MIB
from tests.architecture.tree import ROOT
from tests.service.seen import layer, seen

PAGE = (ROOT / "docs" / "STATUS.md").read_text()


def mentioned(hint: object) -> list[object]:
    """A type, and all that it is made of."""
    return [hint, *(each for argument in get_args(hint) for each in mentioned(argument))]


def fields(kind: type, known: set[type]) -> set[str]:
    """The names of all fields below `kind`."""
    if kind in known:
        return set()
    known.add(kind)
    names = set()
    for name, hint in get_type_hints(kind).items():
        names.add(name)
        for each in mentioned(hint):
            if isinstance(each, type) and issubclass(each, msgspec.Struct):
                names |= fields(each, known)
    return names


def test_the_page_has_every_field() -> None:
    known: set[type] = set()
    names = fields(Report, known)
    ours = {each for each in vars(values).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)}
    assert known == ours - {msgspec.Struct}
    assert {name for name in names if f"`{name}`" not in PAGE} == set()


def test_a_report_goes_through_json_as_it_is() -> None:
    report = report_of(seen(layer("model w"), layer("docs", complete=True)))
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_times_are_rfc_3339_in_utc() -> None:
    told = json.loads(msgspec.json.encode(report_of(seen(layer("w")))))
    for time in (told["at"], told["mounted_at"], told["errors"][0]["last_at"], told["artifacts"][0]["tag"]["moved_at"]):
        assert re.fullmatch(r"2025-11-24T\d\d:\d\d:\d\d(\.\d+)?Z", time)


def test_amplification_is_what_was_fetched_for_what_was_wanted_and_served() -> None:
    moved = report_of(seen(layer("a"), layer("b"))).transfer
    assert (moved.fetched_bytes, moved.wanted_bytes, moved.served_bytes) == (8 * MIB, 4 * MIB, 8 * MIB)
    assert (moved.fetched_per_wanted, moved.fetched_per_served) == (2.0, 1.0)


def test_of_nothing_there_is_no_share() -> None:
    empty = seen()
    moved = report_of(msgspec.structs.replace(empty, file_system=empty.file_system.__class__(0, 0, 0, 0, 0, 0, 0))).transfer
    assert (moved.fetched_per_wanted, moved.fetched_per_served) == (None, None)


def test_the_cold_start_counts_all_layers() -> None:
    start = report_of(seen(layer("a"), layer("b"))).cold_start
    assert (start.wanted_bytes, start.guessed_bytes, start.wasted_bytes, start.fetched_bytes) == (
        4 * MIB,
        4 * MIB,
        2 * MIB,
        8 * MIB,
    )
    assert (start.slowest[0].start, start.slowest[0].stop, start.slowest[0].waited_for) == (5, 9, "another process")


@pytest.mark.parametrize(
    ("layers", "warm", "proven"),
    [
        ([], True, True),
        ([layer("a", complete=True), layer("b")], False, False),
        ([layer("a", complete=True, trust=Trust.SIGNED), layer("b", complete=True, trust=Trust.OWN)], True, False),
        ([layer("a", trust=Trust.OWN), layer("b", trust=Trust.OWN)], False, True),
        ([layer("a", trust=Trust.LAYER, provisional=True)], False, False),
        ([layer("a", complete=True, trust=Trust.REGISTRY)], True, False),
        ([layer("a", trust=Trust.DEFERRED)], False, False),
        ([layer("a", complete=True, trust=Trust.OWN)], True, True),
    ],
)
def test_warm_is_what_is_here_and_proven_what_rests_on_nobodys_word(layers: list, warm: bool, proven: bool) -> None:
    report = report_of(seen(*layers))
    assert (report.warm, report.proven) == (warm, proven)


def test_what_nobody_knows_is_null() -> None:
    unknown = seen(layer("a"), client=None, tuning=None)
    report = report_of(msgspec.structs.replace(unknown, cache=msgspec.structs.replace(unknown.cache, space=None)))
    assert (report.registry, report.kernel.max_background, report.cache.disk_free_bytes, report.cache.size_bytes) == (None,) * 4
    assert report.cache.disk_kept_free_bytes is None
