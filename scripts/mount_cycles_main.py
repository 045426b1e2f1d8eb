"""Mounts again and again, and what is left of that. A cycle is in `tests/support/cycles.py`. Exits with 1 if anything is left."""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import KIB, MIB
from tests.support.cycles import WARM_UP, Report, run
from tests.support.mounting import Shell

_HEADS: Final = ("way", "cycles", "wrong", "left", "parent's files", "parent's KiB", "daemon's files", "daemon's KiB", "")


def main() -> None:
    """Runs both ways, a row for each."""
    parser = argparse.ArgumentParser(prog="scripts/mount-cycles", description="Mounts, reads and unmounts, again and again.")
    parser.add_argument("cycles", nargs="?", type=int, default=1000, help="how often in the background (default: %(default)s)")
    parser.add_argument("--foreground", type=int, help="how often in the foreground (default: a tenth of that)")
    given = parser.parse_args()
    if os.geteuid() or not Path("/dev/fuse").exists():
        sys.exit("mount-cycles: mounting needs root and /dev/fuse")
    foreground = max(1, given.cycles // 10) if given.foreground is None else given.foreground
    wanted = {"background": given.cycles, "foreground": foreground}
    kit = KitBuilder("cycles", seed=1).model("weights.bin", 2 * MIB).docs("README.md", b"# again\n").build()
    registry = MemoryRegistry()
    _say(_HEADS)
    reports = []
    with serve(registry) as server:
        registry.push("life/cycles", "1", kit.manifest, kit.blobs)
        for way, cycles in wanted.items():
            with tempfile.TemporaryDirectory(prefix="kitfs-cycles-") as directory:
                shell = Shell(Path(directory) / "home")
                reports.append(run(shell, registry, f"{server.host}/life/cycles:1", kit, way, cycles))
                shell.tidy_up()
            _say(_row(reports[-1]))
    missed = sum(bool(report.misses) for report in reports)
    print(f"\na pair: the first and the last cycle, after {WARM_UP} that count for nothing; the parent ran them all")
    print("every cycle: all files read and compared; no mount, process, temporary or staged file or lock left")
    print("as it should be" if not missed else f"{missed} of {len(reports)} ways left something")
    sys.exit(bool(missed))


def _row(report: Report) -> tuple[str, ...]:
    return (
        report.way,
        str(report.cycles),
        str(report.wrong),
        str(len(report.left)),
        _pair(report.parent_files),
        _pair([size // KIB for size in report.parent_bytes]),
        _pair(report.daemon_files),
        _pair([size // KIB for size in report.daemon_bytes]),
        f"MISSED: {'; '.join(report.misses)}" if report.misses else "",
    )


def _pair(numbers: list[int]) -> str:
    return " / ".join(map(str, numbers))


def _say(cells: tuple[str, ...]) -> None:
    widths = (10, 6, 5, 4, 14, 15, 14, 15, 0)
    print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


if __name__ == "__main__":
    main()
