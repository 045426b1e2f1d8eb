"""The pure choice: what goes first, and how much has to."""

import pytest

from mkfs.cache.eviction import Disk, Item, Kind, Lack, Limits, Wish, complaint, in_order, too_small
from mkfs.oci.digest import Digest
from mkfs.units import GIB, MIB

UNCOUNTED = Disk(0, 0, 0, 0)


def item(kind: Kind, used_ns: int, size_bytes: int = MIB) -> Item:
    return Item(kind, Digest.of(f"{kind}{used_ns}".encode()), size_bytes, 2, used_ns)


def test_bytes_go_before_documents_and_indexes_last_each_by_when_it_was_used() -> None:
    items = [
        item(Kind.INDEX, 1),
        item(Kind.DOCUMENT, 1),
        item(Kind.LAYER, 9),
        item(Kind.PARTIAL, 5),
        item(Kind.LAYER, 2),
        item(Kind.DOCUMENT, 0),
        item(Kind.INDEX, 0),
    ]
    assert [(each.kind, each.used_ns) for each in in_order(items)] == [
        (Kind.LAYER, 2),
        (Kind.PARTIAL, 5),
        (Kind.LAYER, 9),
        (Kind.DOCUMENT, 0),
        (Kind.DOCUMENT, 1),
        (Kind.INDEX, 0),
        (Kind.INDEX, 1),
    ]


@pytest.mark.parametrize(
    ("limits", "disk", "used", "wish", "lack"),
    [
        (Limits(0.1), Disk(100, 30, 0, 0), 0, Wish(20, 5), (0, 0)),
        (Limits(0.1), Disk(100, 30, 0, 0), 0, Wish(21, 5), (1, 0)),
        (Limits(0, 15), Disk(100, 30, 0, 0), 0, Wish(20, 5), (5, 0)),
        (Limits(0.2, 15), Disk(100, 30, 0, 0), 0, Wish(20, 5), (10, 0)),
        (Limits(0.5), Disk(0, 0, 10, 7), 0, Wish(20, 3), (0, 1)),
        (Limits(0, 0), Disk(0, 0, 10, 7), 0, Wish(20, 7), (0, 0)),
        (Limits(0, 15), Disk(0, 0, 10, 7), 0, Wish(20, 7), (0, 1)),  # bytes only: then a tenth of the inodes
        (Limits(0, 0, GIB), UNCOUNTED, GIB - 5 * 4096, Wish(4096, 4), (0, 0)),
        (Limits(0, 0, GIB), UNCOUNTED, GIB - 5 * 4096, Wish(4096, 5), (4096, 0)),
        (Limits(0, 0, 50), Disk(100, 30, 0, 0), 45, Wish(40, 0), (35, 0)),
        (Limits(0.9, 0), UNCOUNTED, GIB, Wish(GIB, 100), (0, 0)),
    ],
)
def test_what_is_lacking_is_what_the_strictest_limit_says(limits, disk, used, wish, lack) -> None:
    found = Lack.of(limits, disk, used, wish)
    assert (max(found.size_bytes, 0), max(found.inodes, 0)) == lack
    assert found.met is (lack == (0, 0))


def test_what_goes_is_counted_down_in_bytes_and_inodes() -> None:
    lack = Lack(MIB + 1, 2).without(item(Kind.LAYER, 0))
    assert lack == Lack(1, 0)
    assert not lack.met
    assert lack.without(item(Kind.LAYER, 0)).met


def test_the_complaint_names_the_limit_that_is_in_the_way() -> None:
    full = Disk(100 * MIB, 12 * MIB, 1000, 101)
    assert complaint(Limits(0.1), full, 0, Wish(3 * MIB, 1)) == (
        "no room in the cache: 3.0 MiB needed, 12.0 MiB free, of which 10.0 MiB stay free"
    )
    assert "2 inodes needed, 101 free, of which 100 stay free" in complaint(Limits(0.1), full, 0, Wish(0, 2))
    assert "5.0 MiB of 6.0 MiB used" in complaint(Limits(0.1, 0, 6 * MIB), full, 5 * MIB, Wish(MIB, 1))


def test_limits_and_disks_that_leave_no_room_for_anything_are_told() -> None:
    roomy = Disk(GIB, GIB, 1000, 1000)
    assert too_small(Limits(0.1, 0, 2 * MIB), roomy) == ""
    assert too_small(Limits(), UNCOUNTED) == ""
    assert "it may occupy 2.0 MiB" in too_small(Limits(0.1, 0, 2 * MIB - 1), roomy)
    assert too_small(Limits(0, GIB - 2 * MIB), roomy) == ""
    assert "1.0 GiB, of which 1022.0 MiB stay free" in too_small(Limits(0, GIB - 2 * MIB + 1), roomy)
    assert too_small(Limits(0), Disk(0, 0, 32, 0)) == ""
    assert "31 inodes" in too_small(Limits(0), Disk(0, 0, 31, 31))
    assert "40 inodes" in too_small(Limits(0.5), Disk(0, 0, 40, 40))


@pytest.mark.parametrize("words", [(1.0,), (-0.1,), (0.1, -1), (0.1, 0, -1)])
def test_limits_that_cannot_be_kept_are_refused(words) -> None:
    with pytest.raises(ValueError, match="not a s"):
        Limits(*words)
