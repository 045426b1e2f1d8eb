"""Runs targets under atheris, each in a process of its own, and reads what libFuzzer says of them."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
GRACE_SECONDS: Final = 120  # for the start, and for the last input, on a machine that has much else to do

_PROGRESS: Final = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")
_EXECUTIONS: Final = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What came of one target. `crash` is the input that was a defect; `said` everything the process wrote."""

    target: str
    executions: int
    features: int
    corpus: int
    crash: Path | None
    said: str

    @property
    def story(self) -> str:
        """For whoever has to look into it: the traceback and what followed, and the input."""
        shown = self.said[max(0, self.said.find("=== Uncaught")) :] if "=== Uncaught" in self.said else self.said
        where = f"\n{self.crash}: {self.crash.read_bytes()[:400]!r}" if self.crash else ""
        return shown[-4000:] + where


def fuzz(target: str, seconds: int, directories: list[Path], crashes: Path, seed: int = 0) -> Run:
    """Fuzzes for so long. New inputs go to the first of `directories`, what crashes into `crashes`. `seed` 0: another each time."""
    prefix = crashes / f"{target}-"
    flags = [f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={prefix}", "-print_final_stats=1"]
    ended = _start(target, [*flags, *map(str, directories)], seconds)
    said = ended.stdout
    found = sorted(crashes.glob(f"{prefix.name}*"))
    progress, executions = _PROGRESS.findall(said), _EXECUTIONS.search(said)
    if not progress or (ended.returncode and not found):
        raise RuntimeError(f"{target} could not be fuzzed (exit code {ended.returncode}):\n{said[-4000:]}")
    _, features, corpus = map(int, progress[-1])
    return Run(target, int(executions[1]) if executions else 0, features, corpus, found[0] if found else None, said)


def minimise(target: str, wanted: Path, directories: list[Path]) -> None:
    """Puts into `wanted`, which is empty, the fewest and smallest inputs that reach all that those of `directories` do."""
    ended = _start(target, ["-merge=1", str(wanted), *map(str, directories)], GRACE_SECONDS)
    if ended.returncode:
        raise RuntimeError(f"the corpus of {target} could not be minimised:\n{ended.stdout[-4000:]}")


def _start(target: str, arguments: list[str], seconds: int) -> "subprocess.CompletedProcess[str]":
    # By way of a shell that stays: libFuzzer's limit is on ru_maxrss, which a process has from who started it (getrusage(2)), and a
    # run of tests may have had more than the limit.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", "tests.fuzz.under_atheris", target, *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=seconds + GRACE_SECONDS,
        check=False,
    )
