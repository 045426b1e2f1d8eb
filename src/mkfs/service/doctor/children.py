"""Work in processes of its own, each with a time limit: what hangs in the kernel, on a file system that answers no more or in a
resolver, holds up its process and nobody else.

Theory. A thread that is stuck in the kernel can't be ended, and its process can't either before it is; a child can be left behind.
All children are forked at once, before there is a thread, and write a line for each finding to a pipe of their own; so what comes
late from one costs the others nothing. A child leads a process group, and with it end the programs that it runs.
"""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn, final

import msgspec
from msgspec import Struct

from mkfs.errors import MkfsError
from mkfs.service.doctor.finding import Finding, fail

_PIECE_BYTES: Final = 1 << 16
_END_SECONDS: Final = 2.0  # for a killed child to be gone; one that hangs in the kernel is left behind
_LOOK_SECONDS: Final = 0.005
_DEFECT: Final = "this is a defect: run again with -vv and report what it says"


@final
class Told(Struct, frozen=True):
    """A line of the pipe: the finding of a check; or `files`, the paths that an artifact would show."""

    check: str
    finding: Finding | None = None
    files: tuple[str, ...] = ()


Tell = Callable[[Told], None]


@final
@dataclass(frozen=True, slots=True)
class Job:
    """Findings that one child makes, in this order, within `seconds` from the start of all. It may leave out the last ones. Where
    it hangs, a mount would end with an error of `kind`.
    """

    checks: tuple[str, ...]
    seconds: float
    work: Callable[[Tell], None]
    kind: type[MkfsError] = MkfsError


@final
@dataclass(slots=True)
class _Child:
    job: Job
    pid: int
    pipe: int
    said: bytes = b""


def listened_to(jobs: Sequence[Job], *, traces: bool = False) -> Iterator[Told]:
    """What all of them say, job by job, as it comes. Whoever stops listening ends those that still work.

    A job that has not ended in time, or ended without a word, gets a failed finding for the first check that it owes. `traces`: a
    defect in a child is shown on stderr.
    """
    started = time.monotonic()
    children: list[_Child] = []
    try:
        for job in jobs:
            child = _start(job, traces=traces)
            children.append(child)  # at once: what is started is ended
        for child in children:
            yield from _listen(child, started + child.job.seconds)
    finally:
        for child in children:
            _end(child)


def _start(job: Job, *, traces: bool) -> _Child:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _run(job, writing, traces=traces)
    os.close(writing)
    return _Child(job, pid, reading)


def _run(job: Job, pipe: int, *, traces: bool) -> NoReturn:
    """The child: never returns into what its parent was doing."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1) if traces else (0, 1, 2):
            os.dup2(nowhere, standard)

        def tell(told: Told) -> None:
            _write(pipe, msgspec.json.encode(told) + b"\n")

        job.work(tell)
        code = 0
    except BaseException:  # noqa: BLE001 - the end of a process: there is nobody above
        if traces:
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def _listen(child: _Child, deadline: float) -> Iterator[Told]:
    """What a child says until its end; the first that it owes as a failure, if that was no good end."""
    owed = list(child.job.checks)
    in_time = True
    while in_time:
        in_time = bool(select.select([child.pipe], [], [], max(0.0, deadline - time.monotonic()))[0])
        piece = os.read(child.pipe, _PIECE_BYTES) if in_time else b""
        child.said += piece
        *lines, child.said = child.said.split(b"\n")
        for line in lines:
            told = msgspec.json.decode(line, type=Told)
            owed = owed[owed.index(told.check) + 1 :] if told.check in owed else owed
            yield told
        if in_time and not piece:
            if _reap(child) and owed:
                yield Told(owed[0], fail(MkfsError, "this could not be looked at", _DEFECT))
            return
    if owed:
        text = f"no answer within {child.job.seconds:g} s: a file system, a resolver or a program that it asks hangs"
        yield Told(owed[0], fail(child.job.kind, text, "look for what hangs with: ps -eo pid,stat,wchan,args | grep ' D'"))


def _reap(child: _Child) -> int:
    """Waits for a child that closed its pipe: it is about to end."""
    _, status = os.waitpid(child.pid, 0)
    child.pid = 0
    return os.waitstatus_to_exitcode(status)


def _end(child: _Child) -> None:
    os.close(child.pipe)
    if not child.pid:
        return
    for kill in (os.killpg, os.kill):  # its group, and itself where it has none yet
        with suppress(ProcessLookupError, PermissionError):
            kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + _END_SECONDS
    while os.waitpid(child.pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
