"""Which artifact of an index is meant: by label, as kit chooses, or by platform, as for images."""

import pytest

from mkfs.errors import BadDocument, Unsupported, UsageError
from mkfs.formats.selection import architecture_of, choose, parse_labels
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Index
from mkfs.oci.media_types import KITOPS_INDEX, OCI_INDEX, OCI_MANIFEST

Entry = dict[str, object]


def entry(name: str, labels: Entry | None = None, platform: Entry | None = None, tag: str = "") -> Descriptor:
    others = {key: value for key, value in (("modelMetadata", labels), ("platform", platform)) if value is not None}
    annotations = {"ml.kitops.modelkit.original-tag": tag} if tag else {}
    return Descriptor(OCI_MANIFEST, Digest.of(name.encode()), len(name), annotations, others=others)


def chosen(*entries: Descriptor, select: tuple[str, ...] = (), architecture: str = "amd64") -> Descriptor:
    return choose(Index(OCI_INDEX, KITOPS_INDEX, entries), parse_labels(select), architecture)


Q4 = entry("q4", {"quantization": "q4_0", "totalParameters": 7_000_000_000, "gpu": ["cuda", "metal"]}, tag="v1-q4")
Q8 = entry("q8", {"quantization": "q8_0", "totalParameters": 7_000_000_000})
AMD, ARM = (entry(name, platform={"os": "linux", "architecture": name}) for name in ("amd64", "arm64"))
ATTESTATION = entry("attestation", platform={"os": "unknown", "architecture": "unknown"})


@pytest.mark.parametrize(
    "select",
    [("quantization=q4_0",), ('gpu=["cuda","metal"]',), ("totalParameters=7000000000", "quantization=q4_0")],
)
def test_the_one_with_all_labels_is_meant(select: tuple[str, ...]) -> None:
    assert chosen(Q4, Q8, select=select) is Q4


def test_the_only_one_needs_no_label() -> None:
    assert chosen(Q4) is Q4
    assert chosen(Q4, entry("q4", {"other": "labels"})) is Q4  # the same artifact twice


def test_images_come_for_each_platform_and_this_machines_is_taken() -> None:
    assert chosen(ARM, AMD, ATTESTATION) is AMD
    assert chosen(ARM, AMD, ATTESTATION, architecture="arm64") is ARM
    assert chosen(ARM, AMD, select=("architecture=arm64",)) is ARM
    assert chosen(ARM, ATTESTATION) is ARM  # whose bytes are the same anyway
    assert chosen(entry("w", platform={"os": "windows", "architecture": "amd64"}), AMD) is AMD


def test_labels_come_before_the_platform() -> None:
    small, large = (entry(size, {"size": size}, {"os": "linux", "architecture": "amd64"}) for size in ("small", "large"))
    assert chosen(small, large, select=("size=large",)) is large


@pytest.mark.parametrize(
    ("entries", "select", "what"),
    [
        ((Q4, Q8), (), "this is an index of 2 artifacts"),
        ((Q4, Q8), ("quantization=q2",), "none of the 2 artifacts in this index have quantization=q2"),
        ((Q4, Q8), ("totalParameters=7000000000",), "2 of the 2 artifacts in this index have totalParameters=7000000000"),
        ((Q4,), ("quantization=q2",), "none of the 1"),
        ((AMD, ARM), ("architecture=s390x",), "none of the 2"),
    ],
)
def test_where_none_or_several_are_meant_there_is_a_list_to_choose_from(
    entries: tuple[Descriptor, ...], select: tuple[str, ...], what: str
) -> None:
    with pytest.raises(Unsupported) as caught:
        chosen(*entries, select=select)
    assert caught.value.what.startswith(what)
    assert "--select KEY=VALUE" in caught.value.hint
    assert len(caught.value.lines()) == 3
    for each in entries:
        assert (each.annotations.get("ml.kitops.modelkit.original-tag") or str(each.digest)) in caught.value.where


def test_the_list_shows_tags_labels_and_platforms() -> None:
    with pytest.raises(Unsupported) as caught:
        chosen(Q4, Q8, AMD, entry("bare"), select=("quantization=q2",))
    assert caught.value.where == (
        'v1-q4 (gpu=["cuda","metal"], quantization=q4_0, totalParameters=7000000000); '
        f"{Q8.digest} (quantization=q8_0, totalParameters=7000000000); "
        f"{AMD.digest} (architecture=amd64, os=linux); {entry('bare').digest} (no labels)"
    )


def test_a_long_list_ends_somewhere_and_a_strangers_words_stay_on_their_line() -> None:
    entries = [entry(f"{number}", {"n": f"a\n{number}"}) for number in range(50)]
    with pytest.raises(Unsupported) as caught:
        chosen(*entries)
    assert caught.value.where.endswith("; …")
    assert caught.value.where.count("sha256:") == 12
    assert "\n" not in caught.value.where


def test_an_index_of_nothing_is_refused() -> None:
    with pytest.raises(Unsupported, match="holds no artifacts"):
        chosen()


@pytest.mark.parametrize(
    "wrong", [Descriptor(OCI_MANIFEST, Digest.of(b""), 0, others={key: []}) for key in ("modelMetadata", "platform")]
)
def test_wrong_types_are_refused_by_name(wrong: Descriptor) -> None:
    with pytest.raises(BadDocument, match=rf"manifests\[1\]\.{next(iter(wrong.others))} is a list"):
        chosen(Q4, wrong)


@pytest.mark.parametrize("words", [("quantization",), ("=q4",), ("a=1", "a=2")])
def test_what_is_no_label_is_a_word_too_many(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        parse_labels(words)


def test_a_value_may_hold_anything() -> None:
    assert parse_labels(("a=b=c", "d=")) == (("a", "b=c"), ("d", ""))


def test_machines_have_gos_names() -> None:
    assert [architecture_of(name) for name in ("x86_64", "aarch64", "riscv64")] == ["amd64", "arm64", "riscv64"]
