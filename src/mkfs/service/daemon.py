"""The daemon's way in: `python -m mkfs.service.daemon FD`, settings on stdin, one word on the pipe FD. Started by `service.launch`
only.
"""

import os
import sys
from pathlib import Path

import msgspec

from mkfs.service.mounted import run
from mkfs.service.pipe import Outcome, encode
from mkfs.service.settings import MountSettings


def main() -> int:
    """Runs the mount to its end. Returns the exit code."""
    word = int(sys.argv[1])
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=MountSettings)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())

    def announce(outcome: Outcome) -> None:
        os.write(word, encode(outcome))
        os.close(word)  # once: whoever waits reads to the end

    return run(settings, announce)


if __name__ == "__main__":
    sys.exit(main())
