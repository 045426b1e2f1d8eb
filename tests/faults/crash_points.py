"""Kills our processes at system calls all over their work on a cache, and looks at what they leave: `scripts/crash-points --help`.

For each scenario and each system call, a run that nobody kills is traced first. Of the numbers of those calls that have to do with
the cache, as many as `--each` are taken, spread over the run. A number that does not fire there (no two runs are the same) is
replaced by its neighbour.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from tests.faults import strace
from tests.faults.crashes import SCENARIOS, Scenario, Stage, Theatre
from tests.faults.strace import CALLS, Call

LEAST_POINTS = 100  # of those that fired: below, the run proves too little to pass
TRIES = 8  # before a part of a run is given up: what a call is about differs from run to run, mostly for recvfrom


@dataclass
class Tally:
    """What came of the points of one system call."""

    tried: int = 0
    fired: int = 0
    wrong: int = 0
    leaked: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(mine + theirs for mine, theirs in zip(self.values(), other.values(), strict=True)))

    def values(self) -> tuple[int, int, int, int]:
        return self.tried, self.fired, self.wrong, self.leaked


def parts(numbers: list[int], count: int) -> list[list[int]]:
    """`numbers` in up to `count` runs of equal length: one point is wanted of each."""
    count = min(count, len(numbers))
    return [numbers[at * len(numbers) // count : (at + 1) * len(numbers) // count] for at in range(count)]


def points(theatre: Theatre, scenario: Scenario, call: Call, each: int) -> Iterator[tuple[int, Tally]]:
    """Kills at `each` points, if there are as many; what came of each try."""
    for part in parts(theatre.traced(scenario, call), each):
        middle = len(part) // 2
        for number in [*part[middle:], *part[:middle]][:TRIES]:
            crash = theatre.killed(scenario, call, number)
            if crash is None:
                yield number, Tally(tried=1)
                continue
            try:
                wrong, leaked = crash.wrong(), crash.leaked()
            finally:
                theatre.close(crash.shell)
            for what in [*wrong, *leaked]:
                click.echo(f"{scenario.name}, {call.name} {number}: {what}")
            yield number, Tally(1, 1, len(wrong), len(leaked))
            break


def main() -> int:
    """The program; 1 where a byte was wrong, space was lost, or too few points fired."""
    parser = argparse.ArgumentParser(prog="scripts/crash-points", description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=3, help="points for each scenario and system call (default: %(default)s)")
    parser.add_argument(
        "--mount-each", type=int, default=4, help="the same for the scenario with a real mount (default: %(default)s)"
    )
    parser.add_argument("--scenario", choices=[scenario.name for scenario in SCENARIOS], help="only this one")
    given = parser.parse_args()
    if not strace.has_strace():
        parser.error("needs strace, and the right to watch processes with it")
    logging.getLogger().addHandler(logging.NullHandler())  # what is damaged on purpose is said by many
    started = time.monotonic()
    tallies = {call.name: Tally() for call in CALLS}
    by_scenario = {scenario.name: Tally() for scenario in SCENARIOS}
    with tempfile.TemporaryDirectory(prefix="crash-points-") as directory, serve(MemoryRegistry()) as server:
        theatre = Theatre(Stage(Path(directory), server))
        for scenario in SCENARIOS:
            if given.scenario not in (None, scenario.name):
                continue
            for call in CALLS:
                numbers = []
                for number, tally in points(theatre, scenario, call, given.mount_each if scenario.mounts else given.each):
                    tallies[call.name] += tally
                    by_scenario[scenario.name] += tally
                    numbers.append(f"{number}{'' if tally.fired else ' (not)'}")
                click.echo(f"{scenario.name:<8} {call.name:<10} {', '.join(numbers) or 'never called'}")
    return report(tallies, by_scenario, time.monotonic() - started, least=0 if given.scenario else LEAST_POINTS)


def report(tallies: dict[str, Tally], by_scenario: dict[str, Tally], seconds: float, least: int) -> int:
    """Prints the tables; the exit code."""
    total = sum(tallies.values(), Tally())
    labels = {call.name: call.name if not call.named else f"{call.name} ({call.named})" for call in CALLS}
    for title, rows in (("system call", {labels[name]: tally for name, tally in tallies.items()}), ("scenario", by_scenario)):
        click.echo(f"\n{title:<52} tried  fired  wrong  leaked")
        for name, tally in {**rows, "all": total}.items():
            click.echo(f"{name:<52} {tally.tried:>5}  {tally.fired:>5}  {tally.wrong:>5}  {tally.leaked:>6}")
    click.echo(f"\nnever called by us: {', '.join(strace.NEVER)}")
    click.echo(f"{seconds:.0f} s")
    if total.fired < least:
        click.echo(f"only {total.fired} points fired (expected at least {least})")
    return int(total.wrong > 0 or total.leaked > 0 or total.fired < least)


if __name__ == "__main__":
    sys.exit(main())
