"""Tries mutants: a pytest plugin that runs, in place of the session, for each mutant the tests that reach what it breaks.

The tests are collected once, and a child is forked for each mutant: it costs what its tests cost, and no start of Python. Tests
that noticed another mutant of the same function go first, then the quick ones; the first that fails ends it. What test modules call
while they are imported is past by then, so a mutant there that lives is tried once more, in a process of its own.
"""

import gc
import json
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, final

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

KILLED, SURVIVED, NO_TESTS, TIMEOUT = "killed", "survived", "no tests", "timeout"
_EXIT_SURVIVED, _EXIT_KILLED = 0, 1
_SAID_BYTES: Final = 2048  # of why a test failed: its name and one line
# Of the processor's time that a test takes without a mutant: only one that goes round and round takes so much more.
_TIMES, _EXTRA_SECONDS = 5, 3
_WAIT_SECONDS: Final = 120  # for what never comes; long, as the machine may have other things to do
_MEMORY_BYTES: Final = 6 << 30  # of addresses: a loop that collects something ends before the machine suffers
_FRESH_SECONDS: Final = 600  # a process of its own, start and all


class Verdict(NamedTuple):
    """What became of a mutant, the test that noticed it, and the line that says how."""

    name: str
    fate: str
    test: str = ""
    why: str = ""


@final
class Reach(NamedTuple):
    """Which functions a test calls, and how much of the processor's time it takes."""

    functions: list[str]
    seconds: float


@final
class Judge:
    """Tries `names`, `children` at once, and hands each `Verdict` to `note`. What a person should know is handed to `tell`."""

    def __init__(self, names: Sequence[str], children: int, note: Callable[[Verdict], None], tell: Callable[[str], None]) -> None:
        self._names, self._note, self._tell = names, note, tell
        self._said = [mmap.mmap(-1, _SAID_BYTES) for _ in range(children)]  # shared with the children, a slot each
        self._slot: int | None = None  # in a child: its own
        self._base = Path(tempfile.mkdtemp(prefix="mkfs-mutate-"))
        self._killers: dict[str, Counter[str]] = defaultdict(Counter)  # of a function: which tests notice its mutants
        self._running: dict[int, tuple[int, str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of the tests. Their directory is the one pytest was called in."""
        imported = set(state()._stats)  # noqa: SLF001 - what the trampolines counted while tests were collected
        items = {item.nodeid: item for item in session.items}
        reach = self._learn(session, items.values())
        free, lived = list(range(len(self._said))), []
        gc.collect()
        gc.freeze()  # the children share what is there, and a collection would write to all of it
        for name in self._names:
            function = _function(name)
            tests = [test for test, known in reach.items() if function in known.functions]
            if not tests:
                self._note(Verdict(name, NO_TESTS))
                continue
            if not free:
                lived += self._finish(free)
            killers = self._killers[function]
            tests = [test for _, _, test in sorted((-killers[test], reach[test].seconds, test) for test in tests)]
            slot = free.pop()
            self._say("", slot)
            pid = os.fork()
            if pid == 0:
                self._try(session, name, slot, [(items[test], reach[test].seconds) for test in tests])
            self._running[pid] = slot, name
        while self._running:
            lived += self._finish(free)
        for name in lived:
            if _function(name) in imported:
                self._note(_tried_anew(name, [test for test, known in reach.items() if _function(name) in known.functions]))
        shutil.rmtree(self._base, ignore_errors=True)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In a child: says what failed."""
        if self._slot is not None and report.failed:
            lines = report.longreprtext.splitlines()
            self._say(f"{report.nodeid}\n{next((line for line in lines if line.startswith('E ')), lines[-1] if lines else '')}")

    def _say(self, text: str, slot: int | None = None) -> None:
        said = text.encode("utf-8", "replace")[: _SAID_BYTES - 1] + b"\0"
        self._said[self._slot or 0 if slot is None else slot][: len(said)] = said

    def _learn(self, session: pytest.Session, items: Collection[pytest.Item]) -> Mapping[str, Reach]:
        """What each test reaches, from a child that ran all. Those that fail without a mutant judge nothing."""
        path = self._base / "reach.json"
        pid = os.fork()
        if pid == 0:
            self._begin("stats", 0)
            here, reach = Path.cwd(), {}
            for item in items:
                os.chdir(here)
                state()._stats.clear()  # noqa: SLF001 - as above
                failed, start = session.testsfailed, _seconds()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                if session.testsfailed == failed:
                    reach[item.nodeid] = sorted(state()._stats), _seconds() - start  # noqa: SLF001 - as above
            path.write_text(json.dumps(reach))
            os._exit(0)
        os.waitpid(pid, 0)
        known = {test: Reach(*said) for test, said in json.loads(path.read_text()).items()}
        for item in items:
            if item.nodeid not in known:
                self._tell(f"fails without a mutant, and judges none: {item.nodeid}")
        return known

    def _begin(self, name: str, slot: int) -> None:
        """In a child: nothing that it says or leaves may be taken for its parent's."""
        self._slot = slot
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        for number in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        set_mutant_under_test(name)

    def _try(self, session: pytest.Session, name: str, slot: int, tests: Sequence[tuple[pytest.Item, float]]) -> NoReturn:
        """In a child: runs `tests`, each of which takes so many seconds of the processor without the mutant."""
        try:
            self._begin(name, slot)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
            own = self._base / str(slot)
            own.mkdir()
            factory: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]  # noqa: SLF001 - pytest has no other way
            factory._basetemp = own  # noqa: SLF001 - as above
            here, following = Path.cwd(), [*(item for item, _ in tests[1:]), None]
            for (item, seconds), after in zip(tests, following, strict=True):
                os.chdir(here)
                self._say(item.nodeid)
                limit = seconds * _TIMES + _EXTRA_SECONDS
                signal.setitimer(signal.ITIMER_PROF, limit)
                signal.setitimer(signal.ITIMER_REAL, limit * _TIMES + _WAIT_SECONDS)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
                if session.testsfailed:
                    os._exit(_EXIT_KILLED)
            os._exit(_EXIT_SURVIVED)
        except BaseException as error:  # noqa: BLE001 - a mutant may break whatever runs it, too
            self._say(f"\n{error!r}")
            os._exit(_EXIT_KILLED)

    def _finish(self, free: list[int]) -> list[str]:
        """Waits for a child, and answers with its mutant's name if that lives."""
        pid, status = os.wait()
        slot, name = self._running.pop(pid)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what its tests had started
        shutil.rmtree(self._base / str(slot), ignore_errors=True)
        free.append(slot)
        code = os.waitstatus_to_exitcode(status)
        timers = (-signal.SIGALRM, -signal.SIGPROF)
        fate = SURVIVED if code == _EXIT_SURVIVED else TIMEOUT if code in timers else KILLED
        test, _, why = self._said[slot][:].partition(b"\0")[0].decode("utf-8", "replace").partition("\n")
        if fate == SURVIVED:
            self._note(Verdict(name, fate))
            return [name]
        self._killers[_function(name)][test] += 1
        self._note(Verdict(name, fate, test, why))
        return []


def _seconds() -> float:
    """Of the processor, for this process and those it waited for."""
    return sum(os.times()[:4])


def _function(name: str) -> str:
    """The function that a mutant is one of, as the trampolines count it."""
    return name.partition("__mutmut_")[0]


def _tried_anew(name: str, tests: Sequence[str]) -> Verdict:
    """The verdict on a mutant that is there while the test modules are imported."""
    files = sorted({test.partition("::")[0] for test in tests})
    command = [sys.executable, "-m", "pytest", "--rootdir=.", "-p", "no:cacheprovider", "-x", "-q", "--tb=line", *files]
    environment = {**os.environ, "MUTANT_UNDER_TEST": name, "PYTHONPATH": os.pathsep.join([str(Path("src").absolute()), "."])}
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_FRESH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(name, TIMEOUT, "in a process of its own")
    if ended.returncode == 0:
        return Verdict(name, SURVIVED)
    return Verdict(name, KILLED, "in a process of its own", (ended.stdout.strip().splitlines() or [""])[-1])
