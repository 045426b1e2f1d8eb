"""A long way to a registry on this machine: rate, delay and slow start in front of any `host:port`.

    with shaped("127.0.0.1:5000", GIGABIT) as link:
        ...  # link.host stands in for 127.0.0.1:5000

or, for measurements, in a process of its own:

    python -m mkfs.testing.link 127.0.0.1:5000 --megabits 1000 --round-trip-ms 20

which prints its own `host:port` on a line once it listens, and serves until it is interrupted or terminated. `link_model` says
what is modelled and what is not.
"""

import argparse
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mkfs.testing.link_model import GIGABIT, GIGABIT_NARROW, HUNDRED_MEGABIT, Shape, Stall
from mkfs.testing.link_proxy import Carried, LinkProxy
from mkfs.units import KIB

__all__ = ["GIGABIT", "GIGABIT_NARROW", "HUNDRED_MEGABIT", "Carried", "LinkProxy", "Shape", "Stall", "main", "shaped"]

_TARGET: Final = re.compile(r"([^:]+):([0-9]{1,5})", re.ASCII)
_STALL: Final = re.compile(r"([0-9]+):([0-9]+(?:\.[0-9]+)?)", re.ASCII)


@contextmanager
def shaped(target: str, shape: Shape = GIGABIT, *, port: int = 0) -> Iterator[LinkProxy]:
    """A link to `target`, `host:port`, until the block is left; `port` 0 takes a free one. Raises `OSError` where it is taken."""
    link = LinkProxy(_address(target), shape, ("127.0.0.1", port))
    link.start()
    try:
        yield link
    finally:
        link.stop()


def main(words: list[str] | None = None) -> None:
    """The program. Exits with 2 and one line where the words are off."""
    parser = argparse.ArgumentParser(prog="python -m mkfs.testing.link", description="Put a long way in front of a TCP server.")
    parser.add_argument("target", type=_target, metavar="HOST:PORT", help="the server")
    parser.add_argument("--megabits", type=int, default=GIGABIT.bits_per_second // 10**6, help="a second (default: %(default)s)")
    parser.add_argument("--round-trip-ms", type=float, default=GIGABIT.round_trip_seconds * 1000, help="(default: %(default)s)")
    parser.add_argument(
        "--window-kib", type=int, default=GIGABIT.window_limit_bytes // KIB, help="of a connection at most (default: %(default)s)"
    )
    parser.add_argument(
        "--stall", type=_stall, action="append", default=[], metavar="BYTE:SECONDS", help="let each connection pause there"
    )
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: a free one)")
    given = parser.parse_args(words)
    shape = Shape(given.megabits * 10**6, given.round_trip_ms / 1000, tuple(given.stall), window_limit_bytes=given.window_kib * KIB)
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before there are threads, so that only `sigwait` sees them
    with shaped(given.target, shape, port=given.port) as link:
        sys.stdout.write(f"{link.host}\n")
        sys.stdout.flush()
        signal.sigwait(ends)


def _address(text: str) -> tuple[str, int]:
    match = _TARGET.fullmatch(text)
    if match is None:
        raise ValueError(f"not an address: {text!r} (expected host:port)")
    return match[1], int(match[2])


def _target(text: str) -> str:
    _address(text)
    return text


def _stall(text: str) -> Stall:
    match = _STALL.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return Stall(int(match[1]), float(match[2]))


if __name__ == "__main__":
    main()
