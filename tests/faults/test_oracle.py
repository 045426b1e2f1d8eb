"""The oracle notices each thing that must never happen."""

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing import planted
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.faults.oracle import (
    Hang,
    LeakedSecret,
    Outcome,
    TooMuchMemory,
    TracebackShown,
    WrongByte,
    attempt,
    judge_words,
)
from tests.support.kit_parts import content_of, layer_at
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse
README = b"# right\n"


KIT = KitBuilder("oracle", seed=1).model("w.bin", 2 * MIB + 1).docs("README.md", README).build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("oracle", "1", KIT.manifest, KIT.blobs)
    return f"{server.host}/oracle:1"


def test_right_bytes_are_no_error(reference: str, shell: Shell) -> None:
    body = content_of(KIT, "w.bin")
    weights = body.read(ByteRange(0, body.size_bytes))
    outcome = attempt(shell, reference, {"README.md": README, "w.bin": weights})
    assert (outcome.exit_code, outcome.errors) == (0, {})


@pytest.mark.parametrize("original", [b"# wrong\n", README[:-1], README + b"!"], ids=["another byte", "shorter", "longer"])
def test_a_wrong_byte_is_noticed(reference: str, shell: Shell, original: bytes) -> None:
    with pytest.raises(WrongByte, match=r"README\.md at "):
        attempt(shell, reference, {"README.md": original})


def test_a_reader_that_waits_for_ever_is_noticed(registry: MemoryRegistry, reference: str, shell: Shell) -> None:
    registry.faults.install(Fault(Match(method="GET", digest=layer_at(KIT, "w.bin").digest, offset=MIB), Withhold()))
    with pytest.raises(Hang):
        attempt(shell, reference, {"w.bin": b""}, deadline_seconds=2)


def test_memory_above_the_cap_is_noticed(reference: str, shell: Shell) -> None:
    with pytest.raises(TooMuchMemory):
        attempt(shell, reference, {}, memory_cap_bytes=MIB)


def test_a_file_that_is_not_there_is_an_error_with_its_name(reference: str, shell: Shell) -> None:
    assert attempt(shell, reference, {"nothing": b""}).errors == {"nothing": "ENOENT"}


def test_a_refusal_has_its_code_and_words(server: RegistryServer, shell: Shell) -> None:
    outcome = attempt(shell, f"{server.host}/nothing:1", {})
    assert isinstance(outcome, Outcome)
    assert (outcome.exit_code, outcome.said.startswith("Error: ")) == (10, True)


def test_tracebacks_and_secrets_are_noticed_where_they_are_said() -> None:
    with pytest.raises(TracebackShown):
        judge_words("x\nTraceback (most recent call last):\n", "log")
    with pytest.raises(LeakedSecret):
        judge_words(f"Authorization: {planted.PASSWORD}", "log")
    judge_words("all is well", "log")
