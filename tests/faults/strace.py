"""A process killed at a system call of our choice: strace counts each thread's calls and sends SIGKILL before the n-th is made.

Theory. A *trace* of a run says which calls there are, thread by thread, and which of them have to do with the cache; their numbers
are what n is chosen from. The run is then repeated with `inject=…:signal=SIGKILL:when=n`: the first thread that comes to its n-th
call dies before the kernel sees it, and the process with it. Runs differ a little, so the log of the second run has the last word:
a point counts only if a thread's n-th call was about the cache and never returned.

openat and fcntl are called for many reasons; `-P` restricts them to paths of the cache. It takes whole paths, not subtrees, so
opens within a directory of a random name in `staging/` are not among the points of openat; each is followed by a fallocate, a
pwrite64 or a flock of its own, which are.
"""

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"^(\d+) +(\w+)\(")
_KILLED = re.compile(r"^\d+ +\+\+\+ killed by SIGKILL \+\+\+$")


Paths = Callable[[Path, Sequence[str]], list[Path]]


@dataclass(frozen=True)
class Call:
    """A system call that may be the last. `named` is how the list of those to try calls it, if that is another.

    `touches`: whether a line of the log is about the cache in this directory. `paths`: what strace is restricted to where it is
    called for much else, in a cache with layers of these digests (hex).
    """

    name: str
    touches: Callable[[str, Path], bool]
    named: str = ""
    paths: Paths = lambda _root, _digests: []


def _path(line: str, root: Path) -> bool:
    return str(root) in line


def _network(line: str, _root: Path) -> bool:
    """Not the socket that wakes up the event loop."""
    return "<TCP" in line


def _fixed(root: Path, digests: Sequence[str]) -> list[Path]:
    """The paths of a cache that have no random name in them."""
    kinds = [root / kind / "sha256" for kind in ("layers", "partial", "indexes", "documents", "locks")]
    parts = [root / name for name in ("staging", "grants", "resolutions", "version")]
    layers = [kind / digest for kind in kinds for digest in digests]
    return [root, *parts, *(kind.parent for kind in kinds), *kinds, *layers]


def _locks(root: Path, digests: Sequence[str]) -> list[Path]:
    return [root / "locks" / "sha256" / digest for digest in digests]


CALLS = (
    Call("openat", _path, paths=_fixed),
    Call("pwrite64", _path),
    Call("recvfrom", _network),
    Call("fallocate", _path),
    Call("renameat", _path, "rename, renameat, renameat2, linkat"),
    Call("unlinkat", _path, "unlinkat, unlink, rmdir"),
    Call("fcntl", _path, "fcntl: F_OFD_SETLK", paths=_locks),
    Call("flock", _path),
    Call("mkdirat", _path),
    Call("ftruncate", _path),
)
# On the list, and never called by us: names are always looked up in a directory that is open, and nothing is published by a link.
NEVER = ("rename", "renameat2", "link", "linkat", "unlink", "rmdir")


def command(log: Path, expressions: Sequence[str], paths: Sequence[Path] = ()) -> list[str | Path]:
    """What is put before a command line to watch it, its children included."""
    words: list[str | Path] = ["strace", "-f", "-q", "-yy", "-o", log]
    for expression in expressions:
        words += ["-e", expression]
    for path in paths:
        words += ["-P", path]
    return [*words, "--"]


def entries(log: Path) -> list[tuple[int, str, str]]:
    """Thread, call and line of every call that was begun, in order."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        match = _ENTRY.match(line)
        if match:
            found.append((int(match[1]), match[2], line))
    return found


def numbers(log: Path, call: Call, root: Path) -> list[int]:
    """Which of a thread's calls of `call` have to do with the cache: all n that this is true of in any thread, sorted."""
    counted: dict[int, int] = {}
    found = set()
    for thread, name, line in entries(log):
        if name == call.name:
            counted[thread] = counted.get(thread, 0) + 1
            if call.touches(line, root):
                found.add(counted[thread])
    return sorted(found)


def was_killed(log: Path, call: Call, number: int, root: Path) -> bool:
    """Whether a thread died in its call `number` of `call`, one that has to do with the cache, and did not come back from it."""
    if not any(_KILLED.match(line) for line in log.read_text(errors="replace").splitlines()):
        return False
    counted: dict[int, int] = {}
    for thread, name, line in entries(log):
        if name == call.name:
            counted[thread] = counted.get(thread, 0) + 1
            if counted[thread] == number and re.search(r"= \?$|<unfinished \.\.\.>$", line):
                return call.touches(line, root)
    return False


def kill_at(call: Call, number: int) -> str:
    """The words for it."""
    return f"inject={call.name}:signal=SIGKILL:when={number}"


def has_strace() -> bool:
    """Whether it is installed and may watch a process here."""
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
