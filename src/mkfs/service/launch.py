"""Giving a daemon its settings and waiting for its one word. Runs in the command's process, so it imports nothing heavy."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from mkfs.errors import UsageError
from mkfs.service.logs import open_log
from mkfs.service.pipe import Outcome, decode
from mkfs.service.process import DaemonProcess
from mkfs.service.progress import Progress
from mkfs.service.settings import MountSettings


def launch(settings: MountSettings, daemon: DaemonProcess, show: Callable[[Progress], None] = lambda _moment: None) -> Outcome:
    """Mounts by `daemon`, which must not have been asked before, and returns what it says: ready, or its error. `show` is told how
    far it is, if that takes long.

    Raises `UsageError` where its log file cannot be written. Interrupted (KeyboardInterrupt), it ends the daemon.
    """
    if settings.log_file is not None:
        _try_log(settings.log_file)
    if settings.notify is not None:
        from mkfs.service.notify import Notifier

        Notifier(settings.notify).main_process(daemon.pid)  # while this one is believed: it ends when the mount is ready
    outcome: Outcome | None = None

    def heard(line: bytes) -> None:
        nonlocal outcome
        said = decode(line)
        if isinstance(said, Progress):
            show(said)
        else:
            outcome = said

    daemon.ask(msgspec.json.encode(settings), heard)
    if outcome is not None and outcome.exit_code == 0:
        return outcome
    code = daemon.wait()
    lines = (
        f"the daemon ended before it was ready (exit status {code})",
        f"its last words are above, or in {settings.log_file or 'its log'}",
    )
    return outcome or Outcome(1, lines)


def _try_log(log_file: str) -> None:
    try:
        open_log(Path(log_file)).close()
    except OSError as error:
        raise UsageError(f"log file cannot be written: {error.strerror}", log_file) from error
