"""What an artifact says of its uncompressed layers is compared with what they are; nothing rests on it."""

from mkfs.formats.diff_ids import differing
from mkfs.formats.plan import PlannedLayer, TarLayer
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from tests.support import golden
from tests.support.planning import plan_golden
from tests.support.unpacking import uncompressed

A, B, C = (Digest.of(each) for each in (b"a", b"b", b"c"))


def planned(name: str, diff_id: Digest | None) -> PlannedLayer:
    return PlannedLayer(Descriptor("", A, 1), TarLayer(), "docs", name, diff_id=diff_id)


def test_what_agrees_what_is_silent_and_what_nobody_saw_is_not_worth_a_word() -> None:
    assert differing([], []) == ()
    assert differing([planned("x", A), planned("y", None), planned("z", A)], [A, B, None]) == ()


def test_one_line_names_the_first_that_differs_and_counts_the_others() -> None:
    (line,) = differing([planned("x", A), planned("y", A), planned("z\n", A), planned("w", A)], [A, B, C, None])
    assert line.startswith("diff_ids are wrong, for 2 of 3 layers that were compared: docs y is ")
    assert str(B) in line
    assert str(A) in line
    assert "\n" not in line


def test_digests_of_another_kind_are_not_compared() -> None:
    assert differing([planned("x", A)], [Digest("sha512", "0" * 128)]) == ()


def test_kit_writes_wrong_ones_into_every_modelpack() -> None:
    packs = [name for name in golden.names("kit-1.11-", "-modelpack") if "-bare-" not in name]  # that one has no layers
    assert len(packs) == 7
    for name in packs:
        layers = plan_golden(name).layers
        (line,) = differing(layers, [layer.descriptor.digest for layer in layers])  # none of them is compressed
        assert line.startswith(f"diff_ids are wrong, for {len(layers)} of {len(layers)} layers that were compared: model ")


def test_kit_writes_right_ones_into_its_own_kits() -> None:
    compared = 0
    for name in (*golden.names("kit-", "-tar"), *golden.names("kit-", "-gzip")):
        layers = plan_golden(name).layers if "-child-" not in name else ()
        seen = [Digest.of(uncompressed(layer, golden.blob(str(layer.descriptor.digest)))) for layer in layers]
        assert differing(layers, seen) == ()
        compared += len([layer for layer in layers if layer.diff_id is not None])
    assert compared > 40
