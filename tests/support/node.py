"""A node: several daemons over one cache, a registry that counts what it sends, and readers that compare every byte.

    with node(directory) as here:
        reference = here.push("team/llama", kit)
        mounts = here.mount([reference] * 8)
        readers = [here.reader(mount) for mount in mounts]

Everything is a process of its own but the registry, which lives in the caller's, so that it can be held back and asked.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from mkfs.formats.kitfile import read_kitfile
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import PIECE_BYTES, BlobBody, MemoryBody
from mkfs.testing.kits import Kit
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from tests.support.comparing import Compared
from tests.support.mounting import Mount, Ran, Shell, ended

_ROOT: Final = Path(__file__).resolve().parents[2]
_MOUNT_SECONDS: Final = 120  # 32 daemons that start at once share two cores
_READ_SECONDS: Final = 300
_PID: Final = re.compile(r" mounted .*, pid ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Reader:
    """A process that reads a mount and compares it; see `tests.support.comparing`."""

    process: subprocess.Popen[str]

    def report(self, timeout_seconds: float = _READ_SECONDS) -> Compared:
        """Waits for its end."""
        stdout, stderr = self.process.communicate(timeout=timeout_seconds)
        assert self.process.returncode == 0, stderr
        found: Compared = json.loads(stdout)
        return found

    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None


@dataclass
class Node:
    """Made by `node`."""

    directory: Path
    shell: Shell
    registry: MemoryRegistry
    server: RegistryServer
    stack: ExitStack
    sizes: dict[str, int] = field(default_factory=dict)  # of all that was pushed, by digest
    originals: dict[str, Path] = field(default_factory=dict)  # by reference
    places: int = 0

    def push(self, repository: str, kit: Kit) -> str:
        """Pushes `kit`, and writes its files to compare with. The reference."""
        self.registry.push(repository, "1", kit.manifest, kit.blobs)
        self.sizes |= {str(digest): body.size_bytes for digest, body in kit.blobs.items()}
        self.sizes[str(kit.manifest_digest)] = len(kit.manifest)
        reference = f"{self.server.host}/{repository}:1"
        self.originals[reference] = self.directory / "originals" / sha256(kit.manifest).hexdigest()
        if not self.originals[reference].exists():
            _unpack(kit, self.originals[reference])
        return reference

    @property
    def distinct_bytes(self) -> int:
        """Of all that was pushed, each digest counted once: manifests, configs, layers."""
        return sum(self.sizes.values())

    def mount(self, references: Sequence[str]) -> list[Mount]:
        """Mounts all of them at the same moment; they end with the node."""
        started = [(place, self.shell.start("mount", reference, place)) for reference in references for place in [self._place()]]
        mounts = []
        for place, process in started:
            stdout, stderr = process.communicate(timeout=_MOUNT_SECONDS)
            assert process.returncode == 0, stderr
            found = _PID.search((self.shell.home / f"{place.name}.log").read_text())
            assert found is not None
            mounts.append(Mount(self.shell, place, Ran(0, stdout, stderr), int(found[1])))
            self.stack.callback(_end, mounts[-1])
        return mounts

    def _place(self) -> Path:
        self.places += 1
        return self.shell.new_place(f"mnt{self.places}")

    def reader(self, mount: Mount) -> Reader:
        """Begins to read all of `mount`."""
        reference = mount.entry.source.partition("@")[0]
        words = [sys.executable, "-m", "tests.support.comparing", str(mount.place), str(self.originals[reference])]
        process = subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.stack.callback(process.kill)
        return Reader(process)

    def staged(self) -> list[str]:
        """What is in the cache's staging."""
        return sorted(os.listdir(self.shell.cache / "staging"))


@contextmanager
def node(directory: Path) -> Iterator[Node]:
    """A node that keeps everything in `directory`, which must be there; its mounts and readers end with the block."""
    registry = MemoryRegistry()
    with serve(registry) as server, ExitStack() as stack:
        yield Node(directory, Shell(directory / "home"), registry, server, stack)


def _end(mount: Mount) -> None:
    """Takes a mount down, also one whose daemon was stopped or killed."""
    if not ended(mount.pid, 0):
        os.kill(mount.pid, signal.SIGCONT)
    mount.end()


def _unpack(kit: Kit, place: Path) -> None:
    """Writes the files of `kit`."""
    _write(place / "Kitfile", MemoryBody(read_kitfile(kit.config).text()))
    for layer in kit.layers:
        for member in layer.members:
            if member.body is not None:
                _write(place / os.fsdecode(member.path), member.body)


def _write(path: Path, body: BlobBody) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for piece in ByteRange(0, body.size_bytes).pieces(PIECE_BYTES):
            file.write(body.read(piece))
