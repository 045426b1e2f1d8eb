"""The daemon's way in: `python -m mkfs.service.daemon FD`, settings on stdin, one word on the pipe FD. Started by
`service.process` only.
"""

import gc
import os
import sys
from pathlib import Path


def main() -> int:
    """Runs the mount to its end. Returns the exit code; 0 also where nobody wants a mount after all."""
    gc.disable()  # imports make no garbage, and looking for some costs a twentieth of them
    import msgspec

    from mkfs.service.logs import open_log
    from mkfs.service.mounted import run
    from mkfs.service.pipe import Outcome, encode
    from mkfs.service.settings import MountSettings

    gc.freeze()  # what is here stays to the end
    gc.enable()
    word = int(sys.argv[1])
    words = sys.stdin.buffer.read()
    if not words:
        return 0
    settings = msgspec.json.decode(words, type=MountSettings)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    with Path(os.devnull).open("ab") if settings.log_file is None else open_log(Path(settings.log_file)) as log:
        os.dup2(log.fileno(), sys.stderr.fileno())  # so a crash is in the log too

    def announce(outcome: Outcome) -> None:
        os.write(word, encode(outcome))
        os.close(word)  # once: whoever waits reads to the end

    return run(settings, announce)


if __name__ == "__main__":
    sys.exit(main())
