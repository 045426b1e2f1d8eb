"""A reader of a soak: `python -m tests.support.soak_reader PLACE ORIGINALS SEED PULSE`.

Reads files below PLACE in the ways that loaders do, at random, and compares every byte with the file of the same name below
ORIGINALS. Errors are counted and waited out; a wrong byte ends it. PULSE is a small file that whoever watches may look at: see
`Pulse`.
"""

import errno
import json
import mmap
import os
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mkfs.units import KIB, MIB

_LAYOUT: Final = struct.Struct("<dQQQQQ")
_PIECE_BYTES: Final = MIB
_AFTER_ERROR_SECONDS: Final = 0.2  # a mount that died answers at once, and would be asked thousands of times
_BETWEEN_SECONDS: Final = 0.02  # what the page cache answers would take all of the machine, and try nothing
_PAGE_BYTES: Final = 4 * KIB
_WRONG: Final = 3  # exit status of the child that maps


class Pulse:
    """`began`: when the system call under way began (CLOCK_MONOTONIC, seconds; 0: none), `way`: which of the ways it is of, and
    counts since the beginning.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        if make:
            path.write_bytes(bytes(_LAYOUT.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _LAYOUT.size)
        self.began, self.way, self.works, self.right_bytes, self.wrong, self.errors = 0.0, 0, 0, 0, 0, 0

    def tell(self) -> None:
        """Writes."""
        self._map[:] = _LAYOUT.pack(self.began, self.way, self.works, self.right_bytes, self.wrong, self.errors)

    def beat(self) -> None:
        """One read is done, and the next begins."""
        self.began = time.monotonic()
        self.tell()

    def look(self) -> None:
        """Reads."""
        self.began, self.way, self.works, self.right_bytes, self.wrong, self.errors = _LAYOUT.unpack(self._map)

    @property
    def doing(self) -> str:
        """The way's name."""
        return WAYS[self.way].__name__


class WrongByte(Exception):
    """With the file and the offset of the piece."""


def in_order(path: Path, original: Path, _chance: random.Random, beat: Callable[[], None]) -> int:
    """The whole file, piece by piece."""
    with path.open("rb", buffering=0) as got, original.open("rb", buffering=0) as meant:
        at = 0
        while piece := meant.read(_PIECE_BYTES):
            check(path, at, _read(got.fileno(), len(piece), at, beat), piece)
            at += len(piece)
        check(path, at, _read(got.fileno(), 1, at, beat), b"")
    return at


def here_and_there(path: Path, original: Path, chance: random.Random, beat: Callable[[], None]) -> int:
    """Pieces of any size at any place."""
    size, total = original.stat().st_size, 0
    with path.open("rb", buffering=0) as got, original.open("rb", buffering=0) as meant:
        for _ in range(20):
            at, length = chance.randrange(size), chance.randrange(1, 512 * KIB)
            data = _read(got.fileno(), length, at, beat)
            check(path, at, data, os.pread(meant.fileno(), length, at))
            total += len(data)
    return total


def _read(descriptor: int, length: int, at: int, beat: Callable[[], None]) -> bytes:
    """Fewer bytes at the end only: what comes before an error comes short, and the error with the next call."""
    data = b""
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), at + len(data))
        beat()
        if not more:
            break
        data += more
    return data


def past_the_cache(path: Path, original: Path, chance: random.Random, beat: Callable[[], None]) -> int:
    """With O_DIRECT."""
    size = original.stat().st_size
    at = chance.randrange(size) // _PAGE_BYTES * _PAGE_BYTES
    room = mmap.mmap(-1, _PIECE_BYTES)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        length = os.preadv(descriptor, [room], at)
    finally:
        os.close(descriptor)
    with original.open("rb") as meant:
        check(path, at, room[:length], os.pread(meant.fileno(), _PIECE_BYTES, at))
    beat()
    return length


def mapped(path: Path, original: Path, chance: random.Random, beat: Callable[[], None]) -> int:
    """Pages of a mapping, in a child: an error is a signal there (SIGBUS)."""
    size = original.stat().st_size
    places = [chance.randrange(size) // _PAGE_BYTES * _PAGE_BYTES for _ in range(32)]
    child = os.fork()
    if not child:
        os._exit(_touch(path, original, places, beat))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _WRONG:
        raise WrongByte(f"{path} mapped, one of {places}")
    if code:
        raise OSError(errno.EIO, "mapped")
    return len(places) * _PAGE_BYTES


def _touch(path: Path, original: Path, places: list[int], beat: Callable[[], None]) -> int:
    try:
        with path.open("rb") as got, original.open("rb") as meant:
            pages = mmap.mmap(got.fileno(), 0, prot=mmap.PROT_READ)
            for at in places:
                if pages[at : at + _PAGE_BYTES] != os.pread(meant.fileno(), _PAGE_BYTES, at):
                    return _WRONG
                beat()
    except (OSError, ValueError):  # an empty or vanished file can't be mapped
        return 1
    return 0


def listing(place: Path, originals: Path, _chance: random.Random) -> int:
    """Names and sizes of everything."""
    for original in originals.rglob("*"):
        path = place / original.relative_to(originals)
        if original.is_file() and path.stat().st_size != original.stat().st_size:
            raise WrongByte(f"{path} has another size")
    return 0


def check(path: Path, at: int, got: bytes, meant: bytes) -> None:
    if got != meant:
        raise WrongByte(f"{path} at {at}: {len(got)} bytes instead of {len(meant)}, or others")


WAYS: Final[tuple[Callable[[Path, Path, random.Random, Callable[[], None]], int], ...]] = (
    in_order,
    here_and_there,
    past_the_cache,
    mapped,
)


def main() -> None:
    """Reads until it is killed. Prints what was wrong, and each error by name at the end of its pulse's file, as JSON."""
    place, originals, seed, pulse_file = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    chance = random.Random(seed)
    pulse = Pulse(pulse_file)
    files = sorted(path.relative_to(originals) for path in originals.rglob("*") if path.is_file())
    by_name: dict[str, int] = {}
    while True:
        name = chance.choice(files)
        pulse.beat()
        try:
            if chance.random() < 0.05:
                listing(place, originals, chance)
            else:
                if chance.random() < 0.3:
                    forget(place / name)
                pulse.way = chance.randrange(len(WAYS))
                pulse.beat()
                pulse.right_bytes += WAYS[pulse.way](place / name, originals / name, chance, pulse.beat)
        except OSError as error:
            pulse.errors += 1
            name_of = errno.errorcode.get(error.errno or 0, str(error.errno))
            by_name[name_of] = by_name.get(name_of, 0) + 1
            note(pulse_file.with_suffix(".json"), json.dumps(by_name))
            time.sleep(_AFTER_ERROR_SECONDS)
        except WrongByte as wrong:
            pulse.wrong += 1
            pulse.tell()
            sys.exit(f"WRONG: {wrong}")
        pulse.works += 1
        pulse.began = 0.0
        pulse.tell()
        time.sleep(_BETWEEN_SECONDS)


def note(path: Path, text: str) -> None:
    """Writes all of `text`, or nothing where this process is killed meanwhile."""
    half = path.with_suffix(".half")
    half.write_text(text)
    half.replace(path)


def forget(path: Path) -> None:
    """Has the kernel drop what it keeps of a file, so that the daemon is asked."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main()
