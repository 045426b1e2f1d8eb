"""A daemon without FUSE: `python -m tests.support.headless CACHE REFERENCE OVERTAKE-SECONDS`.

Opens the artifact as a mount does, waits for a line on standard input, reads every file of it, and says one line of JSON: the
sha256 of each, or the error, by path. Holders that show no progress are overtaken after OVERTAKE-SECONDS (`content.engine.Engine`).
Its log is on standard error.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import trio

from mkfs.content.artifact import Artifact, open_artifact
from mkfs.errors import MkfsError
from mkfs.ranges import ByteRange
from mkfs.service.opening import opening
from mkfs.service.settings import SourceSettings
from mkfs.tree.nodes import File
from mkfs.units import KIB

_ROOT = Path(__file__).resolve().parents[2]
_READ_BYTES = 128 * KIB  # as the kernel asks
_END_SECONDS = 60
_OPENED = "opened: waiting for a line"


class Headless:
    """The tests' side of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def begin(self) -> None:
        """Has it read. It loses no patience before, however long it took to come that far."""
        self.wait_for(_OPENED)
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def wait_for(self, words: str) -> str:
        """The next line of its log that has `words` in it. Fails the test where it ends without."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return line
        raise AssertionError(f"it never said {words!r}")

    def stop(self) -> None:
        """As Ctrl-Z does: nothing of it runs any more when this returns."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def go_on(self) -> None:
        """Undoes `stop`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def sums(self) -> dict[str, str]:
        """What it read, once it has ended."""
        stdout, stderr = self.process.communicate(timeout=_END_SECONDS)
        assert self.process.returncode == 0, stderr
        found: dict[str, str] = json.loads(stdout)
        return found


@contextmanager
def headless(cache: Path, reference: str, overtake_seconds: float) -> Iterator[Headless]:
    """Starts one; it is gone after the block."""
    words = [sys.executable, "-m", __name__, cache, reference, str(overtake_seconds)]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=_ROOT, env=variables, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield Headless(process)
        finally:
            process.kill()


async def main(cache: str, reference: str, overtake_seconds: float) -> dict[str, str]:
    """Reads everything."""
    settings = SourceSettings(reference=reference, cache_dir=cache, min_free_ratio=0)
    async with opening(settings) as means:
        engine = replace(means.engine, overtake_seconds=overtake_seconds)
        artifact = await open_artifact(engine, means.repository, means.reference)
        try:
            logging.getLogger(__name__).info(_OPENED)
            await trio.to_thread.run_sync(sys.stdin.readline)
            files = {os.fsdecode(path): node for path, node in artifact.tree.walk() if isinstance(node, File)}
            return {path: await _sum(artifact, files[path]) for path in sorted(files)}
        finally:
            artifact.close()


async def _sum(artifact: Artifact, file: File) -> str:
    hashed = sha256(file.data)
    if file.layer is not None:
        layer = artifact.layers[file.layer]
        for extent in file.extents:
            for wanted in ByteRange(extent.layer_offset, extent.layer_offset + extent.length).pieces(_READ_BYTES):
                answer = layer.read_now(wanted)
                try:
                    hashed.update(await layer.read(wanted) if answer is None else answer)
                except MkfsError as error:
                    return str(error)
    return hashed.hexdigest()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.stdout.write(json.dumps(trio.run(main, sys.argv[1], sys.argv[2], float(sys.argv[3]))))
