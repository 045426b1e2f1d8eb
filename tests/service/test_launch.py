"""Starting a daemon: its word reaches the caller, and so does its silence."""

import logging
import signal
import stat
from pathlib import Path

import pytest

from mkfs.errors import IntegrityError, UsageError
from mkfs.service import logs
from mkfs.service import process as processes
from mkfs.service.failures import sole
from mkfs.service.launch import launch
from mkfs.service.pipe import Outcome, decode, encode
from mkfs.service.process import DaemonProcess
from mkfs.service.progress import Progress
from mkfs.service.settings import MountSettings, SourceSettings

# A command forks its daemon before it has a thread; the tests before these may have left some.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def settings(tmp_path: Path, *, reference: str = "127.0.0.1:1/a:b", log_file: Path | None = None) -> MountSettings:
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir(exist_ok=True)
    source = SourceSettings(reference=reference, cache_dir=str(tmp_path / "cache"))
    return MountSettings(
        source=source,
        mountpoint=str(mountpoint),
        allow_other=False,
        uid=0,
        gid=0,
        umask=0,
        read_timeout_seconds=1,
        log_file=str(log_file or tmp_path / "log" / "mount.log"),
    )


@pytest.mark.parametrize("outcome", [Outcome(0), Outcome(0, ("mounted",)), Outcome(13, ("what", "where – 名", "hint"))])
def test_a_word_arrives_as_it_was_sent(outcome: Outcome) -> None:
    assert decode(encode(outcome)) == outcome


def test_how_far_it_is_arrives_before_the_word() -> None:
    moment = Progress(done_bytes=1, size_bytes=2, done_layers=0, layers=3)
    assert decode(encode(moment)) == moment


@pytest.mark.parametrize("data", [b"", b"{", b"null", b'{"lines":[]}', b'{"exit_code":"0"}', b"Traceback (most recent call last)"])
def test_anything_else_is_no_word(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.fuse
def test_the_daemons_error_reaches_the_caller(tmp_path: Path) -> None:
    with DaemonProcess() as daemon:
        outcome = launch(settings(tmp_path), daemon)
    assert outcome.exit_code == 12
    assert 1 <= len(outcome.lines) <= 3
    assert "127.0.0.1:1" in " ".join(outcome.lines)
    log = tmp_path / "log" / "mount.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "ERROR" in log.read_text()


def test_a_daemon_that_crashes_at_once_is_told_and_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "DAEMON_MODULE", "mkfs.there_is_no_such_module")
    with DaemonProcess() as daemon:
        daemon.wait()
        outcome = launch(settings(tmp_path), daemon)
    assert outcome.exit_code == 1
    assert str(tmp_path / "log" / "mount.log") in outcome.lines[1]
    assert "No module named" in capfd.readouterr().err


def never(line: bytes) -> None:
    raise AssertionError(line)


def test_a_daemon_that_gets_no_settings_ends_by_itself() -> None:
    """As after a command that was killed: nobody ends the process for it."""
    with DaemonProcess() as daemon:
        daemon.ask(b"", never)
        assert daemon.wait() == 0


def test_a_daemon_that_is_not_wanted_is_ended() -> None:
    with DaemonProcess() as daemon:
        pass
    assert daemon.wait() == -signal.SIGKILL


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for log_file in (tmp_path / "file" / "log", tmp_path / "link"):
        with DaemonProcess() as daemon, pytest.raises(UsageError, match="log file"):
            launch(settings(tmp_path, log_file=log_file), daemon)
        assert daemon.wait() == -signal.SIGKILL
    assert not (tmp_path / "elsewhere").exists()


def test_of_a_group_of_failures_one_is_told() -> None:
    error = IntegrityError("wrong")
    assert sole(error) is error
    assert sole(BaseExceptionGroup("all", [KeyboardInterrupt(), ExceptionGroup("some", [ValueError(), error])])) is error
    assert sole(ExceptionGroup("all", [ValueError()])) is None


def test_log_lines_go_to_the_file_and_libraries_are_quieter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.NOTSET, "mkfs")  # as outside of tests, where nobody listens to everything
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.start(0, str(tmp_path / "log"))
        logging.getLogger("mkfs.test").info("a line")
        logging.getLogger("mkfs.test").debug("a detail")
        logging.getLogger("httpx2").info("a request")
    finally:
        for handler in root.handlers:
            handler.stream.close()
        root.handlers[:] = handlers
        root.setLevel(level)
    text = (tmp_path / "log").read_text()
    assert "a line" in text
    assert "a detail" not in text
    assert "a request" not in text
