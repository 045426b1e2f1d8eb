"""What the tests of a machine's faults share: a kit with all its bytes, a mount in the middle of a fetch, waiting for what nobody
tells of.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from click.testing import CliRunner

from mkfs.cli.app import app
from mkfs.formats.kitfile import read_kitfile
from mkfs.ranges import ByteRange
from mkfs.testing.faults import Fault, Match, Stall
from mkfs.testing.kits import Kit
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.faults.oracle import DEADLINE_SECONDS, judge_words, read
from tests.support.kit_parts import layer_at
from tests.support.mounting import Mount, Shell

_POLL_SECONDS = 0.01


def files_of(kit: Kit) -> dict[str, bytes]:
    """What a mount of `kit` holds, by path."""
    members = {
        os.fsdecode(member.path): member.body.read(ByteRange(0, member.body.size_bytes))
        for layer in kit.layers
        for member in layer.members
        if member.body is not None
    }
    return {"Kitfile": read_kitfile(kit.config).text(), **members}


def until(is_true: Callable[[], bool]) -> None:
    """Waits for what nobody tells of; fails when it takes longer than any wait of ours."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Remote:
    """A kit in a registry in this process."""

    registry: MemoryRegistry
    server: RegistryServer
    kit: Kit
    files: dict[str, bytes]

    @property
    def reference(self) -> str:
        return f"{self.server.host}/team/kit:1"

    def hold(self, path: str, held_bytes: int = 0) -> Stall:
        """The layer of `path` stops coming after so many bytes of each answer, until the stall is released."""
        stall = Stall(held_bytes)
        self.registry.faults.install(Fault(Match("GET", digest=layer_at(self.kit, path).digest), stall))
        return stall

    def reads_right(self, shell: Shell, mount: Mount, *, but_for: tuple[str, ...] = ()) -> None:
        """Every byte of every file comes, and is right; nothing in the log that a person should not see."""
        expected = {path: data for path, data in self.files.items() if path not in but_for}
        assert read(shell, mount.place, expected) == {}
        judge_words(mount.log_file.read_text("utf-8", "replace"), str(mount.log_file))

    def is_right_afterwards(self, shell: Shell, mount: Mount) -> None:
        """A mount at the same place, over whatever is left there, reads right; so does `cache verify`, and nothing stays behind."""
        with shell.mounted(self.reference, place=mount.place) as again:
            self.reads_right(shell, again)
            again.umount()
        assert not mount.is_mounted()
        for verb in ("verify", "prune"):
            done = CliRunner().invoke(app, ["cache", verb, "--cache-dir", str(shell.cache)])
            assert done.exit_code == 0, done.output
        assert os.listdir(shell.cache / "staging") == []


def remote(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> Remote:
    """Pushes `kit`."""
    registry.push("team/kit", "1", kit.manifest, kit.blobs)
    return Remote(registry, server, kit, files_of(kit))
