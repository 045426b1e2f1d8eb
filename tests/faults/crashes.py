"""Crash points of the cache: what is running when it dies, and what must be true of the cache afterwards.

A *scenario* is a cache in some state and a command of ours that works on it. Between them they do everything that is done to a
cache: receive and publish whole layers; fill layers chunk by chunk; evict under a limit; mend what went bad; verify; prune; and all
of it at once in a real mount that somebody reads.

After each crash the cache is used again, a real mount where one died. Every byte of every file is compared, `verify` has to find
nothing, and after `prune` nothing may be there that has no right to be (see `leaks`).
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import trio
from click.testing import CliRunner

from mkfs.cache.stored_file import mended_name, stored_name
from mkfs.cli.app import app
from mkfs.content.artifact import open_artifact
from mkfs.proof.chunk_index import ChunkIndex
from mkfs.service.opening import opening
from mkfs.service.settings import SourceSettings
from mkfs.testing.kits import Directory, Kit, KitBuilder, expected_tree
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.cache.material import drop_pages, flip
from tests.content.test_offline import read_all
from tests.faults import strace
from tests.faults.strace import Call
from tests.faults.world import copied
from tests.support.kit_parts import wrong_files
from tests.support.mounting import Shell

RUN_SECONDS = 60  # longer than any of it takes
LIMIT_BYTES = 12 * MIB  # of what the cache may occupy where it has to evict: one of the kits, and a half


def new_kit() -> Kit:
    """Layers small and large, tar and raw, with entries that get files of their own and others that do not."""
    weights = Directory({"a.safetensors": 5 * MIB + 5, "b.safetensors": MIB, "config.json": 300})
    builder = KitBuilder("llama", seed=21).model("weights", weights).part("adapter.bin", 3 * MIB + 77, raw=True)
    return builder.part("tokenizer", Directory({"merges.txt": 200_000, "vocab.json": 5000})).docs("README.md", b"# llama\n").build()


def old_kit() -> Kit:
    """What was in the cache before, and may go."""
    return KitBuilder("old", seed=22).model("old.bin", 4 * MIB + 9, raw=True).part("older", Directory({"x": 2 * MIB})).build()


@dataclass(frozen=True)
class Stage:
    """Where it happens: a registry with both kits, and a directory for everything else."""

    directory: Path
    server: RegistryServer
    kits: dict[str, Kit] = field(default_factory=lambda: {"new": new_kit(), "old": old_kit()})

    def __post_init__(self) -> None:
        for name, kit in self.kits.items():
            self.server.registry.push(f"team/{name}", "1", kit.manifest, kit.blobs)

    def reference(self, name: str = "new") -> str:
        return f"{self.server.host}/team/{name}:1"

    def settings(self, root: Path, name: str = "new", limit_bytes: int | None = None) -> SourceSettings:
        return SourceSettings(
            reference=self.reference(name),
            cache_dir=str(root),
            min_free_ratio=0,
            cache_size_bytes=limit_bytes,
        )

    def layer(self, root: Path, kind: str, path: str) -> Path:
        """Where in the cache the layer of the new kit is that the Kitfile calls `path`."""
        digest = next(layer.digest for layer in self.kits["new"].layers if layer.wanted.path == path)
        return root / kind / "sha256" / digest.hex

    @cached_property
    def layer_names(self) -> frozenset[str]:
        """How directories of layers are called."""
        return frozenset(layer.digest.hex for kit in self.kits.values() for layer in kit.layers)


# --- what is running


@dataclass(frozen=True)
class Scenario:
    """`prepare` makes the cache; `words` follow `mkfs`, with a place to mount on behind them where it `mounts`."""

    name: str
    prepare: Callable[[Stage, Path], None]
    words: Sequence[str]
    mounts: bool = False


def nothing(_stage: Stage, _root: Path) -> None:
    pass


def warm(stage: Stage, root: Path) -> None:
    """The new kit, all of it published."""
    trio.run(_read, stage.settings(root))


def warm_with_old(stage: Stage, root: Path) -> None:
    """The old kit, all of it published long ago."""
    trio.run(_read, stage.settings(root, "old"))
    for path in root.glob("*/sha256/*"):
        os.utime(path, (1000, 1000))


def evicted(stage: Stage, root: Path) -> None:
    """The bytes went, the indexes stayed."""
    warm(stage, root)
    for path in ("weights", "adapter.bin"):
        shutil.rmtree(stage.layer(root, "layers", path))


def damaged(stage: Stage, root: Path) -> None:
    """Two layers went bad: one a chunk, one a whole file."""
    warm(stage, root)
    flip(stage.layer(root, "layers", "adapter.bin") / "1", MIB + 5)
    drop_pages(stage.layer(root, "layers", "adapter.bin"))
    (stage.layer(root, "layers", "weights") / "2").unlink()


def littered(stage: Stage, root: Path) -> None:
    """Too much is there, a dead process left what it received, and chunks whose index went."""
    warm_with_old(stage, root)
    warm(stage, root)
    shutil.copytree(stage.layer(root, "layers", "weights"), root / "staging" / ("e" * 32))
    stage.layer(root, "layers", "adapter.bin").rename(root / "staging" / f"{'f' * 32}.gone")
    (root / "partial" / "sha256").mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(stage.layer(root, "layers", "weights"), stage.layer(root, "partial", "adapter.bin"))
    stage.layer(root, "indexes", "adapter.bin").unlink()


def a_bit_of_all(stage: Stage, root: Path) -> None:
    """Something old that has to go, a layer that went, one that is damaged, and one that was never there."""
    warm_with_old(stage, root)
    damaged(stage, root)
    shutil.rmtree(stage.layer(root, "layers", "weights"))
    for kind, remove in (("layers", shutil.rmtree), ("indexes", os.unlink)):
        remove(stage.layer(root, kind, "tokenizer"))


_NEW, _LIMIT = "{reference}", ("--cache-size", str(LIMIT_BYTES), "--min-free", "0%")
SCENARIOS = (
    Scenario("publish", nothing, ("warmup", _NEW)),
    Scenario("chunks", evicted, ("warmup", _NEW)),
    Scenario("evict", warm_with_old, ("warmup", _NEW, *_LIMIT)),
    Scenario("verify", damaged, ("cache", "verify")),
    Scenario("prune", littered, ("cache", "prune", *_LIMIT)),
    Scenario("mount", a_bit_of_all, ("mount", "--foreground", *_LIMIT, _NEW), mounts=True),
)


class Theatre:
    """Runs scenarios on copies of their caches, which are made once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._count = 0

    def shell(self) -> Shell:
        """Somebody at a prompt, with a cache and a home of their own."""
        self._count += 1
        return Shell(self.stage.directory / f"home{self._count}")

    def traced(self, scenario: Scenario, call: Call) -> list[int]:
        """The numbers of a thread's calls of `call` that have to do with the cache, in a run that nobody kills."""
        shell = self.shell()
        try:
            log = self._run(scenario, shell, call, f"trace={call.name}")
            return strace.numbers(log, call, shell.cache)
        finally:
            self.close(shell)

    def killed(self, scenario: Scenario, call: Call, number: int) -> "Crash | None":
        """What is there after a kill at call `number`; None if it was not killed there, or not in the cache. Close its shell."""
        shell = self.shell()
        log = self._run(scenario, shell, call, f"trace={call.name}", strace.kill_at(call, number))
        if strace.was_killed(log, call, number, shell.cache):
            return Crash(self.stage, scenario, shell)
        self.close(shell)
        return None

    def close(self, shell: Shell) -> None:
        """Leaves nothing of it."""
        shell.tidy_up()
        shutil.rmtree(shell.home)

    def _run(self, scenario: Scenario, shell: Shell, call: Call, *expressions: str) -> Path:
        """Runs the scenario's command under strace, to its end; the log."""
        template = self.stage.directory / f"cache of {scenario.name}"
        if not template.exists():
            scenario.prepare(self.stage, template)
        if template.exists():  # else it begins without one
            copied(template, shell.cache)
        log = shell.home / "strace"
        paths = call.paths(shell.cache, sorted(self.stage.layer_names))
        words = [word.format(reference=self.stage.reference()) for word in scenario.words]
        if scenario.mounts:
            self._mount([*strace.command(log, expressions, paths), *shell.words(*words, shell.new_place())], shell)
        else:
            command = [*strace.command(log, expressions, paths), *shell.words(*words)]
            subprocess.run(command, env=shell.variables(), capture_output=True, timeout=RUN_SECONDS, check=False)
        return log

    def _mount(self, command: Sequence[str | Path], shell: Shell) -> None:
        """Mounts, reads everything as far as it goes, and unmounts."""
        place = shell.home / "mnt"
        with subprocess.Popen(
            command, env=shell.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            if any(" mounted at " in line for line in iter(process.stderr.readline, "")):
                reader = ["find", place, "-type", "f", "-exec", "cat", "{}", "+"]
                subprocess.run(reader, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=RUN_SECONDS, check=False)
            subprocess.run(["umount", "--lazy", place], stderr=subprocess.DEVNULL, check=False)
            process.communicate(timeout=RUN_SECONDS)


# --- and afterwards


@dataclass(frozen=True)
class Crash:
    """A cache whose user was killed."""

    stage: Stage
    scenario: Scenario
    shell: Shell

    def wrong(self) -> list[str]:
        """Uses the cache again; the files with wrong bytes, and what `verify` finds damaged."""
        kit = self.stage.kits["new"]
        if self.scenario.mounts:  # over the dead mount
            with self.shell.mounted(self.stage.reference(), *_LIMIT, place=self.shell.home / "mnt") as mount:
                wrong = wrong_files(mount.place, kit)
                mount.umount()
        else:
            limit_bytes = LIMIT_BYTES if _LIMIT[0] in self.scenario.words else None
            content = trio.run(_read, self.stage.settings(self.shell.cache, limit_bytes=limit_bytes))
            expected = {entry.path: entry.sha256 for entry in expected_tree(kit) if entry.sha256}
            wrong = [os.fsdecode(path) for path, digest in expected.items() if sha256(content[path]).hexdigest() != digest]
        damage = self._cache("verify")["damage"]
        assert isinstance(damage, list)
        return wrong + [f"{each['kind']}/{each['name']}: {each['what']}" for each in damage]

    def leaked(self) -> list[str]:
        """Prunes; what is there and has no right to be, and numbers that do not agree."""
        root = self.shell.cache
        self._cache("prune", *_LIMIT)
        leaks = [str(path.relative_to(root)) for path in _leaks(root, self.stage.layer_names)]
        total = self._cache("info")["total"]
        assert isinstance(total, dict)
        du = subprocess.run(["du", "-s", "--block-size=1", root], check=True, stdout=subprocess.PIPE).stdout.split()[0]
        if int(du) != total["size_bytes"]:
            leaks.append(f"du says {int(du)}, cache info {total['size_bytes']}")
        if int(du) > LIMIT_BYTES:
            leaks.append(f"{int(du)} bytes are more than {LIMIT_BYTES}")
        return leaks

    def _cache(self, *words: str) -> dict[str, object]:
        done = CliRunner().invoke(app, ["cache", *words, "--cache-dir", str(self.shell.cache), "--format", "json"])
        found: dict[str, object] = json.loads(done.stdout)
        return found


def _leaks(root: Path, layers: frozenset[str]) -> Iterator[Path]:
    """Everything that is no layer, index, document, grant, resolution or lock of somebody's, or is there twice."""
    yield from (root / "staging").iterdir()
    yield from set(root.iterdir()) - {root / name for name in _TOP}
    indexes = {path.name for path in root.glob("indexes/sha256/*")}
    whole = {path.name for path in root.glob("layers/sha256/*")}
    for kind in ("layers", "partial", "indexes", "locks"):
        yield from (path for path in root.glob(f"{kind}/sha256/*") if path.name not in layers)
    yield from (path for path in root.glob("partial/sha256/*") if path.name in whole or path.name not in indexes)
    for directory in root.glob("layers/sha256/*"):
        index = ChunkIndex.decode((directory / "index").read_bytes())
        yield from set(directory.iterdir()) - {directory / name for name in ("index", *map(stored_name, index.grid.file_sizes))}
    for directory in root.glob("partial/sha256/*"):
        files = ChunkIndex.decode((root / "indexes" / "sha256" / directory.name).read_bytes()).grid.file_sizes
        names = ("index", "ledger", *map(stored_name, files), *map(mended_name, files))
        yield from set(directory.iterdir()) - {directory / name for name in names}
    kept = {*whole, *indexes, *(path.name for path in root.glob("partial/sha256/*"))}
    yield from (path for path in root.glob("locks/sha256/*") if path.name not in kept)


_TOP = (
    *("CACHEDIR.TAG", "version", "staging", "layers", "partial", "indexes"),
    *("documents", "grants", "resolutions", "locks"),
)


async def _read(settings: SourceSettings) -> dict[bytes, bytes]:
    """All files of an artifact, by the engine; what is missing is fetched."""
    async with opening(settings) as means:
        artifact = await open_artifact(means.engine, means.repository, means.reference)
        try:
            return await read_all(artifact)
        finally:
            artifact.close()
