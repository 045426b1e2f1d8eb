"""A peer that everybody has: curl, with ranges, and openssl behind it."""

import subprocess
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.scene import program
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange

_CONNECTIONS: Final = 8


def one_range(url: str, wanted: ByteRange) -> float:
    """A plain GET of a range on a connection of its own. Seconds by curl's own clock, without starting its process."""
    command = [*_curl(url, wanted), "--output", "/dev/null", "--write-out", "%{time_total}"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def all_and_hash(url: str, size_bytes: int, digest: Digest, directory: Path) -> float:
    """Fetches a blob in eight ranges at a time into files, then hashes it. Seconds, with the start of all processes."""
    step_bytes = -(-size_bytes // _CONNECTIONS)
    parts = [directory / f"part-{number}" for number in range(_CONNECTIONS)]
    started = perf_counter()
    ranges = ByteRange(0, size_bytes).pieces(step_bytes)
    fetching = [subprocess.Popen([*_curl(url, wanted), "--output", part]) for part, wanted in zip(parts, ranges, strict=True)]
    assert {process.wait() for process in fetching} == {0}
    with subprocess.Popen(["cat", *parts], stdout=subprocess.PIPE) as joined:
        hashed = subprocess.run(
            [program("openssl"), "dgst", "-sha256"], stdin=joined.stdout, capture_output=True, text=True, check=True
        )
    seconds = perf_counter() - started
    assert digest.hex in hashed.stdout, hashed.stdout
    for part in parts:
        part.unlink()
    return seconds


def version() -> str:
    """Which curl it is."""
    return " ".join(subprocess.run([program("curl"), "--version"], capture_output=True, text=True, check=True).stdout.split()[:2])


def _curl(url: str, wanted: ByteRange) -> list[str | Path]:
    return [program("curl"), "--silent", "--show-error", "--fail", "--range", f"{wanted.start}-{wanted.stop - 1}", url]
