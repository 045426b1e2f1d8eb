"""What is said of a registry and an artifact. A row for each branch of each judge."""

from collections.abc import Callable
from typing import Any

import pytest

from mkfs.errors import IntegrityError, NotAuthorised, NotFound, Unreachable, Unsupported
from mkfs.service.doctor.finding import Finding, Status
from mkfs.service.doctor.judging.artifact import (
    Compression,
    Format,
    Indexes,
    Resolved,
    Signatures,
    judge_compression,
    judge_format,
    judge_index,
    judge_manifest,
    judge_signature,
)
from mkfs.service.doctor.judging.registry import (
    Answered,
    Clock,
    Login,
    Name,
    Ranges,
    Trips,
    judge_answer,
    judge_clock,
    judge_login,
    judge_names,
    judge_ranges,
    judge_trips,
)
from mkfs.units import GIB

OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
HOST, MIRROR, REF = "registry.test", "mirror.test", "registry.test/team/model:7b"
FOUND = Name(HOST, False, ("192.0.2.1", "2001:db8::1"))
Row = tuple[Callable[[Any], Finding], object, Status, str, str, int]


def indexes(
    large: int = 0, found: int = 0, trusted: int = 0, refused: tuple[str, ...] = (), error: IntegrityError | None = None
) -> Indexes:
    return Indexes(REF, 3, large, found, trusted, "signed by 432e" if trusted else "", refused, error)


# judge, facts, status, words of the finding, words of the remedy, exit code
ROWS: list[Row] = [
    (judge_names, (FOUND,), OK, "registry.test: 192.0.2.1, 2001:db8::1", "", 0),
    (judge_names, (Name(MIRROR, True, proxied=True), FOUND), OK, "mirror mirror.test: looked up by the proxy; registry", "", 0),
    (judge_names, (Name(MIRROR, True, trouble="gone"), FOUND), WARN, "mirror mirror.test: gone", "getent hosts mirror.test", 0),
    (judge_names, (Name(MIRROR, True, trouble="gone"), Name(HOST, False, trouble="no")), FAIL, "registry.test: no", "resolv", 12),
    (judge_answer, Answered(HOST, HOST), OK, "registry.test answers", "", 0),
    (judge_answer, Answered(HOST, MIRROR, is_mirror=True), OK, "mirror mirror.test answers for registry.test", "", 0),
    (judge_answer, Answered(HOST, MIRROR, is_mirror=True, passed_over=("a.test",)), OK, "not a.test", "", 0),
    (judge_answer, Answered(HOST, HOST, passed_over=(MIRROR,)), WARN, "had nothing, or failed: mirror.test", "--no-mirrors", 0),
    (judge_answer, Answered(HOST, error=Unreachable("connection refused", HOST)), FAIL, "refused", "curl", 12),
    (judge_answer, Answered(HOST, error=Unreachable("refused", HOST, "its own hint")), FAIL, "refused", "its own hint", 12),
    (judge_login, Login(), OK, "no login was asked for", "", 0),
    (judge_login, Login("Basic", "/a has an entry"), OK, "logged in (Basic): /a has an entry", "", 0),
    (judge_login, Login("Bearer"), OK, "anonymous token", "", 0),
    (judge_login, Login(error=NotAuthorised("refused", HOST)), FAIL, "refused", "docker login", 11),
    (judge_clock, Clock(None), OK, "does not tell", "", 0),
    (judge_clock, Clock(-60.0), OK, "agrees", "", 0),
    (judge_clock, Clock(61.0), WARN, "1 min 1 s ahead of", "timedatectl set-ntp true", 0),
    (judge_clock, Clock(-7200.0), WARN, "2 h 0 min behind", "timedatectl set-ntp true", 0),
    (judge_trips, Trips(HOST, 0.02, 4), OK, "20 ms to registry.test and back, the shortest of 4", "", 0),
    (judge_trips, Trips(HOST, 0.6, 4), WARN, "600 ms", "nearby", 0),
    (judge_ranges, Ranges(), OK, "no blob is large enough", "", 0),
    (judge_ranges, Ranges(9, 206, HOST), OK, "206 with the exact Content-Range from registry.test", "", 0),
    (judge_ranges, Ranges(9, 206, "s3.test", (HOST,)), OK, "from s3.test, where registry.test sent us", "", 0),
    (judge_ranges, Ranges(GIB, 200, HOST, whole=True), WARN, "answered 200 with all 1.0 GiB", "kitfs warmup", 0),
    (judge_ranges, Ranges(9, error=Unreachable("not the range that was asked for")), FAIL, "not the range", "a proxy", 12),
    (judge_manifest, Resolved("sha256:00"), OK, "sha256:00", "", 0),
    (judge_manifest, Resolved(error=NotFound("not found")), FAIL, "not found", "kitfs tags", 10),
    (judge_format, Format("KitOps ModelKit", 1, 2048), OK, "KitOps ModelKit, 1 layer, 2.0 KiB", "", 0),
    (judge_format, Format("KitOps ModelKit", 2, 2048, ("a",)), WARN, "2 layers, 2.0 KiB; not shown: a", "kitfs inspect", 0),
    (judge_format, Format(error=Unsupported("a chart")), FAIL, "a chart", "FORMATS.md", 14),
    (judge_index, indexes(), OK, "none, and no layer above", "", 0),
    (judge_index, indexes(large=1), WARN, "1 large layer is read whole first", f"kitfs index push {REF}", 0),
    (judge_index, indexes(large=2, found=1, refused=("nobody",)), WARN, "1 found, not believed: nobody", "--trust-key", 0),
    (judge_index, indexes(found=1), WARN, "the policy does not ask for it", "--trust-index", 0),
    (judge_index, indexes(large=1, found=1, trusted=3), OK, "believed for 3 of 3 layers (signed by 432e)", "", 0),
    (judge_index, indexes(found=1, trusted=2), OK, "believed for 2 of 3", "", 0),
    (judge_index, indexes(large=2, found=1, trusted=2), WARN, "believed for 2 of 3", "kitfs index push", 0),
    (judge_index, indexes(error=IntegrityError("no signed index")), FAIL, "no signed index", "kitfs index push", 13),
    (judge_signature, Signatures(), OK, "nobody signed it", "", 0),
    (judge_signature, Signatures(1, ("432e",), keys=True), OK, "signed by 432e", "", 0),
    (judge_signature, Signatures(1), OK, "1 found; not checked", "", 0),
    (judge_signature, Signatures(1, keys=True, refused=("by another key",)), WARN, "by another key", "--trust-key", 0),
    (judge_signature, Signatures(1, keys=True), WARN, "by other keys", "--trust-key", 0),
    (judge_signature, Signatures(keys=True, error=IntegrityError("not signed")), FAIL, "not signed", "cosign sign", 13),
    (judge_compression, Compression(3, 0, 0), OK, "no layer is compressed", "", 0),
    (judge_compression, Compression(3, 2, 10 * GIB), WARN, "2 of 3 layers are compressed (10.0 GiB)", "kitfs warmup", 0),
]  # fmt: skip


@pytest.mark.parametrize(("judge", "facts", "status", "words", "remedy", "exit_code"), ROWS)
def test_what_is_found_is_told(
    judge: Callable[[object], Finding], facts: object, status: Status, words: str, remedy: str, exit_code: int
) -> None:
    finding = judge(facts)
    assert (finding.status, words in finding.text, remedy in finding.remedy) == (status, True, True), finding
    assert bool(finding.remedy) is (status is not OK)
    assert finding.exit_code == exit_code
