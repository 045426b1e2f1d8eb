"""A reader that knows what it should get: `python -m tests.faults.reading FILE ORIGINAL …`.

Reads each FILE block by block, on past errors, and says in a line of JSON how many bytes were right, where the first wrong one was
(None: nowhere), and the name of the first error.
"""

import errno
import json
import os
import sys
from pathlib import Path

from mkfs.units import KIB

BLOCK_BYTES = 128 * KIB


def compare(path: str, original: bytes) -> dict[str, object]:
    """What came of reading `path`."""
    right, error, wrong = 0, "", None
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as failure:
        return {"right": 0, "wrong": None, "error": name_of(failure)}
    try:
        start = 0
        while wrong is None:
            try:
                data = os.pread(file, BLOCK_BYTES, start)
            except OSError as failure:
                error = error or name_of(failure)
                data = b""
            expected = original[start : start + BLOCK_BYTES]
            if data and data != expected:
                differing = (at for at, (got, meant) in enumerate(zip(data, expected, strict=False)) if got != meant)
                wrong = start + next(differing, min(len(data), len(expected)))
            right += len(data)
            start += BLOCK_BYTES
            if start > len(original) + BLOCK_BYTES:  # one block past the end: nothing may be there
                break
        if not error and wrong is None and right != len(original):
            wrong = right  # it ended early and nobody said why
    finally:
        os.close(file)
    return {"right": right, "wrong": wrong, "error": error}


def name_of(failure: OSError) -> str:
    return errno.errorcode.get(failure.errno or 0, str(failure.errno))


if __name__ == "__main__":
    words = sys.argv[1:]
    for path, original in zip(words[::2], words[1::2], strict=True):
        sys.stdout.write(json.dumps(compare(path, Path(original).read_bytes())) + "\n")
