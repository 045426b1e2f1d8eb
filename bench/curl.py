"""A peer that everybody has: curl, with ranges, and openssl behind it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.scene import Failed, program
from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.units import MIB

_CONNECTIONS: Final = 8
_LEAST_RANGE_BYTES: Final = MIB  # a process for less costs more than it saves


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


def files(urls: Mapping[str, str], sums: Mapping[str, str], place: Path) -> None:
    """Fetches file after file whole, and hashes each when it is there. Raises `Failed` where one is not what it should be."""
    for name, url in urls.items():
        subprocess.run([program("curl"), "--silent", "--fail", "--output", place / name, url], check=True)
        _check(subprocess.Popen(_openssl(place / name), stdout=subprocess.PIPE, text=True), sums[name])


def one_connection(urls: Mapping[str, str], place: Path) -> None:
    """Fetches file after file whole, all on one connection; hashes nothing."""
    words = [word for name, url in urls.items() for word in ("--output", place / name, url)]
    subprocess.run([program("curl"), "--silent", "--fail", *words], check=True)


def files_at_once(urls: Mapping[str, str], sums: Mapping[str, str], place: Path) -> None:
    """Fetches ten files at a time by one curl, then hashes them all. Raises `Failed` where one is not what it should be."""
    words = [word for name, url in urls.items() for word in ("--output", place / name, url)]
    options = ["--silent", "--no-progress-meter", "--fail", "--parallel", "--parallel-max", "10"]
    subprocess.run([program("curl"), *options, *words], stderr=subprocess.DEVNULL, check=True)  # silent, it still shows progress
    command: list[str | Path] = [program("openssl"), "dgst", "-sha256", "-r", *(place / name for name in sums)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if [line.split()[0] for line in said.splitlines()] != list(sums.values()):
        raise Failed("wrong bytes")


def files_in_ranges(urls: Mapping[str, str], sums: Mapping[str, str], sizes: Mapping[str, int], place: Path) -> None:
    """Fetches file after file in eight ranges at a time, each written where it belongs, and hashes a file while the next ones come.

    Raises `Failed` where one is not what it should be.
    """
    hashing = []
    for name, url in urls.items():
        with (place / name).open("xb", buffering=0) as file:
            file.truncate(sizes[name])
        step_bytes = max(-(-sizes[name] // _CONNECTIONS), _LEAST_RANGE_BYTES)
        fetching = [_fetch_into(place / name, url, wanted) for wanted in ByteRange(0, sizes[name]).pieces(step_bytes)]
        if {process.wait() for process in fetching} - {0}:
            raise Failed(f"curl failed at {name}")
        hashing.append((subprocess.Popen(_openssl(place / name), stdout=subprocess.PIPE, text=True), sums[name]))
    for process, expected in hashing:
        _check(process, expected)


def version() -> str:
    """Which curl it is."""
    return " ".join(subprocess.run([program("curl"), "--version"], capture_output=True, text=True, check=True).stdout.split()[:2])


def _curl(url: str, wanted: ByteRange) -> list[str | Path]:
    return [program("curl"), "--silent", "--show-error", "--fail", "--range", f"{wanted.start}-{wanted.stop - 1}", url]


def _fetch_into(path: Path, url: str, wanted: ByteRange) -> subprocess.Popen[bytes]:
    with path.open("r+b", buffering=0) as file:  # of its own: processes that share one also share its position
        file.seek(wanted.start)
        return subprocess.Popen(_curl(url, wanted), stdout=file)


def _openssl(path: Path) -> list[str | Path]:
    """Coreutils' sha256sum does not use the CPU's instructions for it."""
    return [program("openssl"), "dgst", "-sha256", path]


def _check(process: subprocess.Popen[str], expected: str) -> None:
    said, _ = process.communicate()
    if expected not in said:
        raise Failed("wrong bytes")
