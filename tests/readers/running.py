"""Starting readers: each by the Python that has it, with nothing of this machine's configuration, and offline."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.reader import started
from tests.readers.catalogue import Home, Reader

ROOT: Final = Path(__file__).resolve().parents[2]
_STUCK_SECONDS: Final = 240  # after which a reader is taken to hang: importing torch takes its time on a busy machine
_PROGRAM: Final = ROOT / "bench" / "llama.mjs"
# A loader looks here, not at any hub; and leaves its own caches in the directory that a test gives.
_OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True)
class Result:
    """What a reader said of a model, and its version."""

    version: str
    said: dict[str, str]


def run(home: Home, program: str, directory: Path) -> Result:
    """Runs one of `tests.readers.programs`."""
    python = Path(os.environ[home]) / "bin" / "python" if home else Path(sys.executable)
    command = [ROOT / python, "-m", "tests.readers.programs", program, directory]
    found = json.loads(_output(command))
    return Result(found["version"], found["said"])


def read(reader: Reader, directory: Path) -> Result:
    """Lets a reader read."""
    if reader.home is not Home.LLAMA:
        return run(reader.home, reader.program, directory)
    llama = ROOT / os.environ[Home.LLAMA]
    with started(["node", _PROGRAM, llama, reader.program]) as ready:
        seen = ready.read(directory)
    package = json.loads((llama / "package.json").read_text("utf-8"))
    return Result(f"node-llama-cpp {package['version']}", {"text": seen.words, "bytes": str(seen.size_bytes)})


def replay(ways: tuple[str, ...], directory: Path, original: Path) -> list[dict[str, object]]:
    """Reads in all `ways` at the same time, a process for each; what each found."""
    commands = [[sys.executable, "-m", "tests.readers.replay", way, directory, original] for way in ways]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, cwd=ROOT, env=_environment(), stdout=pipe, text=True) for command in commands]
    try:
        found = [process.communicate(timeout=_STUCK_SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(text) for text in found]


def _output(command: list[str | Path]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=_STUCK_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "HOME": os.devnull, **_OFFLINE}
