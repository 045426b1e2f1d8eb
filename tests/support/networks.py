"""A network namespace of our own, with nothing but a loopback device: where it can be taken away without taking it from others."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self

_CLONE_NEWNET: Final = 0x40000000  # see unshare(2); Python 3.11 has no name for it
_HERE: Final = "/proc/thread-self/ns/net"
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Network:
    """Made by `made`; it ends with the last process and descriptor in it."""

    descriptor: int

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Self]:
        outside = os.open(_HERE, os.O_RDONLY)
        try:
            _check(_libc.unshare(_CLONE_NEWNET))
            network = cls(os.open(_HERE, os.O_RDONLY))
            _check(_libc.setns(outside, _CLONE_NEWNET))
        finally:
            os.close(outside)
        network.up()
        try:
            yield network
        finally:
            os.close(network.descriptor)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is in it for the length of the block: the sockets it makes, the threads and the processes it starts."""
        outside = os.open(_HERE, os.O_RDONLY)
        _check(_libc.setns(self.descriptor, _CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_libc.setns(outside, _CLONE_NEWNET))
            os.close(outside)

    def up(self) -> None:
        """There is a way to 127.0.0.1."""
        self._set("up")

    def down(self) -> None:
        """There is none: what is sent on a connection gets lost, and no new one can be made."""
        self._set("down")

    def _set(self, state: str) -> None:
        with self.inside():
            subprocess.run(["ip", "link", "set", "lo", state], check=True)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
