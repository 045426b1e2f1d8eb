"""What every test with a fault is judged by. Each way to fail is an error of its own, and none of them is an outcome to expect.

    outcome = attempt(shell, reference, {"weights.bin": data, "README.md": text})
    assert (outcome.exit_code, outcome.errors) == (0, {"weights.bin": "EIO"})

mounts, reads every file to its end and past errors, compares every byte that comes with the original, unmounts, and looks at what
was said, logged, used and left behind. What remains to be asserted is which error it should be.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mkfs.fuse.mountinfo import mount_at
from mkfs.testing import planted
from mkfs.units import MIB
from tests.support.mounting import SOURCE, Ran, Shell, ended

# Longer than any deadline of ours that a test does not wait out on purpose (25 s without a byte at a prompt).
DEADLINE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.02  # the shortest command takes some 0.1 s
MEMORY_CAP_BYTES: Final = 400 * MIB  # resident, of the command and of the daemon, whatever it is told: 100 is usual
ERROR_LINES: Final = 3


class WrongByte(AssertionError):
    """A reader got a byte that is not the original's. The one outcome that nothing excuses."""


class Hang(AssertionError):
    """Somebody waited longer than the deadline."""


class TracebackShown(AssertionError):
    """A person was shown a traceback, or the log has one: a case nobody thought of."""


class LeakedSecret(AssertionError):
    """A planted secret is in what was said or logged."""


class TooMuchMemory(AssertionError):
    """A process used more than its cap."""


class LeftBehind(AssertionError):
    """A mount or a process outlived its end."""


class UnclearError(AssertionError):
    """An exit code without words, or too many of them."""


@dataclass(frozen=True)
class Outcome:
    """What a person met. `exit_code` is the mount's; `errors` are the names of the error numbers with which a file, or part of it,
    could not be read; `said` is what the command said, `log` what its daemon logged.
    """

    exit_code: int
    said: str
    errors: Mapping[str, str] = field(default_factory=dict)
    log: str = ""


def attempt(
    shell: Shell,
    reference: str,
    expected: Mapping[str, bytes],
    *options: str,
    deadline_seconds: float = DEADLINE_SECONDS,
    memory_cap_bytes: int = MEMORY_CAP_BYTES,
) -> Outcome:
    """Mounts `reference`, reads all of `expected`, unmounts. Raises what is above; takes care that nothing is left mounted."""
    place = shell.home / "attempt"
    place.mkdir(exist_ok=True)
    log_file = shell.home / f"{place.name}.log"
    try:
        ran = run(shell, "mount", reference, place, *options, deadline_seconds=deadline_seconds, memory_cap_bytes=memory_cap_bytes)
        errors: dict[str, str] = {}
        if ran.exit_code == 0:
            errors = read(shell, place, expected, deadline_seconds=deadline_seconds)
            for pid in shell.processes():
                judge_memory(pid, memory_cap_bytes)
            run(shell, "umount", place, deadline_seconds=deadline_seconds)
        if not shell.is_tidy():
            raise LeftBehind(f"mounts {shell.mounts()}, processes {shell.processes()}")
        log = log_file.read_text("utf-8", "replace") if log_file.exists() else ""
        judge_words(log, str(log_file))
        return Outcome(ran.exit_code, ran.stderr, errors, log)
    finally:
        if mount_at(place) is not None or shell.processes():
            shell.tidy_up()


def run(
    shell: Shell,
    *arguments: str | Path,
    deadline_seconds: float = DEADLINE_SECONDS,
    memory_cap_bytes: int = MEMORY_CAP_BYTES,
) -> Ran:
    """Runs `kitfs …`, judged: how long, how much memory, and what it said. An exit code other than 0 is no failure here."""
    said = [shell.home / "said.out", shell.home / "said.err"]
    with said[0].open("wb") as out, said[1].open("wb") as err:
        process = subprocess.Popen(
            shell.words(*arguments), env=shell.variables(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
        )
    usage = _wait(process, deadline_seconds, " ".join(map(str, arguments)))
    stdout, stderr = (path.read_text("utf-8", "surrogateescape") for path in said)
    judge_words(stdout + stderr, f"what {arguments[0]} said")
    if usage > memory_cap_bytes:
        raise TooMuchMemory(f"{arguments[0]} used {usage / MIB:.0f} MiB (at most {memory_cap_bytes / MIB:.0f})")
    _, error, words = f"\n{stderr}".rpartition("\nError: ")  # before it may stand how far things got, of what took long
    if process.returncode and not (error and words.count("\n") <= ERROR_LINES):
        raise UnclearError(f"exit code {process.returncode}: {stderr!r}")
    return Ran(process.returncode, stdout, stderr)


def read(shell: Shell, place: Path, expected: Mapping[str, bytes], *, deadline_seconds: float = DEADLINE_SECONDS) -> dict[str, str]:
    """Reads every file of `expected` below `place` in a process that can be killed. The names of the errors met, by file."""
    work = shell.home / "originals"
    work.mkdir(exist_ok=True)
    pairs: list[str] = []
    for number, (name, data) in enumerate(expected.items()):
        original = work / str(number)
        original.write_bytes(data)
        pairs += [str(place / name), str(original)]
    words: Sequence[str] = [sys.executable, "-P", "-m", "tests.faults.reading", *pairs]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        stdout, stderr = process.communicate(timeout=deadline_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Hang(f"a reader waited longer than {deadline_seconds:g} s") from None
    assert process.returncode == 0, stderr
    errors = {}
    for name, seen in zip(expected, map(json.loads, stdout.splitlines()), strict=True):
        if seen["wrong"] is not None:
            raise WrongByte(f"{name} at {seen['wrong']}")
        if seen["error"]:
            errors[name] = seen["error"]
    return errors


def judge_words(text: str, where: str) -> None:
    """Raises `TracebackShown` or `LeakedSecret` for what somebody may read."""
    if "Traceback (most recent call last)" in text:
        raise TracebackShown(f"{where}: {text[text.index('Traceback') :][:2000]}")
    if planted.is_in(text.encode("utf-8", "surrogateescape")):
        raise LeakedSecret(where)


def judge_memory(pid: int, cap_bytes: int) -> None:
    """Raises `TooMuchMemory` for what a process ever had resident (proc_pid_status(5), VmHWM)."""
    with suppress(FileNotFoundError, ProcessLookupError):
        used = _peak_bytes(pid)
        if used > cap_bytes:
            raise TooMuchMemory(f"the daemon used {used / MIB:.0f} MiB (at most {cap_bytes / MIB:.0f})")


def _peak_bytes(pid: int) -> int:
    """0 of a process that is about to end."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _wait(process: "subprocess.Popen[bytes]", deadline_seconds: float, what: str) -> int:
    """The most memory it had resident, in bytes, when it has ended, but for its last `_LOOK_SECONDS`. Not as getrusage(2) counts:
    "ru_maxrss" lives through execve, so that it would be that of the run of tests, which is large.
    """
    started, most = time.monotonic(), 0
    while not ended(process.pid, _LOOK_SECONDS):
        if time.monotonic() - started > deadline_seconds:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Hang(f"{what}: longer than {time.monotonic() - started:.0f} s")
        with suppress(FileNotFoundError, ProcessLookupError):
            most = max(most, _peak_bytes(process.pid))
    process.wait()
    return most
