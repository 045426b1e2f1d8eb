"""Many readers who know what they should get: `python -m tests.faults.crowd READERS FILE ORIGINAL`.

As many threads read all of FILE at once, each from a place of its own and around its end, and compare. Says `reading` when all are
about to begin; in the end, a line of JSON: where blocks were wrong, and how many readers met which error first.
"""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.faults.oracle import DEADLINE_SECONDS, Hang, WrongByte
from tests.faults.reading import BLOCK_BYTES, name_of
from tests.support.mounting import SOURCE


@dataclass(frozen=True)
class Crowd:
    """The process with them. They are about to read when it is made."""

    process: "subprocess.Popen[bytes]"

    @classmethod
    def reading(cls, path: Path, original: bytes, readers: int, work: Path) -> Self:
        """So many of them at `path`; what they compare with is kept in `work`."""
        (work / "original of a crowd").write_bytes(original)
        words = [sys.executable, "-P", "-m", "tests.faults.crowd", str(readers), path, work / "original of a crowd"]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{SOURCE}:{SOURCE.parent}"}
        # Without a buffer: readers who are done by now have said so behind that line, and a buffer would keep it from `errors`.
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, bufsize=0)
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        return cls(process)

    def waits(self) -> bool:
        """Whether somebody still reads."""
        return self.process.poll() is None

    def errors(self) -> Mapping[str, int]:
        """Waits for their end: how many readers met which error. Raises `WrongByte` and `Hang`."""
        try:
            stdout, _ = self.process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise Hang(f"readers waited longer than {DEADLINE_SECONDS:g} s") from None
        assert self.process.returncode == 0
        said = json.loads(stdout)
        if said["wrong"]:
            raise WrongByte(f"at {said['wrong'][0]}")
        errors: dict[str, int] = said["errors"]
        return errors


def main() -> None:
    """Runs the readers and waits for them."""
    readers, path, original = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_bytes()
    starts = range(0, len(original), BLOCK_BYTES)
    started = threading.Barrier(readers + 1)
    wrong: list[int] = []
    first: list[str] = []  # the first error of each reader that met one; a count would lose some where two add to it at once

    def read(number: int) -> None:
        file, met = -1, ""
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as failure:
            met = name_of(failure)
        begin = number * len(starts) // readers
        started.wait()
        for start in (*starts[begin:], *starts[:begin]) if file >= 0 else ():
            try:
                data = os.pread(file, BLOCK_BYTES, start)
            except OSError as failure:
                met = met or name_of(failure)
            else:
                if data != original[start : start + BLOCK_BYTES]:
                    wrong.append(start)
        if met:
            first.append(met)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    sys.stdout.write("reading\n")
    sys.stdout.flush()
    started.wait()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({"wrong": wrong, "errors": Counter(first)}) + "\n")


if __name__ == "__main__":
    main()
