"""Starting a daemon and waiting for its one word. Runs in the command's process, so it imports nothing heavy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from mkfs.errors import UsageError
from mkfs.service.logs import open_log
from mkfs.service.pipe import Outcome, decode
from mkfs.service.settings import MountSettings

DAEMON_MODULE: Final = "mkfs.service.daemon"
_OUTCOME_LIMIT_BYTES: Final = 64 * 1024  # notices of a kit with hundreds of large layers fit


def launch(settings: MountSettings) -> Outcome:
    """Starts a daemon in a session of its own and returns what it says: ready, or its error.

    There is no time limit of its own: the daemon's deadlines are the limit. Interrupted (KeyboardInterrupt), it ends the
    daemon, which then has mounted nothing or unmounts.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as word:
        try:
            with _open_log(settings.log_file) as log:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", DAEMON_MODULE, str(write_end)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(write_end,),
                    start_new_session=True,
                    cwd="/",
                )
        finally:
            os.close(write_end)
        try:
            with cast(IO[bytes], process.stdin) as stdin:
                stdin.write(msgspec.json.encode(settings))
            outcome = decode(word.read(_OUTCOME_LIMIT_BYTES))
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if outcome is not None and outcome.exit_code == 0:
        return outcome
    code = process.wait()
    lines = (
        f"the daemon ended before it was ready (exit status {code})",
        f"its last words are in {settings.log_file or 'its log'}",
    )
    return outcome or Outcome(1, lines)


def _open_log(log_file: str | None) -> IO[bytes]:
    """Where a daemon's stderr goes, before it logs by itself and if it crashes."""
    try:
        return Path(os.devnull).open("ab") if log_file is None else open_log(Path(log_file))
    except OSError as error:
        raise UsageError(f"log file cannot be written: {error.strerror}", log_file or "") from error
