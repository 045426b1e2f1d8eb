"""A daemon's part in the tests with several processes: `python -m tests.cache.worker ROOT`.

Obeys one command a line on its standard input and answers each with a line: `stage` (begins to receive MIXED and writes half of
it), `publish` (writes the rest and publishes), `read` (says whether the whole layer, read anew, is right).
"""

import sys
from pathlib import Path

from mkfs.cache.store import Cache
from tests.cache.material import MIXED


def say(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def main() -> None:
    cache = Cache.open(Path(sys.argv[1]), min_free_ratio=0)
    half = len(MIXED.content) // 2
    say("open")
    for line in sys.stdin:
        command = line.strip()
        if command == "stage":
            staging = cache.stage(MIXED.blob, MIXED.grid)
            staging.write(0, MIXED.content[:half])
            say("staged")
        elif command == "publish":
            staging.write(half, MIXED.content[half:])
            stored = staging.publish(MIXED.index)
            say("right" if MIXED.is_right(MIXED.whole, stored.read(MIXED.whole)) else "wrong")
        elif command == "read":
            found = cache.layer(MIXED.digest)
            answer = None if found is None else found.read(MIXED.whole)
            say("absent" if answer is None else "right" if answer == MIXED.content else "wrong")


if __name__ == "__main__":
    main()
