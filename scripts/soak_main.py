"""Two mounts, eight readers, a fault every ten seconds, kill -9 every five minutes; what came of it. `scripts/soak --help`."""

import argparse
import os
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import msgspec

from mkfs.units import MIB, format_size, parse_duration
from tests.support.soaking import GROWTH, STUCK_SECONDS, WARM_SECONDS, Life, Plan, Report, soak


def main() -> None:
    """Runs the soak, and fails where something promised is not so."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.splitlines()[0])
    parser.add_argument("length", nargs="?", type=parse_duration, default=3600, help="e.g. 10min, 2h (default: 1h)")
    parser.add_argument("--fault-every", type=parse_duration, default=10, metavar="DURATION", help="default: 10s")
    parser.add_argument("--kill-every", type=parse_duration, default=300, metavar="DURATION", help="default: 5min")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="where to work, on a real disk (default: a temporary directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    given = parser.parse_args()
    if os.geteuid() or not Path("/dev/fuse").exists():
        parser.error("mounting needs root and /dev/fuse")
    faults, per_kill = max(1, round(given.length / given.fault_every)), max(1, round(given.kill_every / given.fault_every))
    plan = Plan(faults, per_kill, given.fault_every, seed=given.seed)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left mounted
    with tempfile.TemporaryDirectory(prefix="kitfs-soak-", dir=given.directory, ignore_cleanup_errors=True) as directory:
        report = soak(Path(directory), plan, lambda line: print(line, flush=True))
    print(table(report))
    if given.json:
        given.json.write_bytes(msgspec.json.encode({**vars(report), "misses": report.misses}))
    sys.exit(bool(report.misses))


def table(report: Report) -> str:
    """The figures, as docs/RELIABILITY.md has them."""
    errors = ", ".join(f"{name} {count}" for name, count in report.errors.most_common())
    rows = [
        ("length", f"{report.seconds / 60:.0f} min"),
        ("faults", f"{report.faults.total()}, of {len(report.faults)} kinds"),
        ("kill -9", str(report.kills)),
        ("reads", f"{report.works}, {format_size(report.right_bytes)} compared"),
        ("wrong bytes", str(len(report.wrong))),
        (f"stuck longer than {STUCK_SECONDS:.0f} s", str(len(report.stuck))),
        ("errors while a fault lasted", errors or "none"),
        ("tracebacks in logs", str(report.tracebacks)),
        *(
            (f"RssAnon, descriptors of a daemon of {life.samples[-1][0] / 60:.0f} min", flat(life))
            for life in report.lives
            if life.samples and life.samples[-1][0] > 2 * WARM_SECONDS
        ),
        (f"grown by more than {GROWTH:.2f} ×", "; ".join(filter(None, (life.grown() for life in report.lives))) or "none"),
        ("misses", "; ".join(report.misses) or "none"),
    ]
    return "\n".join(["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def flat(life: Life) -> str:
    """First and last third after warming up, as medians, and the most."""
    late = [sample for sample in life.samples if sample[0] >= WARM_SECONDS]
    third = max(1, len(late) // 3)
    parts = [late[:third], late[-third:]]
    memory = [statistics.median(each[1] for each in part) / MIB for part in parts]
    files = [statistics.median(each[2] for each in part) for part in parts]
    most = max(each[1] for each in life.samples) / MIB
    return f"{memory[0]:.0f} → {memory[1]:.0f} MiB (at most {most:.0f}), {files[0]:.0f} → {files[1]:.0f}"


if __name__ == "__main__":
    main()
