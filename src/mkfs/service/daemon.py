"""The daemon's way in: `python -m mkfs.service.daemon FD`, settings on stdin, one word on the pipe FD, and before it how far it is.
Started by `service.process` only.
"""

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path


def main() -> int:
    """Runs the mount to its end. Returns the exit code; 0 also where nobody wants a mount after all."""
    gc.disable()  # imports make no garbage, and looking for some costs a twentieth of them
    import msgspec

    from mkfs.service.logs import open_log
    from mkfs.service.mounted import run
    from mkfs.service.pipe import Outcome, encode
    from mkfs.service.progress import Progress
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
        os.set_blocking(word, True)
        os.write(word, encode(outcome))
        os.close(word)  # once: whoever waits reads to the end

    def show(moment: Progress) -> None:
        with suppress(BlockingIOError, BrokenPipeError):  # whoever waits is stopped, or gone: the word will tell
            os.write(word, encode(moment))

    os.set_blocking(word, False)
    return run(settings, announce, show)


if __name__ == "__main__":
    sys.exit(main())
