"""What was asked and what went out, for assertions like "nobody read that layer". Holds names of headers, never their values."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange


@final
@dataclass(slots=True, eq=False)
class Served:
    """One request and how it was answered. `sent_bytes` grows while the body goes out."""

    method: str
    path: str  # without the query, which may be signed
    repository: str  # "" where the path names none
    digest: Digest | None  # asked for by digest
    range: ByteRange | None  # asked for, clamped into the content; None: all of it
    status: int
    header_names: tuple[str, ...]  # of the request, lower case, sorted
    sent_bytes: int = 0  # of the body


@final
class Log:
    """All requests, in the order they came. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: list[Served] = []

    def add(self, served: Served) -> None:
        """One more request."""
        with self._lock:
            self._served.append(served)

    def clear(self) -> None:
        """Forgets what was: for counting from here on."""
        with self._lock:
            self._served.clear()

    def requests(self, digest: Digest | None = None) -> tuple[Served, ...]:
        """Those that asked for `digest`, or all."""
        with self._lock:
            return tuple(served for served in self._served if digest in (None, served.digest))

    def bytes_sent(self, digest: Digest | None = None) -> int:
        """Bytes of content (200, 206) handed to the network for `digest`, or for all."""
        return sum(served.sent_bytes for served in self.requests(digest) if served.status in {200, 206})

    def __iter__(self) -> Iterator[Served]:
        return iter(self.requests())

    def __len__(self) -> int:
        return len(self.requests())
