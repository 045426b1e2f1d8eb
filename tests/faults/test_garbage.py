"""Garbage in any file of the cache: every kind of file × every damage × before the cache is opened, and while a mount reads.

All through the engine, against a registry in memory. Whatever is done to a file: every byte is right, no more is fetched again than
what was lost, damage is counted, what a link leads to is left alone, and nothing is left over.
"""

import itertools
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from mkfs.cache.store import Cache
from mkfs.errors import CacheUnusable, NotFound
from mkfs.testing.kits import Kit
from mkfs.units import MIB
from tests.cache.material import flip, lose_pages, names
from tests.cache.test_layout import modes
from tests.faults.world import TAG, World, build_kit, copied, furnish, layer, place, read_all
from tests.support.namespaces import NOBODY

FETCHED_AGAIN = "are damaged and will be fetched again"
_DAC_OVERRIDE = 1 << 1  # CAP_DAC_OVERRIDE, see capabilities(7)

Damage = Callable[[Path, Path], None]
Find = Callable[[Path, Kit], Path]


# --- what is damaged


@dataclass(frozen=True)
class Kind:
    """A file of the cache: where it is, and how much is fetched again at most: where one bit of it is wrong, and where it is lost.

    `counted`: damage to it is found, by who reads it or by `verify`. `in_layer`: it is part of a layer's directory, where its loss
    is damage, too. `holds_chunks`: whoever reads it says what is wrong with it.
    """

    find: Find
    flipped_bytes: int = 0
    lost_bytes: int = 0
    counted: bool = True
    in_layer: bool = False
    holds_chunks: bool = False


def document(which: str) -> Find:
    def find(root: Path, kit: Kit) -> Path:
        wanted = kit.manifest if which == "manifest" else kit.config
        return next(path for path in (root / "documents/sha256").iterdir() if path.read_bytes() == wanted)

    return find


def record(directory: str, word: bytes) -> Find:
    """The file in `directory` that tells of a name with `word` in it."""
    return lambda root, _kit: next(path for path in (root / directory).iterdir() if word in path.read_bytes().splitlines()[1])


def of(layer_path: str, kind: str, name: str = "") -> Find:
    return lambda root, kit: place(root, kind, layer(kit, layer_path)) / name


def chunks(layer_path: str, kind: str, name: str, flipped_bytes: int, lost_bytes: int, *, counted: bool = True) -> Kind:
    return Kind(of(layer_path, kind, name), flipped_bytes, lost_bytes, counted=counted, in_layer=True, holds_chunks=True)


DIRECTORY = "directory of a layer"  # of which only mode and owner can be hurt
PARTIAL_BYTES, MENDED_BYTES, SMALL_BYTES = 2 * MIB + 5000, MIB + 77, 4096
KINDS = {
    "version": Kind(lambda root, _kit: root / "version", counted=False),
    "index of a layer": Kind(of("model", "layers", "index"), in_layer=True),
    "rest of a layer": chunks("model", "layers", "rest", SMALL_BYTES, SMALL_BYTES),
    "file of a layer": chunks("model", "layers", "1", MIB, MIB + 512),
    "rest of a small layer": chunks("README.md", "layers", "rest", SMALL_BYTES, SMALL_BYTES),
    "ledger": Kind(of("partial", "partial", "ledger"), PARTIAL_BYTES, PARTIAL_BYTES, in_layer=True),
    "rest of a partial layer": chunks("partial", "partial", "rest", SMALL_BYTES, SMALL_BYTES),
    "file of a partial layer": chunks("partial", "partial", "1", MIB, 2 * MIB + 512),
    "index of a partial layer": Kind(of("partial", "indexes"), 2 * PARTIAL_BYTES, 2 * PARTIAL_BYTES),  # its headers, then all
    "ledger of a mended layer": Kind(of("mended.bin", "partial", "ledger"), MENDED_BYTES, MENDED_BYTES, in_layer=True),
    "file of a mended layer": chunks("mended.bin", "partial", "1", MIB, MENDED_BYTES, counted=False),  # most of it is not needed
    "mended file": chunks("mended.bin", "partial", "1.mended", MIB, MIB),
    "kept index of a layer": Kind(of("model", "indexes")),
    "manifest": Kind(document("manifest")),
    "config": Kind(document("config"), SMALL_BYTES, SMALL_BYTES),
    "grant": Kind(record("grants", b"registry.test"), SMALL_BYTES, SMALL_BYTES),
    "resolution": Kind(record("resolutions", b":7b"), counted=False),  # written anew whenever the registry is asked
    "lock": Kind(of("partial", "locks"), counted=False),
    DIRECTORY: Kind(of("model", "layers"), 0, 3 * MIB, in_layer=True),
}
FOR_OFFLINE = {"manifest", "resolution"}  # nobody else reads them


# --- how


def bit_flip(path: Path, _elsewhere: Path) -> None:
    if path.stat().st_size:
        flip(path, path.stat().st_size // 2)


def truncation(path: Path, _elsewhere: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero_tail(path: Path, _elsewhere: Path) -> None:
    size_bytes = path.stat().st_size
    os.truncate(path, size_bytes - min(size_bytes, 5000) // 2)
    os.truncate(path, size_bytes)


def deletion(path: Path, _elsewhere: Path) -> None:
    path.unlink()


def foreign_content(path: Path, _elsewhere: Path) -> None:
    path.write_bytes(b"\x55" * max(path.stat().st_size, 100))


def no_permission(path: Path, _elsewhere: Path) -> None:
    path.chmod(0)


def another_owner(path: Path, _elsewhere: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def symlink_swap(path: Path, elsewhere: Path) -> None:
    shutil.copy(path, elsewhere)
    path.unlink()
    path.symlink_to(elsewhere)


def obeys_modes() -> bool:
    """Whether the modes of files mean anything to us."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return not int(status["CapEff"], 16) & _DAC_OVERRIDE


DAMAGES = [bit_flip, truncation, zero_tail, deletion, foreign_content, symlink_swap]
OF_MODES = [*([no_permission] if obeys_modes() else []), *([another_owner] if os.geteuid() == 0 else [])]


HARMLESS = {  # the end of a tar is zeros; that chunk was mended and is read elsewhere
    ("rest of a small layer", zero_tail),
    ("file of a mended layer", bit_flip),
}


def said_before(name: str, damage: Damage) -> bool:
    """Whether a reader finds it, and says so; else looking the layer up does, or there is nothing to find."""
    if (name, damage) in HARMLESS:
        return False
    if name in {"mended file", "file of a mended layer"}:
        return True
    return KINDS[name].holds_chunks and damage in {bit_flip, zero_tail, foreign_content, no_permission}


def said_while(name: str, damage: Damage) -> bool:
    """The same for who has the file open, and then for who comes next."""
    in_place = damage in {bit_flip, truncation, zero_tail, foreign_content} and (name, damage) not in HARMLESS
    return (in_place and KINDS[name].holds_chunks) or said_before(name, damage)


# --- what follows


class Hurt:
    """A copy of the furnished cache, and one file in it that is about to be hurt."""

    def __init__(self, world: World, content: dict[bytes, bytes], path: Path, name: str, damage: Damage) -> None:
        self.world, self.content, self.path, self.name, self.damage = world, content, path, name, damage
        self.kind = KINDS[name]
        self.root, self.elsewhere = world.root / "cache", world.root / "elsewhere"
        self.before = path.read_bytes() if path.is_file() else b""
        self.harmless = False
        self.damaged = 0  # damage counted by all caches so far

    def inflict(self) -> None:
        """Hurts the file as a disk would: what the page cache knew of it is gone."""
        lose_pages(self.path)
        self.damage(self.path, self.elsewhere)
        if self.damage not in OF_MODES:
            self.harmless = self.path.is_file() and not self.path.is_symlink() and self.path.read_bytes() == self.before
            lose_pages(self.path)
        self.led_to = self.elsewhere.read_bytes() if self.elsewhere.exists() else None
        self.world.registry.log.clear()

    @property
    def may_cost_bytes(self) -> int:
        flipped = {bit_flip: self.kind.flipped_bytes, zero_tail: 2 * self.kind.flipped_bytes}  # the tail may be of two chunks
        return 0 if self.harmless else flipped.get(self.damage, self.kind.lost_bytes)

    def cost_bytes(self) -> int:
        return sum(served.sent_bytes for served in self.world.registry.log if served.method == "GET" and "/blobs/" in served.path)

    def is_refused(self) -> bool:
        return self.name == "version" and self.damage is not deletion and not self.harmless

    async def read(self, *, offline: bool = False) -> None:
        """All of it, by a mount that comes now."""
        async with self.world.opened(TAG, offline=offline) as (engine, artifact):
            assert await read_all(artifact) == self.content
            self.damaged += engine.cache.statistics().damaged

    async def is_missed_offline(self) -> None:
        """A mount that cannot ask finds it out and has nothing to go by."""
        assert isinstance(await self.world.refused(TAG, offline=True), NotFound)
        self.damaged += self.path.name not in names(self.path.parent)

    async def is_right_now(self) -> None:
        """Whoever comes next reads it, or is refused a cache that cannot be told; nothing is left over, and damage was counted."""
        if self.is_refused():
            assert isinstance(await self.world.refused(TAG), CacheUnusable)
            return
        await self.read()
        cache = Cache.open(self.root, min_free_ratio=0)
        cache.verify(lambda _size_bytes: None)
        self.damaged += cache.statistics().damaged
        cache.prune()
        cache.close()
        assert names(self.root / "staging") == []
        if self.harmless:
            assert self.damaged == 0
        elif self.kind.counted and (self.damage is not deletion or self.kind.in_layer):
            assert self.damaged > 0
        assert self.led_to is None or self.elsewhere.read_bytes() == self.led_to


@pytest.fixture(scope="module")
def kit() -> Kit:
    return build_kit()


Template = tuple[Path, dict[bytes, bytes], int]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, kit: Kit) -> Template:
    """The furnished cache, what its files hold, and how many bytes of it are missing."""
    world = World(tmp_path_factory.mktemp("furnished"))
    logging.disable(logging.WARNING)  # what is mended is said
    content = trio.run(furnish, world, kit)
    logging.disable(logging.NOTSET)
    template = world.root / "template"
    copied(world.root / "cache", template)

    async def read_the_rest() -> None:
        async with world.opened(TAG) as (_, artifact):
            await read_all(artifact)

    trio.run(read_the_rest)
    return template, content, world.registry.bytes_sent()


@pytest.fixture
def hurt(request: pytest.FixtureRequest, tmp_path: Path, kit: Kit, template: Template) -> Hurt:
    name, damage = request.param
    world = World(tmp_path)
    world.registry.push(TAG.repository, TAG.tag, kit.manifest, kit.blobs)
    copied(template[0], tmp_path / "cache")
    return Hurt(world, template[1], KINDS[name].find(tmp_path / "cache", kit), name, damage)


def cases(is_said: Callable[[str, Damage], bool]) -> list[object]:
    """Every kind × every damage."""
    return [
        pytest.param(
            (name, damage),
            id=f"{damage.__name__.replace('_', ' ')} of {name}",
            marks=[pytest.mark.logs(FETCHED_AGAIN)] if is_said(name, damage) else [],
        )
        for name, damage in itertools.product(KINDS, (*DAMAGES, *OF_MODES))
        if name != DIRECTORY or damage in OF_MODES
    ]


@pytest.mark.fault("K")
@pytest.mark.parametrize("hurt", cases(said_before), indirect=True)
async def test_before_the_cache_is_opened(hurt: Hurt, template: Template) -> None:
    hurt.inflict()
    if hurt.name in FOR_OFFLINE:
        await hurt.is_missed_offline()
    await hurt.is_right_now()
    assert hurt.cost_bytes() <= hurt.may_cost_bytes + template[2]
    if hurt.name in FOR_OFFLINE:
        await hurt.read(offline=True)


@pytest.mark.fault("K")
@pytest.mark.parametrize("hurt", cases(said_while), indirect=True)
async def test_while_it_is_read(hurt: Hurt) -> None:
    async with hurt.world.opened(TAG) as (engine, artifact):
        assert await read_all(artifact) == hurt.content
        hurt.inflict()
        engine.cache._shared.hot.clear()
        engine.memory.clear()
        assert await read_all(artifact) == hurt.content
        hurt.damaged += engine.cache.statistics().damaged
    await hurt.is_right_now()
    assert hurt.cost_bytes() <= hurt.may_cost_bytes


def test_all_of_it_is_private(template: Template) -> None:
    assert modes(template[0]) == {("directory", 0o700), ("file", 0o600)}


@pytest.mark.fault("K")
@pytest.mark.skipif(obeys_modes(), reason="the matrix has it")
def test_files_that_we_may_not_open(tmp_path: Path) -> None:
    """The column that root does not feel: the matrix once more, by a root who has to obey modes."""
    without = ["setpriv", "--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search"]
    words = ["-m", "pytest", "-q", "-k", "no and permission", "-p", "no:cacheprovider"]
    command = [sys.executable, *words, "--basetemp", tmp_path / "there", __file__]  # else it tidies up after other runs
    done = subprocess.run([*without, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{2 * len(KINDS)} passed" in done.stdout
