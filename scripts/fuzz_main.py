"""Fuzzes the parsers, guided by coverage, and prints what came of it. `scripts/fuzz --help`."""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from platformdirs import user_cache_path

from tests.fuzz.running import Run, fuzz, minimise
from tests.fuzz.targets import CORPUS, TARGETS


def main() -> None:
    """Fuzzes, and fails where something crashed."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time (default: one per processor)")
    parser.add_argument(
        "--cache", type=Path, default=user_cache_path("mkfs-fuzz"), help="for what is interesting (default: %(default)s)"
    )
    given = parser.parse_intermixed_args()
    if unknown := set(given.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))} (expected some of {', '.join(TARGETS)})")
    with ThreadPoolExecutor(given.jobs) as pool:
        runs = list(pool.map(lambda name: fuzz_one(name, given.seconds, given.cache), given.targets or TARGETS))
    print(table(runs))
    sys.exit(any(run.crash for run in runs))


def fuzz_one(name: str, seconds: int, cache: Path) -> Run:
    """Fuzzes one target and puts in order what came of it: its corpus in `cache`, its crash among the kept inputs."""
    corpus, kept = cache / name, CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kitfs-fuzz-", dir=cache) as work:
        crashes, smaller = Path(work) / "crashes", Path(work) / "smaller"
        crashes.mkdir()
        smaller.mkdir()
        run = fuzz(name, seconds, [corpus, kept], crashes)
        if run.crash is not None:
            data = run.crash.read_bytes()
            found = kept / hashlib.sha256(data).hexdigest()[:16]
            found.write_bytes(data)
            print(f"{name}: {run.story}\nkept as {found}\n", flush=True)
            return Run(name, run.executions, run.features, run.corpus, found, run.said)
        minimise(name, smaller, [corpus, kept])
        shutil.rmtree(corpus)
        smaller.rename(corpus)
        print(f"{name}: {run.executions} executions, {run.features} features", flush=True)
    return run


def table(runs: Sequence[Run]) -> str:
    """As docs/RELIABILITY.md has it."""
    rows = [
        f"| {run.target} | {run.executions:,} | {run.features:,} | {run.corpus:,} | {int(run.crash is not None)} |" for run in runs
    ]
    return "\n".join(["", "| target | executions | coverage features | corpus | crashes |", "|---|---:|---:|---:|---:|", *rows])


if __name__ == "__main__":
    main()
