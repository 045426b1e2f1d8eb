"""Bad and odd artifacts on a registry of this process, and what may come of them: refused at mount, or shown with the right bytes.

What is refused has an exit code and words for a person. What is legal, however odd, is mounted, and every byte compared.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mkfs.fuse.mountinfo import mount_at
from mkfs.oci.media_types import KITOPS_CONFIG
from mkfs.testing.artifacts import Artifact, Part, artifact
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from tests.faults.oracle import Outcome, attempt, judge_memory, judge_words, read, run
from tests.support.mounting import Shell

NOT_FOUND, INTEGRITY, UNSUPPORTED, NO_ROOM = 10, 13, 14, 23

REPOSITORY: Final = "bad/input"
FILEPATH: Final = "org.cncf.model.filepath"
METADATA: Final = "org.cncf.model.file.metadata+json"
MODELPACK: Final = Part("application/vnd.cncf.model.config.v1+json", b'{"descriptor":{"name":"x"}}')
FINE: Final = b"fine\n" * 99  # of a file that stands beside what is bad


def raw(path: str, data: bytes = b"x", **annotations: str) -> Part:
    """One file, as a ModelPack has it."""
    return Part("application/vnd.cncf.model.weight.v1.raw", data, {FILEPATH: path, **annotations})


def packed(archive: bytes, *, below: str = "") -> Part:
    """A tar in a ModelPack; with `below`, all of it in that directory, as AIKit packs."""
    path = f"{below}/-"
    annotations = {FILEPATH: path, METADATA: json.dumps({"name": path})} if below else {}
    return Part("application/vnd.cncf.model.weight.v1.tar", archive, annotations)


def modelpack(*layers: Part) -> Artifact:
    """A ModelPack of these layers, and a file `fine` before them."""
    return artifact(MODELPACK, [raw("fine", FINE), *layers])


def modelkit(*layers: tuple[str, str, bytes]) -> Artifact:
    """A ModelKit of parts, each with its path, its form (`tar`, `raw+gzip` …) and what is stored."""
    kitfile = {"manifestVersion": "1.0.0", "model": {"parts": [{"name": path, "path": path} for path, _, _ in layers]}}
    parts = [Part(f"application/vnd.kitops.modelkit.modelpart.v1.{form}", data, {FILEPATH: path}) for path, form, data in layers]
    return artifact(Part(KITOPS_CONFIG, json.dumps(kitfile).encode()), parts)


@dataclass(frozen=True)
class Stand:
    """A registry that serves what is pushed, and somebody who mounts it."""

    registry: MemoryRegistry
    server: RegistryServer
    shell: Shell

    def push(self, made: Artifact, tag: str = "1") -> str:
        """A reference to it, by its tag."""
        self.registry.push(REPOSITORY, tag, made.manifest, made.blobs)
        return f"{self.server.host}/{REPOSITORY}:{tag}"

    def is_refused(self, reference: str, words: str, *options: str, exit_code: int = UNSUPPORTED) -> Outcome:
        """Nothing is mounted, and a person is told: `words` is a regular expression."""
        outcome = attempt(self.shell, reference, {}, *options)
        assert outcome.exit_code == exit_code, outcome
        assert re.search(words, outcome.said), outcome.said
        return outcome

    def is_shown(
        self, reference: str, files: Mapping[str, bytes], *options: str, errors: Mapping[str, str] | None = None
    ) -> Outcome:
        """Exactly these files have errors (none unless given); of all others every byte is right."""
        outcome = attempt(self.shell, reference, files, *options)
        assert (outcome.exit_code, outcome.errors) == (0, errors or {}), outcome
        return outcome


@dataclass(frozen=True)
class Shown:
    """A mount that several cases look at, each at its own files."""

    shell: Shell
    place: Path
    said: str

    def holds(self, directory: str, files: Mapping[str, bytes]) -> None:
        """`directory` has these files, with these bytes, and nothing else."""
        assert self.names(directory) == sorted(files)
        assert read(self.shell, self.place / directory, files) == {}

    def names(self, directory: str) -> Sequence[str]:
        """What is no directory below `directory`."""
        top = self.place / directory
        return sorted(os.path.relpath(os.path.join(at, name), top) for at, _, names in os.walk(top) for name in names)


@contextmanager
def shown(home: Path, made: Artifact, *options: str) -> Iterator[Shown]:
    """Mounts `made` for the length of the block; judged as by `oracle.attempt`."""
    registry, shell = MemoryRegistry(), Shell(home)
    place = shell.new_place("shown")
    with serve(registry) as server:
        try:
            ran = run(shell, "mount", Stand(registry, server, shell).push(made), place, *options)
            assert ran.exit_code == 0, ran
            yield Shown(shell, place, ran.stderr)
            for pid in shell.processes():
                judge_memory(pid, 400 << 20)
            assert run(shell, "umount", place).exit_code == 0
            assert shell.is_tidy()
            judge_words((home / "shown.log").read_text("utf-8", "replace"), "the log")
        finally:
            if mount_at(place) is not None or shell.processes():
                shell.tidy_up()
