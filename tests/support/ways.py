"""The ways that loaders read a file, each in a process of its own: `python -m tests.support.ways WAY FILE` says the file's sha256.

In a process of its own because a page fault is waited for with the interpreter's lock held: who serves the bytes must be another.
"""

import mmap
import os
import sys
from hashlib import sha256
from pathlib import Path

from mkfs.units import MIB

MADV_POPULATE_READ = 22  # madvise(2), since Linux 5.14; Python 3.11 has no name for it


def by_blocks(path: Path) -> str:
    """As `cat` and most loaders."""
    hashed = sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(16 * MIB):
            hashed.update(piece)
    return hashed.hexdigest()


def past_the_page_cache(path: Path) -> str:
    """As InstantTensor: O_DIRECT, into aligned memory, to an end that is not aligned."""
    hashed, at = sha256(), 0
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, 8 * MIB) as memory:
        while count := os.preadv(file, [memory], at):
            hashed.update(memory[:count])
            at += count
    os.close(file)
    return hashed.hexdigest()


def after_a_hint(path: Path) -> str:
    """As llama.cpp: posix_fadvise(WILLNEED) for all of it, then reads."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    return by_blocks(path)


def populated(path: Path) -> str:
    """As TensorRT-LLM: a mapping that is populated window by window, then read."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for start in range(0, len(mapped), 16 * MIB):
            mapped.madvise(MADV_POPULATE_READ, start, min(16 * MIB, len(mapped) - start))
        return sha256(mapped).hexdigest()


def by_faults_from_the_end(path: Path) -> str:
    """As a loader that takes tensors in the order of their names: page faults, backwards."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for start in range(len(mapped) - 1, 0, -MIB):
            mapped[start]
        return sha256(mapped).hexdigest()


WAYS = {way.__name__: way for way in (by_blocks, past_the_page_cache, after_a_hint, populated, by_faults_from_the_end)}

if __name__ == "__main__":
    sys.stdout.write(WAYS[sys.argv[1]](Path(sys.argv[2])))
