"""The log of a real mount, as a journal, a collector and a person get it."""

import json
import os
import re
import signal
import subprocess

import pytest

from mkfs.fuse.mountinfo import mount_at
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Shell, refusal_of

pytestmark = pytest.mark.fuse

SECONDS = 60
CONSOLE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) [\w.]+: .*")


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("llama", seed=5).model("model.bin", 3 * MIB).build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


def spoiled(registry: MemoryRegistry, kit: Kit) -> None:
    """From now on the model's bytes come wrong."""
    big = max(kit.blobs, key=lambda digest: kit.blobs[digest].size_bytes)
    registry.faults.install(Fault(Match(digest=big), faults.Flip(MIB)))


def test_every_line_of_json_is_one_whatever_happened(shell: Shell, registry: MemoryRegistry, reference: str, kit: Kit) -> None:
    with shell.mounted(reference, "--log-format", "json", "--log-level", "debug") as mount:
        spoiled(registry, kit)
        assert refusal_of(mount.path("model.bin").read_bytes) == "EIO"
    told = [json.loads(line) for line in mount.log_file.read_text().splitlines()]
    assert {"time", "level", "logger", "event"} <= set.intersection(*(set(line) for line in told))
    assert {"debug", "info", "warning"} <= {line["level"] for line in told}
    assert any(line["event"].startswith("mounted ") for line in told)
    assert any("a reader gets EIO" in line["event"] for line in told)


def test_a_person_gets_lines_of_text(shell: Shell, registry: MemoryRegistry, reference: str, kit: Kit) -> None:
    with shell.mounted(reference, "--log-level", "warning") as mount:
        spoiled(registry, kit)
        assert refusal_of(mount.path("model.bin").read_bytes) == "EIO"
    lines = mount.log_file.read_text().splitlines()
    assert lines
    assert [line for line in lines if not CONSOLE.fullmatch(line)] == []
    assert not any(" INFO " in line for line in lines)


@pytest.mark.parametrize("is_journal", [True, False])
def test_the_journal_gets_priorities_and_nobody_else(shell: Shell, reference: str, is_journal: bool) -> None:
    """As systemd starts a unit; there is no journal here, a pipe stands for its socket."""
    place = shell.new_place()
    reading, writing = os.pipe()
    status = os.fstat(writing)
    with (
        open(reading, encoding="utf-8") as stream,
        subprocess.Popen(
            shell.words("mount", reference, place, "--foreground"),
            env={**shell.variables(), "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino if is_journal else 1}"},
            stdin=subprocess.DEVNULL,
            stderr=writing,
        ) as process,
    ):
        os.close(writing)
        said = []
        for line in stream:  # to the end of the process
            said.append(line.rstrip("\n"))
            if " mounted at " in line:  # what the command itself says, to a person
                process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert mount_at(place) is None
    logged = [line for line in said if " mounted at " not in line]
    assert any("mounted " in line for line in logged)
    form = re.compile(r"<6>mkfs\.[\w.]+: .*") if is_journal else CONSOLE
    assert [line for line in logged if not form.fullmatch(line)] == []


def test_words_that_are_no_format_or_level_are_refused(shell: Shell, reference: str) -> None:
    for option in ("--log-format", "--log-level"):
        ran = shell.run("mount", reference, shell.new_place(option), option, "loud")
        assert ran.exit_code == 2
        assert option in ran.stderr
