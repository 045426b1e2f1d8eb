"""A reader in a process of its own: `python -m tests.support.comparing PLACE ORIGINAL`.

Reads every file below PLACE to its end, in the order of their names, and compares it with the file of the same path below ORIGINAL,
byte by byte. Says one line of JSON: how many bytes came, how many of them were wrong, and which files could not be read.
"""

import json
import sys
from pathlib import Path
from typing import Final, TypedDict

from mkfs.units import MIB

_PIECE_BYTES: Final = MIB


class Compared(TypedDict):
    """What it says. A path that only one of the two has is an error, too."""

    read_bytes: int
    wrong_bytes: int
    errors: dict[str, str]  # by path


def compare(place: Path, original: Path) -> Compared:
    """Compares the two directories."""
    found: Compared = {"read_bytes": 0, "wrong_bytes": 0, "errors": {}}
    try:
        names = _files(place) | _files(original)
    except OSError as error:
        found["errors"][str(place)] = str(error)
        return found
    for name in sorted(names):
        try:
            _compare_file(place / name, original / name, found)
        except OSError as error:
            found["errors"][name] = str(error)
    return found


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def _compare_file(path: Path, original: Path, found: Compared) -> None:
    with path.open("rb", buffering=0) as read, original.open("rb") as expected:
        while piece := read.read(_PIECE_BYTES):
            right = expected.read(len(piece))
            found["read_bytes"] += len(piece)
            if piece != right:
                found["wrong_bytes"] += sum(a != b for a, b in zip(piece, right, strict=False)) + abs(len(piece) - len(right))
        if expected.read(1):
            found["errors"][path.name] = "ends too early"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(compare(Path(sys.argv[1]), Path(sys.argv[2]))))
