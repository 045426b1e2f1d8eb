"""The process of a daemon, before it knows what to mount. Imports only what starting it takes.

The daemon's imports take longer than anything its command has to do first (reading the command line, checking the place), so the
command starts it before that, and both work at once. It is a fork of a command that has no thread and holds no lock yet: a second
interpreter would take 25 ms before it came as far. The process waits for its settings on stdin. End of file there, without any,
ends it: so it cannot outlive a command that was killed.
"""

import fcntl
import importlib
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, Self, final

DAEMON_MODULE: Final = "mkfs.service.daemon"
# What a service manager says to the process it started, and to no other: its socket, and two of its watchdog (sd_notify(3)).
SUPERVISION: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
WORD: Final = 3  # the daemon's only descriptor beside the usual three
_LINE_LIMIT_BYTES: Final = 64 * 1024  # notices of a kit with hundreds of large layers fit


@final
class DaemonProcess:
    """A daemon that was started. A context manager: leaving it ends a process that was never asked for anything.

    Its stderr is ours until it has its settings: a crash before that is seen.
    """

    def __init__(self) -> None:
        """Starts it, in a session of its own. To be called before there are threads."""
        word, say = os.pipe()
        hear, settings = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            _become_daemon(hear, say)
        os.close(say)
        os.close(hear)
        self._word, self._settings = os.fdopen(word, "rb"), os.fdopen(settings, "wb")
        self._exit_code: int | None = None

    def ask(self, settings: bytes, heard: Callable[[bytes], None]) -> None:
        """Hands over its settings, once, and tells `heard` each line that it says. Returns after its word, or its end.

        There is no time limit of its own: the daemon's deadlines are the limit. Interrupted (KeyboardInterrupt), it ends the
        daemon, which then has mounted nothing or unmounts.
        """
        try:
            crashed = suppress(BrokenPipeError)  # before it read them
            with crashed, self._settings as stdin:
                stdin.write(settings)
            while line := self._word.readline(_LINE_LIMIT_BYTES):
                heard(line)
        except BaseException:
            os.kill(self.pid, signal.SIGTERM)
            self.wait()
            raise

    def wait(self) -> int:
        """Its exit code, when it has ended; less than 0 for a signal."""
        if self._exit_code is None:
            self._exit_code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._exit_code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._word.close()
        if not self._settings.closed:  # it was not asked
            os.kill(self.pid, signal.SIGKILL)
            self._settings.close()
            self.wait()


def _become_daemon(hear: int, say: int) -> NoReturn:
    """Runs the daemon in this process, which is a fork: nothing of whoever it is a fork of is left open, or run."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        for name in SUPERVISION:  # what of it is for us comes with the settings
            os.environ.pop(name, None)
        hear, say = (fcntl.fcntl(each, fcntl.F_DUPFD, WORD + 1) for each in (hear, say))  # the command may have had no stdin
        os.dup2(hear, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(say, WORD)
        os.closerange(WORD + 1, os.sysconf("SC_OPEN_MAX"))
        code = importlib.import_module(DAEMON_MODULE).main()
    except BaseException:  # noqa: BLE001 - there is nobody above to see it
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
