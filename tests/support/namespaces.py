"""Commands in a private mount namespace: what is mounted or hidden there, nobody outside sees, and it ends with its last process.

The namespace has its own process numbers, too: whatever a command leaves running is killed when the script ends.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_UNSHARE: Final = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
# A namespace begins with a copy of every mount that is there, those of tests beside this one, too. As long as it had them, their
# file systems would not end when they are unmounted, nor would the processes that serve them. The uppermost goes first, so that
# what covers one goes as well; one that no path leads to stays, and is no reason to fail.
LET_GO: Final = r"""
last() { sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .* - fuse\.kitfs .*/\1/p' /proc/self/mountinfo | tail -n 1; }
while place=$(last) && [ -n "$place" ] && umount -i -c --lazy "$(printf %b "$place")" 2>/dev/null; do :; done
"""
_FEW_DEVICES: Final = """
mount -t tmpfs -o mode=755 none /mnt
for each in null zero full random urandom; do touch /mnt/$each; mount --bind /dev/$each /mnt/$each; done
"""
_FUSE: Final = """
mknod -m {mode:o} /mnt/fuse c 10 229
mount --bind /dev/null /etc/fuse.conf
"""
_IN_PLACE: Final = """
mount --rbind /mnt /dev
mount -t tmpfs -o mode=1777 none /mnt
"""

NOBODY: Final = 65534  # a user and a group who own nothing here


def _prepared(script: str) -> tuple[str, ...]:
    """A command line that prepares a namespace with `script` and runs the command after it there."""
    return (*_UNSHARE, "sh", "-euc", f'{LET_GO}\n{script}\nexec "$@"', "sh")


def without_fuse() -> tuple[str, ...]:
    """Runs a command where there is no /dev/fuse. Anybody may write in /mnt."""
    return _prepared(_FEW_DEVICES + _IN_PLACE)


def with_fuse_for(mode: int) -> tuple[str, ...]:
    """Runs a command where /dev/fuse has `mode` and fuse.conf is empty, whatever this machine has. Anybody may write in /mnt."""
    return _prepared(_FEW_DEVICES + _FUSE.format(mode=mode) + _IN_PLACE)


def as_nobody() -> tuple[str, ...]:
    """Runs a command as a user without rights, but one: to look into directories on the way to this interpreter, which may be in
    a home of root's.
    """
    ids = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    return ("setpriv", *ids, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")


def without_right_to_mount() -> tuple[str, ...]:
    """Runs a command as root, but as a container without CAP_SYS_ADMIN does."""
    return ("setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin")


def shell_script(script: str, *arguments: str | Path) -> Sequence[str]:
    """A command line that runs `script` with `$1` and so on."""
    return ("sh", "-euc", script, "sh", *map(str, arguments))


def readable_by_all() -> str:
    """A script that makes this interpreter, its packages and our sources readable by every user in a private mount namespace,
    though directories on the way may be closed (a home of root's). Leaves /mnt covered.
    """
    wanted = sorted({Path(sys.base_prefix), Path(sys.prefix), ROOT})
    closed = sorted({ancestor for path in wanted for ancestor in path.parents if not ancestor.stat().st_mode & 0o001})
    tops = [path for path in closed if not any(other in path.parents for other in closed)]
    hidden = [path for path in wanted if any(top in path.parents for top in tops)]
    lines = ["mount -t tmpfs -o mode=755 none /mnt"]
    lines += [f"mkdir /mnt/{number} && mount --rbind {quote(str(path))} /mnt/{number}" for number, path in enumerate(hidden)]
    lines += [f"mount -t tmpfs -o mode=755 none {quote(str(top))}" for top in tops]
    lines += [
        f"mkdir -p {quote(str(path))} && mount --rbind /mnt/{number} {quote(str(path))}" for number, path in enumerate(hidden)
    ]
    return "\n".join(lines)


def with_fuse_for_root_alone() -> tuple[str, ...]:
    """Runs a command where only root may open /dev/fuse, other users can run this interpreter, and anybody may write in /mnt."""
    return _prepared(f"{readable_by_all()}\n{_FEW_DEVICES}{_FUSE.format(mode=0o600)}{_IN_PLACE}")
