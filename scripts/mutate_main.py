"""Makes the mutants of some rooms, has each judged by the tests (`mutate_judge`), and prints a row for each room and the unnoticed.

What became of a mutant is a line of mutants/fates.jsonl, the last one counts. A function that changed has its mutants tried again,
and those that no test noticed are tried again each time, as there may be a test now. To have all tried again, remove mutants/.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants, setup_source_paths
from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.utils.file_utils import walk_mutatable_files

from scripts import mutate_judge

_ROOMS: Final = ("archive", "cache", "oci", "proof")
_DIRECTORY: Final = Path("mutants")
_FATES: Final = _DIRECTORY / "fates.jsonl"
_NOT_RUN: Final = "not run"
_UNNOTICED: Final = (mutate_judge.SURVIVED, mutate_judge.NO_TESTS)
_HEADS: Final = ("room", "mutants", "killed", "survived", "no tests", "timeout", "not run", "score")


def main() -> None:
    """Tries and prints."""
    parser = argparse.ArgumentParser(prog="scripts/mutate", description="Do the tests notice when the code is wrong?")
    parser.add_argument("room", nargs="*", choices=[[], *_ROOMS], default=[], help="which rooms (default: all)")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="how many mutants to try at once")
    parser.add_argument("--table", action="store_true", help="only print what became of them so far")
    arguments = parser.parse_args()
    rooms = arguments.room or _ROOMS
    _DIRECTORY.mkdir(exist_ok=True)
    mutants = _made(rooms)
    if not arguments.table:
        fates = _fates()
        new = [name for name, code in mutants.items() if (name, code) not in fates]
        wanted = [*new, *(name for name, code in mutants.items() if fates.get((name, code)) in _UNNOTICED)]
        print(f"{len(wanted)} of {len(mutants)} mutants are to be tried", file=sys.stderr)
        _try(wanted, mutants, arguments.children)
    _print(rooms, mutants)


def _made(rooms: Sequence[str]) -> dict[str, str]:
    """The mutants of `rooms` by name, below mutants/, each with the hash of the function it is one of."""
    set_mutant_under_test("mutant_generation")
    with contextlib.redirect_stdout(sys.stderr):  # it names each file
        copy_src_dir()
        copy_also_copy_files()
        setup_source_paths()
        create_mutants(1)
    mutants = {}
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        for name in data.exit_code_by_key:
            if name.split(".")[1] in rooms:
                mutants[name] = data.hash_by_function_name[name.rpartition(".")[2].partition("__mutmut_")[0]]
    return mutants


def _try(names: Sequence[str], mutants: dict[str, str], children: int) -> None:
    if not names:
        return
    start, tried = time.monotonic(), 0
    # pytest takes standard error for its own
    with _FATES.open("a", buffering=1, encoding="utf-8") as fates, os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8") as talk:

        def tell(text: str) -> None:
            print(text, file=talk)

        def note(verdict: mutate_judge.Verdict) -> None:
            nonlocal tried
            tried += 1
            fates.write(json.dumps([verdict.name, mutants[verdict.name], *verdict[1:]], ensure_ascii=False) + "\n")
            if tried % 100 == 0:
                tell(f"{tried} tried, {tried / (time.monotonic() - start) * 60:.0f} a minute")

        os.environ["HYPOTHESIS_PROFILE"] = "mutation"
        set_mutant_under_test("stats")  # so that what is called while tests are imported is counted
        options = ["--rootdir=.", "-p", "no:cacheprovider", "-q", "--tb=short"]
        tests = config().pytest_add_cli_args_test_selection
        os.chdir(_DIRECTORY)
        pytest.main([*options, *tests], plugins=[mutate_judge.Judge(names, children, note, tell)])
        os.chdir("..")


def _fates() -> dict[tuple[str, str], str]:
    """By name and hash."""
    if not _FATES.exists():
        return {}
    lines = (json.loads(line) for line in _FATES.read_text(encoding="utf-8").splitlines())
    return {(name, code): fate for name, code, fate, *_ in lines}


def _print(rooms: Sequence[str], mutants: dict[str, str]) -> None:
    known = _fates()
    fates = {name: known.get((name, code), _NOT_RUN) for name, code in mutants.items()}
    counts = {room: Counter(fate for name, fate in fates.items() if name.split(".")[1] == room) for room in rooms}
    rows = [_row(room, count) for room, count in counts.items()]
    if len(rows) > 1:
        rows.append(_row("all", sum(counts.values(), Counter())))
    print("\n".join(f"| {' | '.join(row)} |" for row in (_HEADS, ("---", *["---:"] * (len(_HEADS) - 1)), *rows)))
    print("\n".join(["", *(f"{fate}: {name}" for name, fate in fates.items() if fate in _UNNOTICED)]))


def _row(room: str, count: Counter[str]) -> tuple[str, ...]:
    noticed = count[mutate_judge.KILLED] + count[mutate_judge.TIMEOUT]
    tried = count.total() - count[_NOT_RUN]
    numbers = (count.total(), *(count[head] for head in _HEADS[2:-1]))
    return (room, *(f"{number:,}" for number in numbers), f"{noticed / tried:.1%}" if tried else "-")


if __name__ == "__main__":
    main()
