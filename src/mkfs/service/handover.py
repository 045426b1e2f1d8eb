"""The privileged side of a handed-over mount: it mounts, gives the descriptor to who serves, turns the kernel's knobs, unmounts.

It reads nothing from a network and nothing that others packed: one directory, one socket, the words of its command line. Who serves
holds no privilege: another user, no capabilities, and no way to new ones (prctl(2), PR_SET_NO_NEW_PRIVS).

The end. Whoever stops this process gets an unmounted directory. A server that ends by itself leaves the mount, which answers
ENOTCONN then: never an empty directory where there were files. Only one that served nobody leaves nothing. No threads but one for
each mount, which waits in the kernel for its first answer.
"""

import ctypes
import errno
import fcntl
import logging
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Final, NoReturn, final

from mkfs.errors import FuseUnavailable, MkfsError, MountpointUnusable, UsageError
from mkfs.fuse.connection import tune
from mkfs.fuse.handover import Handed, mount_to_hand_over
from mkfs.fuse.kernel import resolve, unmount
from mkfs.fuse.mountinfo import mount_at
from mkfs.service import logs
from mkfs.service.pipe import Outcome, decode, encode
from mkfs.service.unix_peer import peer_of

log = logging.getLogger(__name__)

NUMBER: Final = 3  # the descriptor's in who serves: the first after the usual three, as systemd hands them over
_LIFELINE: Final = 4  # the socket's, next to it: it closes with the process that serves, however that ends
_NOT_FOUND, _NOT_RUN = 127, 126  # as shells say of commands
_END_SECONDS: Final = 25.0  # less than the 30 s that Kubernetes and Docker wait before they kill
_GREETING_SECONDS: Final = 2.0  # once who serves is gone the kernel ends it at once, unless somebody else has the descriptor
_MESSAGE_BYTES: Final = 64 * 1024
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4  # prctl(2)
_CAPABILITY_VERSION_3: Final = 0x20080522  # capset(2)
_HOMES: Final = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "TMPDIR")
_LAST_CAPABILITY: Final = Path("/proc/sys/kernel/cap_last_cap")


@final
class _Mounted:
    """A mount that was handed over. `served` is set after somebody answered; from then on it is only unmounted when told."""

    def __init__(self, wanted: Handed) -> None:
        """Mounts; raises as `mount_to_hand_over`."""
        self.descriptor = mount_to_hand_over(wanted)
        self.place = resolve(wanted.place)
        self.served = Event()
        self._greeting = Thread(target=self._greet, name="greeting", daemon=True)

    def let_go(self) -> None:
        """Once the server has its copy: closes ours, or the mount would hang when it ends; and waits for it beside us."""
        os.close(self.descriptor)
        self._greeting.start()

    def _greet(self) -> None:
        """The kernel's knobs can be turned after INIT was answered, and statfs is not answered before."""
        try:
            os.statvfs(self.place)
        except OSError:  # it ended without serving
            return
        self.served.set()
        mount = mount_at(self.place)
        if mount is not None:
            tune(mount.device)
            log.info("%s is served", self.place)

    def end(self) -> None:
        """Unmounts, whoever uses it."""
        with suppress(MountpointUnusable):  # somebody else did
            unmount(self.place, lazy=True)

    def server_ended(self) -> None:
        """Leaves a mount that somebody may have files open in."""
        if self._greeting.is_alive():
            self._greeting.join(_GREETING_SECONDS)  # it may have been answered and not have said so yet
        if self.served.is_set():
            log.warning("who served %s ended: it answers ENOTCONN until it is mounted again", self.place)
        else:
            self.end()


def run_served(wanted: Handed, command: Sequence[str]) -> int:
    """Mounts, and runs `command` as the user of `wanted` with the descriptor as number 3, until it ends or we are told to stop
    (SIGTERM, SIGINT). Its exit code, 128 and the number of a signal that ended it. Raises as `mount_to_hand_over`.
    """
    with _told_to_stop() as told:
        mounted = _Mounted(wanted)
        child = os.fork()
        if not child:
            _become(command, wanted, mounted.descriptor)
        mounted.let_go()
        process, stopped = os.pidfd_open(child), False
        try:
            if told.fileno() in select.select([told.fileno(), process], [], [])[0]:
                stopped = True
                mounted.end()  # which ends its session in order, once the last file is closed
                os.kill(child, signal.SIGTERM)
                if not select.select([process], [], [], _END_SECONDS)[0]:
                    os.kill(child, signal.SIGKILL)
        finally:
            os.close(process)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if mount_at(mounted.place) is not None:
            mounted.server_ended()
        if stopped and code == -signal.SIGTERM:  # ours, which reached it too early or too late to be heard
            return 0
        return code if code >= 0 else 128 - code


def offer(wanted: Handed, path: Path) -> None:
    """Listens at the Unix socket `path`, which only the user of `wanted` may use, and gives each who comes, one after another, a
    new mount for as long as their connection is open. Returns when told to stop (SIGTERM, SIGINT), with nothing mounted.

    What is wrong with a mount is told to who came for it. Raises `UsageError` where there can be no such socket.
    """
    with _told_to_stop() as told, _listening(path, wanted) as listener:
        mounted: _Mounted | None = None
        log.info("offering %s at %s", wanted.place, path)
        try:
            while told not in select.select([told, listener], [], [])[0]:
                with listener.accept()[0] as connection:
                    mounted = _hand_over(connection, wanted)
                    while mounted is not None and told not in select.select([told, connection], [], [])[0]:
                        if _has_ended(connection):
                            mounted.server_ended()
                            break
        finally:
            if mounted is not None:
                mounted.end()


def take(path: Path, command: Sequence[str]) -> NoReturn:
    """Becomes `command` with the descriptor that `offer` gives at `path` as number 3. The connection stays open beside it.

    Raises `FuseUnavailable` where nobody offers, and what `offer` said where it could not mount.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.fspath(path))
        said, descriptors, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, 1)
    except OSError as error:
        hint = "start there: kitfs handover offer DIR SOCKET --user UID"
        raise FuseUnavailable(f"nobody offers a mount at {path}: {error.strerror}", hint=hint) from error
    outcome = decode(said)
    if not isinstance(outcome, Outcome) or (outcome.exit_code == 0 and not descriptors):
        raise FuseUnavailable(f"no mount came from {path}", f"got {len(said)} bytes, expected a descriptor of /dev/fuse")
    if outcome.exit_code:
        raise FuseUnavailable(*outcome.lines[:3])
    _execute(command, {NUMBER: descriptors[0], _LIFELINE: connection.fileno()})


def _hand_over(connection: socket.socket, wanted: Handed) -> _Mounted | None:
    """One mount for who came. None where they got an error instead, or are not who may have it."""
    _, uid = peer_of(connection)
    if uid not in (wanted.uid, 0):
        log.warning("uid %d came for a mount that is for uid %d", uid, wanted.uid)
        return None
    with suppress(BrokenPipeError, ConnectionResetError):
        try:
            mounted = _Mounted(wanted)
        except MkfsError as error:
            logs.failure(error, log)
            connection.sendall(encode(Outcome(error.exit_code, tuple(error.lines()))))
            return None
        try:
            socket.send_fds(connection, [encode(Outcome(0))], [mounted.descriptor])
        finally:
            mounted.let_go()
        return mounted
    return None


def _has_ended(connection: socket.socket) -> bool:
    try:
        return not connection.recv(_MESSAGE_BYTES)
    except ConnectionResetError:
        return True


@contextmanager
def _listening(path: Path, wanted: Handed) -> Iterator[socket.socket]:
    hidden = path.with_name(f".{os.getpid()}")  # what is at `path` answers: probes look for it alone
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            if os.path.lexists(path) and not path.is_socket():  # one of a process that was killed is replaced
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            hidden.unlink(missing_ok=True)
            listener.bind(os.fspath(hidden))
            os.chown(hidden, wanted.uid, wanted.gid)
            listener.listen()
            hidden.rename(path)
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise UsageError(f"cannot listen at {path}: {error.strerror}") from error
        finally:
            os.umask(before)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _told_to_stop() -> Iterator[socket.socket]:
    """A socket that can be read as soon as SIGTERM or SIGINT came."""
    told, tell = socket.socketpair()
    with told, tell:
        os.set_blocking(tell.fileno(), False)
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
        woken = signal.set_wakeup_fd(tell.fileno())
        try:
            yield told
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)


def _become(command: Sequence[str], wanted: Handed, descriptor: int) -> NoReturn:
    """Runs `command` in this process, a fork, without any privilege."""
    try:
        drop_privileges(wanted.uid, wanted.gid)
    except OSError as error:
        sys.stderr.write(f"Error: cannot become uid {wanted.uid}: {error.strerror}\n")
        os._exit(_NOT_RUN)
    _leave_closed_homes()
    try:
        _execute(command, {NUMBER: descriptor})
    except MkfsError as error:
        sys.stderr.write("Error: " + "\n  ".join(error.lines()) + "\n")
    os._exit(_NOT_FOUND)


def _leave_closed_homes() -> None:
    """Homes in the environment of whoever started us, often root's, are not handed on where they are closed to the new user."""
    closed = [name for name in _HOMES if not os.access(os.environ.get(name, "/"), os.X_OK)]
    for name in closed:
        del os.environ[name]
    if "HOME" in closed:
        os.environ["HOME"] = "/"


def _execute(command: Sequence[str], descriptors: dict[int, int]) -> NoReturn:
    """Becomes `command` with `descriptors` at the numbers that are their keys, and no other from `NUMBER` on."""
    high = {number: _above(descriptor, _LIFELINE) for number, descriptor in descriptors.items()}
    for number, descriptor in high.items():
        os.dup2(descriptor, number)
    os.closerange(max(descriptors) + 1, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and ignoring is inherited
    try:
        os.execvp(command[0], list(command))  # noqa: S606 - the user's own command, no shell
    except OSError as error:
        raise UsageError(f"cannot run {command[0]}: {error.strerror}") from error


def _above(descriptor: int, number: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, number + 1)


def drop_privileges(uid: int, gid: int) -> None:
    """Makes this process that of `uid` and `gid`: no other groups, no capability of any kind, no way to new ones. For good.

    Raises `OSError` where it may not; then the process must end.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    for capability in range(int(_LAST_CAPABILITY.read_text()) + 1):
        check(libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    check(libc.capset(header, bytes(24)))  # effective, permitted, inheritable: twice 32 bits each
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
