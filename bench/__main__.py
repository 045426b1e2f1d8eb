"""`python -m bench [QUESTION …]`: see the package."""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, Protocol

from bench import again, cold, copy, crowd, first_byte, index, layers, link, listing, load, mapped, patterns, small, startup, warm
from bench.machine import description
from bench.memory import AsItIs, steady
from bench.publishing import publish
from bench.report import Answer
from bench.scene import Scene, program, scene
from mkfs.errors import UsageError
from mkfs.units import GIB, MIB, format_size, parse_size


class _Program(Protocol):
    def __call__(self, scene: Scene, /, *, rounds: int, size_bytes: int) -> Answer: ...


_QUESTIONS: Final[dict[str, _Program]] = {
    "startup": startup.measure,
    "cold": cold.measure,
    "copy": copy.measure,
    "patterns": patterns.measure,
    "mmap": mapped.measure,
    "processes": crowd.measure,
    "link": link.measure,
    "load": load.measure,
    "small": small.measure,
    "layers": layers.measure,
    "again": again.measure,
    "warm": warm.measure,
    "first_byte": first_byte.measure,
    "index": index.measure,
    "listing": listing.measure,
}
_ROUNDS: Final = 5
_LEAST_BYTES: Final = 8 * MIB  # shards of 2 MiB: smaller ones would be proven by the mount itself
_INTERRUPTED: Final = 128 + signal.SIGINT


def main() -> None:
    """Measures, prints, and leaves nothing behind."""
    given = _arguments()
    if os.geteuid() or not Path("/dev/fuse").exists():
        sys.exit("bench: mounting needs root and /dev/fuse")
    signal.signal(signal.SIGTERM, _interrupt)  # ends as Ctrl-C does, so that everything is taken down
    try:
        with steady(given.size) if given.steady else nullcontext(AsItIs()) as ground, scene(given.directory, ground) as stage:
            machine = description(stage.directory, program("oras"))
            for name, words in machine.items():
                print(f"{name:<9} {words}")
            print(f"{'rounds':<9} {given.rounds}, turn by turn{', memory held steady' if given.steady else ''}", flush=True)
            questions = {
                name: partial(_QUESTIONS[name], stage, rounds=given.rounds, size_bytes=given.size)
                for name in given.questions or _QUESTIONS
            }
            run = {"rounds": given.rounds, "size": format_size(given.size), "steady": given.steady}
            keep = partial(publish, run=run, machine=machine)
            answers, failed = ask(questions, keep) if given.publish else ask(questions)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    if given.json:
        given.json.write_text(
            json.dumps({"machine": machine, **run, "questions": answers}, indent=2) + "\n",
            "utf-8",
        )
    if failed:
        sys.exit(f"bench: no answer to {', '.join(failed)}")


def ask(
    questions: Mapping[str, Callable[[], Answer]], keep: Callable[[Answer], None] = lambda _: None
) -> tuple[dict[str, object], list[str]]:
    """Asks all questions, prints the answers, and gives each to `keep`. What is to be written of each, and which failed: one that
    fails stops no other.
    """
    answers: dict[str, object] = {}
    failed = []
    for name, measure in questions.items():
        try:
            answer = measure()
        except Exception as error:  # noqa: BLE001 - whatever it was: said, kept, and the run fails in the end
            print(f"\n== {name}: FAILED: {error}", flush=True)
            traceback.print_exc()
            answers[name] = {"failed": str(error)}
            failed.append(name)
        else:
            print(f"\n{answer.text()}", flush=True)
            answers[name] = answer.as_json()
            keep(answer)
    return answers, failed


class _Arguments(argparse.Namespace):
    questions: list[str]
    rounds: int
    size: int
    directory: Path | None
    steady: bool
    json: Path | None
    publish: bool


def _arguments() -> _Arguments:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures, beside peers in the same run.")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"{', '.join(_QUESTIONS)} (default: all)")
    parser.add_argument("--rounds", type=_at_least(1, int), default=_ROUNDS, help="turns of each (default: %(default)s)")
    parser.add_argument("--size", type=_at_least(_LEAST_BYTES, _size), default=GIB, help="of the large kit (default: 1GiB)")
    parser.add_argument("--directory", type=Path, help="where to work, on a real disk (default: a temporary directory)")
    parser.add_argument("--steady", action="store_true", help="keep free memory busy: for machines whose host takes it back")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--publish", action="store_true", help="write numbers and pictures into docs/benchmarks")
    given = parser.parse_args(namespace=_Arguments())
    if unknown := set(given.questions) - set(_QUESTIONS):
        parser.error(f"no such question: {', '.join(sorted(unknown))} (there are {', '.join(_QUESTIONS)})")
    return given


def _at_least(least: int, read: Callable[[str], int]) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = read(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text} is too small (expected at least {least})")
        return value

    return number


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
