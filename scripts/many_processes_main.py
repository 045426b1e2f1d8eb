"""Many daemons over one cache: whether each byte comes from the origin once, and is right for everybody.

A cell is a case and a number of processes, each of them a real `kitfs mount` with a reader of its own that compares every byte with
the original. `tests/support/cells.py` says what happens in each case. Exits with 1 if a cell misses what is promised.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

from mkfs.units import MIB, format_size
from tests.support.cells import CASES, RATIO, Result, Sizes, run

T = TypeVar("T")

PROCESSES: Final = (2, 8, 32)
# A kit has 320 MiB, its first layer is one request. Who is killed has three quarters of that by then, 7.5 % of all there is. Who is
# stopped has little: nobody else can have that, nor the 8 MiB and less that his sockets hold.
KILLED: Final = Sizes(first_bytes=32 * MIB, shared_bytes=256 * MIB, own_bytes=32 * MIB, held_bytes=24 * MIB)
STOPPED: Final = Sizes(first_bytes=12 * MIB, shared_bytes=276 * MIB, own_bytes=32 * MIB, held_bytes=2 * MIB)
_HEADS: Final = ("case", "processes", "distinct", "origin", "ratio", "victim", "read", "wrong bytes", "seconds", "")


def main() -> None:
    """Runs the cells, a row for each as soon as it is there."""
    given = _arguments()
    if os.geteuid() or not Path("/dev/fuse").exists():
        sys.exit("many-processes: mounting needs root and /dev/fuse")
    _say(_HEADS)
    results = []
    for case in given.cases:
        for processes in given.processes:
            with tempfile.TemporaryDirectory(prefix="kitfs-many-", dir=given.directory, ignore_cleanup_errors=True) as directory:
                results.append(run(Path(directory), case, processes, STOPPED if case == "stopped" else KILLED))
            _say(_row(results[-1]))
    missed = sum(bool(result.misses) for result in results)
    print(f"\norigin: all that the registry sent; at most {RATIO} of the distinct bytes are promised")
    print("victim: of that, what came to the process that was killed or stopped until then, or lay in its sockets")
    print(f"{len(results) - missed} of {len(results)} cells as promised")
    if given.json:
        given.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n", "utf-8")
    sys.exit(bool(missed))


class _Arguments(argparse.Namespace):
    cases: list[str]
    processes: list[int]
    directory: Path | None
    json: Path | None


def _arguments() -> _Arguments:
    parser = argparse.ArgumentParser(prog="scripts/many-processes", description="Many daemons over one cache.")
    parser.add_argument("--cases", type=_listed(str), default=list(CASES), help=f"comma-separated (default: {','.join(CASES)})")
    parser.add_argument("--processes", type=_listed(int), default=list(PROCESSES), help="comma-separated (default: 2,8,32)")
    parser.add_argument("--directory", type=Path, help="where to work, on a real disk (default: a temporary directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    given = parser.parse_args(namespace=_Arguments())
    if unknown := set(given.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))} (there are {', '.join(CASES)})")
    if min(given.processes) < 2:
        parser.error("one process shares with nobody (expected 2 and more)")
    return given


def _listed(read: Callable[[str], T]) -> Callable[[str], list[T]]:
    return lambda text: [read(word) for word in text.split(",")]


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.case,
        str(result.processes),
        format_size(result.distinct_bytes),
        format_size(result.origin_bytes),
        f"{result.ratio:.3f}",
        format_size(result.victim_bytes) if result.victim_bytes else "",
        format_size(result.read_bytes),
        str(result.wrong_bytes),
        f"{result.seconds:.1f}",
        f"MISSED: {'; '.join(result.misses)}" if result.misses else "",
    )


def _say(cells: tuple[str, ...]) -> None:
    widths = (9, 9, 9, 9, 5, 8, 9, 11, 7, 0)
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    main()
