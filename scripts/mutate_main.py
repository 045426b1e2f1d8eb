"""What became of the mutants: a row for each room, and the names of those that no test noticed. Reads mutants/."""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

_ROOMS: Final = ("proof", "cache", "archive", "oci")
_SOURCES: Final = Path("mutants/src/mkfs")
# How pytest, or the signal that ended it, came back: mutmut's own reading (mutmut.stats).
_KILLED, _SURVIVED, _NO_TESTS, _TIMEOUT, _LEFT = "killed", "survived", "no tests", "timeout", "not run"
_FATES: Final[dict[int | None, str]] = {
    None: _LEFT,
    0: _SURVIVED,
    1: _KILLED,
    3: _KILLED,
    5: _NO_TESTS,
    33: _NO_TESTS,
    24: _TIMEOUT,
    36: _TIMEOUT,
    152: _TIMEOUT,
    255: _TIMEOUT,
    -24: _TIMEOUT,
}
_HEADS: Final = ("room", "mutants", "killed", "survived", "no tests", "timeout", "not run", "score")


def main() -> None:
    """Prints the table, then the names. A mutant that ran into its time limit counts as noticed, one without tests does not."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description="What became of the mutants.")
    parser.add_argument("room", nargs="*", default=_ROOMS, help="which rooms (default: all)")
    rooms = parser.parse_args().room
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    unnoticed = []
    for room in rooms:
        for meta in sorted((_SOURCES / room).glob("*.meta")):
            for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
                fate = _FATES.get(code, _KILLED)
                counts[room][fate] += 1
                if fate in (_SURVIVED, _NO_TESTS):
                    unnoticed.append(f"{fate}: {name}")
    rows = [_row(room, counts[room]) for room in rooms if counts[room]]
    if len(rows) > 1:
        rows.append(_row("all", sum(counts.values(), Counter())))
    print("\n".join(f"| {' | '.join(row)} |" for row in (_HEADS, ("---", *["---:"] * (len(_HEADS) - 1)), *rows)))
    print("\n".join(["", *unnoticed]))


def _row(room: str, count: Counter[str]) -> tuple[str, ...]:
    noticed = count[_KILLED] + count[_TIMEOUT]
    tried = count.total() - count[_LEFT]
    score = f"{noticed / tried:.1%}" if tried else "-"
    numbers = (count.total(), count[_KILLED], count[_SURVIVED], count[_NO_TESTS], count[_TIMEOUT], count[_LEFT])
    return (room, *(f"{number:,}" for number in numbers), score)


if __name__ == "__main__":
    main()
