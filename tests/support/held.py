"""A command held at one point of a mount's life: `python -m tests.support.held POINT DIRECTORY mount …`.

At the point, which is in the daemon, the file `held` appears in DIRECTORY; it goes on when `release` is there. Of the points
nobody outside can hold: `mounted`, when the kernel has mounted and got no answer yet; `ready`, after the kernel's INIT was
answered and before the directory is said to be readable; `unmounting`, after serving and before anything is unmounted.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mkfs.cli.main import main
from mkfs.fuse import session

_POINTS: Final = {
    "mounted": (session, "never_block"),
    "ready": (session, "tune"),
    "unmounting": (session.Session, "close"),
}


def hold(point: str, directory: Path) -> None:
    """Puts a gate before what happens at `point`, a function of `fuse.session`."""
    owner, name = _POINTS[point]
    original: Callable[..., object] = getattr(owner, name)

    def held(*arguments: object, **named: object) -> object:
        (directory / "held").touch()
        while not (directory / "release").exists():
            time.sleep(0.01)  # another process opens it
        return original(*arguments, **named)

    setattr(owner, name, held)


if __name__ == "__main__":
    hold(sys.argv[1], Path(sys.argv[2]))
    del sys.argv[1:3]
    main()
