"""A daemon's part in the tests with several processes: `python -m tests.cache.worker ROOT [SIZE-LIMIT]`.

Obeys one command a line on its standard input and answers each with a line; the commands are the methods of `Daemon`, with the
words behind them. The layer is MIXED, words are numbers of its chunks.
"""

import sys
from pathlib import Path

from mkfs.cache.files import Buffer
from mkfs.cache.partial import Missing
from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable
from tests.cache.material import MIXED, raw


def verdict(answer: Buffer) -> str:
    return "right" if MIXED.is_right(MIXED.whole, answer) else "wrong"


class Daemon:
    def __init__(self, root: Path, size_limit_bytes: int | None) -> None:
        self.cache = Cache.open(root, min_free_ratio=0, size_limit_bytes=size_limit_bytes)
        self.lock = self.cache.lock(MIXED.digest)
        self.staging = self.partial = None

    def stage(self) -> str:
        """Begins to receive the whole layer and writes half of it."""
        self.staging = self.cache.stage(MIXED.blob, MIXED.grid)
        self.staging.write(0, MIXED.content[: len(MIXED.content) // 2])
        return "staged"

    def publish(self) -> str:
        """Writes the rest and publishes."""
        half = len(MIXED.content) // 2
        self.staging.write(half, MIXED.content[half:])
        return verdict(self.staging.publish(MIXED.index).read(MIXED.whole))

    def read(self) -> str:
        """Reads the whole layer, found anew."""
        found = self.cache.layer(MIXED.digest)
        return "absent" if found is None else verdict(found.read(MIXED.whole))

    def hold(self) -> str:
        """Opens the whole layer and keeps it open."""
        self.held = self.cache.layer(MIXED.digest)
        return "absent" if self.held is None else "held"

    def held_is(self) -> str:
        """Reads the layer that is held."""
        return verdict(self.held.read(MIXED.whole))

    def add(self, seeds: str, size_bytes: str) -> str:
        """Publishes layers of that many bytes, one after another, and reads each; how many there was room for."""
        added = 0
        for seed in seeds.split(","):
            layer = raw(int(size_bytes), int(seed))
            try:
                stored = layer.publish(self.cache)
            except CacheUnusable:
                continue
            if not layer.is_right(layer.whole, stored.read(layer.whole)):
                return "wrong"
            stored.close()
            added += 1
        return str(added)

    def open(self) -> str:
        """Opens the layer that is stored chunk by chunk; before `put`, `has` and `chunks`."""
        self.partial = self.cache.partial(MIXED.index)
        return "opened"

    def put(self, *numbers: str) -> str:
        for number in map(int, numbers):
            self.partial.put(number, MIXED.chunk(number))
        return "stored"

    def has(self, number: str) -> str:
        return str(self.partial.has(int(number)))

    def chunks(self) -> str:
        """Reads the whole layer from its chunks."""
        try:
            return verdict(self.partial.read(MIXED.whole))
        except Missing as error:
            return f"missing {' '.join(map(str, error.numbers))}"

    def lock_chunk(self, number: str, rank: str = "0") -> str:
        return str(self.lock.try_chunk(int(number), int(rank)))

    def lock_layer(self, rank: str = "0") -> str:
        return str(self.lock.try_layer(int(rank)))

    def release(self, number: str) -> str:
        self.lock.release_chunk(int(number))
        return "released"

    def bump(self, number: str | None = None) -> str:
        self.lock.bump(None if number is None else int(number))
        return "bumped"


def say(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()


def main() -> None:
    daemon = Daemon(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else None)
    say("open")
    for line in sys.stdin:
        command, *words = line.split()
        say(getattr(daemon, command)(*words))


if __name__ == "__main__":
    main()
