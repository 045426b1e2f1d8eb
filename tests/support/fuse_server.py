"""A process that mounts a known tree for tests: `python -m tests.support.fuse_server MOUNTPOINT [JSON options]`.

It says what the kernel granted once the mount is readable, one JSON line. Then it obeys commands, a line each, and answers each
with its counts, a JSON line: `statistics`, `besieged N` (answered when so many reads of the slow layer wait), `open` (lets the slow
layer answer), `stop` (a clean end), `crash`. The end of its standard input is a clean end as well.
"""

import dataclasses
import json
import logging
import os
import random
import sys
from pathlib import Path

import pyfuse3
import trio

from mkfs.errors import Mismatch, MkfsError
from mkfs.fuse.kernel import DEVICE
from mkfs.fuse.processes import name_this_process
from mkfs.fuse.session import MountOptions, Session, mount
from mkfs.units import MIB
from mkfs.vfs.attributes import Ownership
from mkfs.vfs.forest import Forest
from mkfs.vfs.model_fs import ModelFS
from tests.support.fake_layers import BrokenLayer, MemoryLayer, SlowLayer
from tests.support.trees import Part, grow

WEIGHTS = random.Random(1).randbytes(5 * MIB + 777)  # ends within a page and within a block
CONFIG = b'{"layers": 2}\n'
KITFILE = b"manifestVersion: 1.0.0\n"
SLOW_BYTES = 1024 * MIB


def serve(
    mountpoint: Path,
    *,
    shared: bool = False,
    umask: int = 0,
    files: int = 0,
    spurious: int = 0,
    named: bool = False,
) -> None:
    """Mounts and serves until told to stop.

    `files` adds as many small ones in `many/`; `spurious` is how often the FUSE descriptor is said to be readable without having
    been looked at. `named`: it calls itself as our daemons do.
    """
    if named:
        name_this_process()
    slow = SlowLayer()
    parts = {
        b"config.json": Part(len(CONFIG), MemoryLayer(CONFIG)),
        b"weights.bin": Part(len(WEIGHTS), MemoryLayer(bytes(512) + WEIGHTS), content_offset=512),
        b"sub/private/key.txt": Part(3, MemoryLayer(b"key"), mode=0o600),
        b"sub/run.sh": Part(2, MemoryLayer(b"#!"), mode=0o755),
        b"sub/empty": Part(0, MemoryLayer(b"")),
        b"slow.bin": Part(SLOW_BYTES, slow),
        b"damaged.bin": Part(4096, BrokenLayer(Mismatch("content does not match its digest (got sha256:1, expected sha256:2)"))),
        b"buggy.bin": Part(4096, BrokenLayer(ZeroDivisionError("a bug"))),
    }
    parts |= {b"many/%06d" % number: Part(2, MemoryLayer(b"a\n")) for number in range(files)}
    forest = Forest()
    forest.plant(*grow(parts, inline={b"Kitfile": KITFILE}, directories={b"sub/private": 0o700}))
    file_system = ModelFS(forest, Ownership(os.geteuid(), os.getegid(), umask, shared))
    asked = _count_xattr_requests()
    _wake_up_for_nothing(spurious)
    session = mount(file_system, MountOptions(mountpoint, "localhost:5000/llama@sha256:0, test", allow_other=shared))
    try:
        trio.run(_main, session, file_system, slow, asked)
    finally:
        session.close(unmount=session.clean)


async def _main(session: Session, file_system: ModelFS, slow: SlowLayer, asked: list[bytes]) -> None:
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[Session]) -> None:
            await session.serve(task_status=task_status)
            nursery.cancel_scope.cancel()

        await nursery.start(serve)
        _say(dataclasses.asdict(session.tuning) | {"device": session.device})
        await _obey(session, file_system, slow, asked)


async def _obey(session: Session, file_system: ModelFS, slow: SlowLayer, asked: list[bytes]) -> None:
    buffer = b""
    async with trio.lowlevel.FdStream(os.dup(0)) as commands:
        async for data in commands:
            *lines, buffer = (buffer + data).split(b"\n")
            for command in lines:
                if command.startswith(b"besieged "):
                    await slow.besieged(int(command.split()[1]))
                elif command == b"open":
                    slow.open.set()
                elif command == b"crash":
                    raise RuntimeError("told to crash")
                elif command == b"stop":
                    session.stop()
                _say(dataclasses.asdict(file_system.statistics()) | {"xattr_requests": len(asked)})
    session.stop()


def _count_xattr_requests() -> list[bytes]:
    asked = []
    original = pyfuse3.Operations.getxattr

    async def getxattr(self, inode, name, ctx):
        asked.append(name)
        return await original(self, inode, name, ctx)

    pyfuse3.Operations.getxattr = getxattr
    return asked


def _wake_up_for_nothing(times: int) -> None:
    original = trio.lowlevel.wait_readable

    def is_fuse(descriptor):
        return isinstance(descriptor, int) and Path(f"/proc/self/fd/{descriptor}").readlink() == DEVICE

    async def wait_readable(descriptor):
        nonlocal times
        if times and is_fuse(descriptor):
            times -= 1
            await trio.lowlevel.checkpoint()
        else:
            await original(descriptor)

    trio.lowlevel.wait_readable = wait_readable


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        serve(Path(sys.argv[1]), **json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}"))
    except MkfsError as error:
        sys.exit(f"{type(error).__name__} {error.exit_code}: " + " | ".join(error.lines()))
