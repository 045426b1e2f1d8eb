"""Fails a test that left a planted secret where somebody may look.

What `mkfs.testing` hands out as passwords, tokens, cookies and signed addresses holds a mark (`mkfs.testing.planted`). It is
searched for in every record logged, ours down to DEBUG, with its traceback; in the text of every error of ours, raised or not; in
what commands and the test itself wrote; and in every file below the test's `tmp_path` when it is through, the logs and caches of
daemons among them. Directories that tests share are searched at the end of the run.

Files that are made to hold logins, or the settings of a registry, are known by name (`LOGINS`). `@pytest.mark.secrets("glob", …)`
names others below `tmp_path` in which the test itself keeps a secret; each must hold one. What is found is named, never shown.
"""

import fnmatch
import logging
import os
import stat
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

import pytest
from click.testing import CliRunner, Result

from mkfs.errors import MkfsError
from mkfs.testing import planted

LOGINS: Final = ("config.json", "auth.json", "credentials.json", "logins*.json", "docker-credential-*", "config.yml")

_OURS: Final = "mkfs"
_READ_BYTES: Final = 1 << 20  # of a file, from its beginning: logs and documents are shorter, what is longer are bytes of models
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW


@final
class Search(logging.Handler):
    """Looks at what is said, as it is said, from any thread."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: list[str] = []
        self.own: set[Path] = set()  # the directories of tests
        self.patches = pytest.MonkeyPatch()
        self.level_before = logging.getLogger(_OURS).level
        self._is_secret = planted.is_in

    def look(self, where: str, said: str | bytes | None) -> None:
        """Remembers `where`, if what was said there holds a secret."""
        if self._is_secret(said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said or b""):
            self.found.append(where)

    def look_below(self, directory: Path, announced: Sequence[str] = ()) -> list[str]:
        """What there is to complain of in files; `announced` are the globs of those that may hold a secret, and must."""
        heard, complaints = set[str](), list[str]()
        for path in _files(directory):
            if self._is_secret(_beginning(path)):
                globs = [glob for glob in announced if fnmatch.fnmatch(str(path.relative_to(directory)), glob)]
                heard.update(globs)
                complaints += [] if globs else [f"a planted secret in {path}"]
        return [*complaints, *(f"announced, but there is no secret in {glob}" for glob in announced if glob not in heard)]

    def emit(self, record: logging.LogRecord) -> None:
        """Called by the loggers."""
        said = self.format(record) if record.exc_info or record.stack_info else record.getMessage()
        self.look(f"logged by {record.name}, line {record.lineno}", said)

    def take(self) -> list[str]:
        """The places since the last call."""
        found, self.found = self.found, []
        return found


_SEARCH: Final = pytest.StashKey[Search]()


def pytest_configure(config: pytest.Config) -> None:
    """Listens. Tests see records below WARNING only where they ask for them, as without this."""
    search = config.stash[_SEARCH] = Search()
    logging.getLogger().addHandler(search)
    logging.getLogger(_OURS).setLevel(logging.DEBUG)
    made, communicated, invoked = MkfsError.__init__, subprocess.Popen.communicate, CliRunner.invoke

    def make(self: MkfsError, what: str, where: str = "", hint: str = "") -> None:
        made(self, what, where, hint)
        search.look(f"the text of a {type(self).__name__}", f"{what} {where} {hint}")

    def communicate(self: subprocess.Popen[Any], *arguments: Any, **named: Any) -> tuple[Any, Any]:
        output, errors = communicated(self, *arguments, **named)
        for said in (output, errors):
            search.look("what a command wrote", said)
        return output, errors

    def invoke(self: CliRunner, *arguments: Any, **named: Any) -> Result:
        result = invoked(self, *arguments, **named)
        search.look("what a command wrote", result.output)
        return result

    search.patches.setattr(MkfsError, "__init__", make)
    search.patches.setattr(subprocess.Popen, "communicate", communicate)
    search.patches.setattr(CliRunner, "invoke", invoke)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops listening."""
    search = config.stash[_SEARCH]
    search.patches.undo()
    logging.getLogger(_OURS).setLevel(search.level_before)
    logging.getLogger().removeHandler(search)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judges a test when it is through, its fixtures included."""
    report = yield
    search = item.config.stash[_SEARCH]
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if directory is not None:
        search.own.add(directory)
    if call.when != "teardown":
        return report
    search.look("what the test wrote", report.capstdout + report.capstderr)
    complaints = [f"a planted secret in {where}" for where in dict.fromkeys(search.take())]
    if directory is not None:
        complaints += search.look_below(directory, [glob for mark in item.iter_markers("secrets") for glob in mark.args])
    if complaints:
        report.outcome, report.longrepr = "failed", "\n".join([*complaints, report.longreprtext])
    return report


@pytest.fixture(scope="session", autouse=True)
def no_secrets_shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Searches what is nobody's `tmp_path`, after the last fixture of the session is gone."""
    yield
    search, below = request.config.stash[_SEARCH], tmp_path_factory.getbasetemp()
    shared = [path for path in below.iterdir() if path.is_dir() and not path.is_symlink() and path not in search.own]
    complaints = [complaint for directory in shared for complaint in search.look_below(directory)]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def _files(directory: Path) -> Iterator[Path]:
    """The files below `directory`, on its own file system, that are not made to hold secrets. What is gone, or closed to us, is
    skipped.
    """
    device, waiting = directory.stat().st_dev, [directory]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                try:
                    about = entry.stat(follow_symlinks=False)
                except OSError:  # of one that goes just now, or a mount that nobody serves: the others are there
                    continue
                if stat.S_ISDIR(about.st_mode) and about.st_dev == device:
                    waiting.append(Path(entry.path))
                elif stat.S_ISREG(about.st_mode) and not any(fnmatch.fnmatch(entry.name, name) for name in LOGINS):
                    yield Path(entry.path)


def _beginning(path: Path) -> bytes:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)
