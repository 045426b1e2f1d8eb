"""The process of a daemon, before it knows what to mount. Imports only what starting it takes.

The daemon's imports take longer than anything its command has to do first (reading the command line, checking the place), so the
command starts it before that, and both work at once. The process waits for its settings on stdin. End of file there, without
any, ends it: so it cannot outlive a command that was killed.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final, Self, cast, final

DAEMON_MODULE: Final = "mkfs.service.daemon"
_LINE_LIMIT_BYTES: Final = 64 * 1024  # notices of a kit with hundreds of large layers fit


@final
class DaemonProcess:
    """A daemon that was started. A context manager: leaving it ends a process that was never asked for anything.

    Its stderr is ours until it has its settings: a crash before that is seen.
    """

    def __init__(self) -> None:
        """Starts it, in a session of its own."""
        read_end, write_end = os.pipe()
        self._word = os.fdopen(read_end, "rb")
        self._asked = False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", DAEMON_MODULE, str(write_end)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(write_end,),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(write_end)

    def ask(self, settings: bytes, heard: Callable[[bytes], None]) -> None:
        """Hands over its settings, once, and tells `heard` each line that it says. Returns after its word, or its end.

        There is no time limit of its own: the daemon's deadlines are the limit. Interrupted (KeyboardInterrupt), it ends the
        daemon, which then has mounted nothing or unmounts.
        """
        self._asked = True
        try:
            crashed = suppress(BrokenPipeError)  # before it read them
            with crashed, cast(IO[bytes], self._process.stdin) as stdin:
                stdin.write(settings)
            while line := self._word.readline(_LINE_LIMIT_BYTES):
                heard(line)
        except BaseException:
            self._process.terminate()
            self._process.wait()
            raise

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._word.close()
        if not self._asked:
            with self._process:  # closes its pipe and waits
                self._process.kill()
