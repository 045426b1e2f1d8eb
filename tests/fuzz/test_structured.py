"""Documents that are right but for one field: bytes by chance seldom get past the first rule that they break."""

import base64
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mkfs.archive.header import BLOCK_BYTES
from tests.fuzz.archives import seal_tar
from tests.fuzz.targets import CORPUS, TARGETS

EACH: Final = 100  # changes of each document
EXAMPLES: Final = settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.filter_too_much])
Path = tuple[str | int, ...]

_DIGEST: Final = "sha256:" + "0" * 64
_ODD: Final = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1, 0.5, -0.0, 1e300),
    *("", "a", "\0", "\n", "\r\x1b[2J", "\u2028", "\U0001f600", "é" * 300, "..", "/", "a/../b", "a\\b", "~", "x" * 5000),
    *(_DIGEST, _DIGEST.upper(), _DIGEST + "\n", "sha512:" + "0" * 128, "md5:00", "2027-02-30T00:00:00Z", "1e3", "ghcr.io/a:b"),
    *([], {}, [None], {"": None}, [[]], {"a": {"b": {}}}, [1, "a", {}]),
)
odd = st.sampled_from(_ODD) | st.text(max_size=20) | st.integers(-(2**63), 2**64 - 1)


def paths(document: Any, at: Path = ()) -> Iterator[Path]:
    """Where something stands in a document, the whole of it left out."""
    inside = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in inside:
        yield (*at, key)
        yield from paths(value, (*at, key))


def changed(document: Any, change: tuple[str, Path, Any]) -> Any:
    """The document with one field replaced, left out, given twice under another case, or added to."""
    how, path, value = change
    document = deepcopy(document)
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    last = path[-1]
    if how == "replace":
        inside[last] = value
    elif how == "remove":
        del inside[last]
    elif isinstance(inside, dict):
        inside[str(last).swapcase() if how == "case" else f"{last} "] = value
    else:
        inside.append(inside[last])
    return document


def changes(document: Any) -> "st.SearchStrategy[tuple[str, Path, Any]]":
    """One change of a document."""
    return st.tuples(
        st.sampled_from(["replace", "replace", "replace", "remove", "case", "more"]), st.sampled_from(list(paths(document))), odd
    )


def written(value: object) -> bytes:
    """As JSON."""
    return json.dumps(value).encode()


def seeds(target: str, *left_out: str) -> list[bytes]:
    """The examples of a target that are right."""
    return [path.read_bytes() for path in sorted((CORPUS / target).glob("seed-*")) if path.name not in left_out]


JSON: Final = {
    "manifest": seeds("manifest"),
    "kitfile": seeds("kitfile"),
    "statement": seeds("statement"),
    "signatures": seeds("signatures"),
    "docker-config": seeds("docker-config"),
}


@pytest.mark.parametrize("target", JSON)
def test_a_document_that_is_wrong_in_one_field_is_read_or_refused(target: str) -> None:
    _change_one(JSON[target], json.loads, written, TARGETS[target].check)


def _change_one(
    examples: list[bytes], read: Callable[[bytes], Any], write: Callable[[Any], bytes], check: Callable[[bytes], None]
) -> None:
    documents = [read(example) for example in examples]

    @settings(EXAMPLES, max_examples=EACH * len(documents))
    @given(st.sampled_from(documents).flatmap(lambda document: st.tuples(st.just(document), changes(document))))
    def each(case: tuple[Any, tuple[str, Path, Any]]) -> None:
        check(write(changed(*case)))

    each()


def test_an_artifact_that_is_wrong_in_one_field_of_manifest_or_config_is_planned_or_refused() -> None:
    def read(example: bytes) -> dict[str, Any]:
        manifest, _, config = example.partition(b"\0")
        return {"manifest": json.loads(manifest), "config": json.loads(config)}

    def write(both: dict[str, Any]) -> bytes:
        return written(both.get("manifest")) + b"\0" + written(both.get("config"))

    _change_one(seeds("artifact"), read, write, TARGETS["artifact"].check)


def test_a_signed_statement_that_is_wrong_in_one_field_is_refused_with_a_reason() -> None:
    bundle = json.loads((CORPUS / "signatures" / "seed-p256.attest.json").read_bytes())

    def in_bundle(statement: Any) -> bytes:
        envelope = bundle["dsseEnvelope"] | {"payload": base64.b64encode(written(statement)).decode()}
        return written(bundle | {"dsseEnvelope": envelope})

    _change_one(seeds("statement"), json.loads, in_bundle, TARGETS["signatures"].check)


@pytest.mark.parametrize("target", ["own-index", "artifact-index"])
def test_a_chunk_index_that_is_wrong_in_one_field_is_read_or_refused(target: str) -> None:
    head = 1 if target == "own-index" else 0  # which version
    for example in seeds(target, "seed-version-2", "seed-deep-unknown-field"):
        _change_one(
            [example[head:]],
            msgspec.msgpack.decode,
            lambda each, start=example[:head]: start + msgspec.msgpack.encode(each),
            TARGETS[target].check,
        )


_FIELDS: Final = {
    "mode": (100, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "flag": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
    "prefix": (345, 155),
}
_VALUES: Final = (
    b"",
    b"0",
    b"7",
    b"\0",
    b"\xff" * 12,
    b"\x80" + b"\0" * 10 + b"\1",
    b"777 ",
    b"-1",
    b"+7",
    b"0o7",
    b" 7\0\0",
    b"9",
    b"../x",
    b"/",
    b"ustar\x0000",
    b"ustar  \0",
)


@settings(EXAMPLES, max_examples=1000)
@given(
    st.sampled_from(seeds("tar")),
    st.integers(0, 8),
    st.sampled_from(list(_FIELDS)),
    st.sampled_from(_VALUES) | st.binary(max_size=12),
)
def test_a_header_with_one_odd_field_and_a_right_checksum_is_read_as_by_others_or_refused(
    data: bytes, number: int, field: str, value: bytes
) -> None:
    start, width = _FIELDS[field]
    at = number * BLOCK_BYTES % len(data) + start
    TARGETS["tar"].check(seal_tar(data[:at] + value[:width].ljust(width, b"\0") + data[at + width :]))
