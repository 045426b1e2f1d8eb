"""What every target holds its parser to: which errors may come out, how they read, and how much work an input may cause."""

import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final, ParamSpec, TypeVar

from mkfs.errors import LINE_LIMIT, MkfsError
from mkfs.units import MIB

LINES_LIMIT: Final = 3  # of an error: what, where, what to do

P = ParamSpec("P")
T = TypeVar("T")


def answer(
    errors: type[MkfsError] | tuple[type[MkfsError], ...], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """What `call` returns; None where it refuses with one of `errors`, in words that are fit for a person. Anything else it raises
    is a defect, and goes on.
    """
    try:
        return call(*args, **kwargs)
    except errors as error:
        check_words(error)
        return None


def check_words(error: MkfsError) -> None:
    """That an error is three printable lines at most, of bounded length."""
    lines = error.lines()
    assert 0 < len(lines) <= LINES_LIMIT, lines
    for line in lines:
        assert line.isprintable(), f"an error that cannot be printed: {line!a}"
        assert len(line) <= LINE_LIMIT, f"an error of {len(line)} characters: {line[:200]!a}"


@dataclass(frozen=True)
class Work:
    """What a call took: calls of functions, ours and the libraries', and bytes held at most."""

    calls: int
    peak_bytes: int


CALLS: Final = 10_000  # whatever the input
CALLS_PER_BYTE: Final = 60  # a target reads its input up to a dozen times; YAML takes 14 calls a byte
PEAK_BYTES: Final = 2 * MIB  # the content of a compressed layer is bounded by its target, at an eighth of it
PEAK_PER_BYTE: Final = 300


def work_of(call: Callable[[], object]) -> Work:
    """Counts what `call` takes. Slow: for small inputs."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    tracemalloc.start()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return Work(calls, peak)


def check_work(work: Work, input_bytes: int) -> None:
    """That an input of so many bytes caused no more work than is in proportion to it."""
    assert work.calls <= CALLS + CALLS_PER_BYTE * input_bytes, f"{work.calls} calls for {input_bytes} bytes"
    assert work.peak_bytes <= PEAK_BYTES + PEAK_PER_BYTE * input_bytes, f"{work.peak_bytes} bytes held for {input_bytes} bytes"
