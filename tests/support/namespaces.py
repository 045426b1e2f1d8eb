"""Commands in a private mount namespace: what is mounted or hidden there, nobody outside sees, and it ends with its last process.

The namespace has its own process numbers, too: whatever a command leaves running is killed when the script ends.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

_UNSHARE: Final = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
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
    return (*_UNSHARE, "sh", "-euc", f'{script}\nexec "$@"', "sh")


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
