"""The daemon's way in: settings on stdin, one word on the pipe `WORD`, and before it how far it is. Called by `service.process`
only, in a fork of the command.
"""

import gc
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from mkfs.service.process import WORD

_STDIN: Final = 0
_STDERR: Final = 2


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
    with open(_STDIN, "rb", closefd=False) as stdin:
        words = stdin.read()
    if not words:
        return 0
    settings = msgspec.json.decode(words, type=MountSettings)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), _STDIN)
    with Path(os.devnull).open("ab") if settings.log_file is None else open_log(Path(settings.log_file)) as log:
        os.dup2(log.fileno(), _STDERR)  # so a crash is in the log too

    def announce(outcome: Outcome) -> None:
        os.set_blocking(WORD, True)
        os.write(WORD, encode(outcome))
        os.close(WORD)  # once: whoever waits reads to the end

    def show(moment: Progress) -> None:
        with suppress(BlockingIOError, BrokenPipeError):  # whoever waits is stopped, or gone: the word will tell
            os.write(WORD, encode(moment))

    os.set_blocking(WORD, False)
    return run(settings, announce, show)
