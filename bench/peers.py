"""Others who bring the same bytes: pullers into a directory, and rclone's mount. Who is not installed is left out, with a remark.

A turn of a peer is what a person would have to wait for: bring everything, then read everything, as ours is mount and read.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, final

from bench import curl
from bench.payload import Payload
from bench.reading import files_below, read_all
from bench.report import Row
from bench.routes import Route
from bench.scene import TOOLS, Failed, Scene
from mkfs.units import GIB

_TRIES: Final = 100
_TRY_SECONDS: Final = 0.05

Bring = Callable[[Scene, Payload, Route, Path], AbstractContextManager[Path]]


@final
@dataclass(frozen=True, slots=True)
class Peer:
    """`bring` brings a payload over a route, with the empty directory it is given, and gives where the files are then."""

    name: str
    bring: Bring


@final
@dataclass(frozen=True, slots=True)
class Turn:
    """What a peer took. CPU of all its processes, and of the reader."""

    bring_seconds: float
    read_seconds: float
    cpu_seconds: float
    registry_seconds: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.bring_seconds + self.read_seconds


@final
class Field:
    """The peers of one question, which take their turns beside ours, and what was seen of them."""

    def __init__(self, scene: Scene, payload: Payload, route: Route, peers: Sequence[Peer], remarks: Sequence[str] = ()) -> None:
        self._scene, self._payload, self._route = scene, payload, route
        self._peers = list(peers)
        self.turns: dict[str, list[Turn]] = {peer.name: [] for peer in peers}
        self.remarks = list(remarks)

    def turn(self) -> None:
        """A turn of each. One that fails takes part no more, and is said to have failed."""
        for peer in list(self._peers):
            try:
                self.turns[peer.name].append(turn(self._scene, self._payload, self._route, peer))
            except (OSError, subprocess.CalledProcessError, Failed) as error:
                self._peers.remove(peer)
                del self.turns[peer.name]
                self.remarks.append(f"{peer.name}: failed ({_said_of(error)})")

    def rows(self, ours: Row, least_ratios: Mapping[str, float], *, suffix: str = " + read") -> list[Row]:
        """A row for each, beside ours: how many times as long it took."""
        return [
            Row(f"{name}{suffix}", "s", [each.seconds for each in turns], ours, least_ratio=least_ratios.get(name), theirs=True)
            for name, turns in self.turns.items()
        ]

    def cpu_rows(self) -> list[Row]:
        """What each cost in CPU."""
        gibs = self._payload.size_bytes / GIB
        return [
            Row(f"{name} + read, CPU", "s/GiB", [each.cpu_seconds / gibs for each in turns], theirs=True)
            for name, turns in self.turns.items()
        ]


def turn(scene: Scene, payload: Payload, route: Route, peer: Peer) -> Turn:
    """Empty directory, everything brought, everything read, everything taken away. Raises `Failed` where bytes are missing."""
    place = scene.directory / "brought"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    scene.settle()
    registry, before, started = scene.registry_cpu(), os.times(), perf_counter()
    try:
        with peer.bring(scene, payload, route, place) as where:
            brought = perf_counter()
            count = read_all(files_below(where))
            ended = perf_counter()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    used += after.user - before.user + after.system - before.system
    if count < payload.size_bytes:
        raise Failed(f"{count} bytes came, expected {payload.size_bytes} and more")
    return Turn(brought - started, ended - brought, used, scene.registry_cpu().since(registry).seconds)


def _said_of(error: Exception) -> str:
    """Without its own words, which may hold paths of this machine."""
    return f"exit code {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else type(error).__name__


def pulling(tar_kit: Callable[[], str]) -> tuple[list[Peer], list[str]]:
    """All who pull and are here, and a remark for each who is not. `tar_kit` as for `kits`."""
    more, remarks = kits(tar_kit)
    if _found("crane"):
        return [ORAS, CURL, RANGES, Peer("crane pull", _crane), *more], remarks
    return [ORAS, CURL, RANGES, *more], ["crane pull: left out (scripts/install-crane brings it)", *remarks]


def kits(tar_kit: Callable[[], str]) -> tuple[list[Peer], list[str]]:
    """Kit and modctl where the environment names them (KIT, MODCTL), and a remark where it does not.

    `tar_kit` pushes the payload as a kit of tars, which all of them know, and gives its reference.
    """
    kit, modctl = os.environ.get("KIT"), os.environ.get("MODCTL")
    reference = tar_kit() if kit or modctl else ""
    peers, remarks = list[Peer](), list[str]()
    if kit:
        peers += [
            Peer("kit pull + unpack", _unpacked(partial(_kit, kit, reference))),
            Peer("kit unpack from remote, unproven", _unpacked(partial(_kit, kit, reference, pull=False))),
        ]
    else:
        remarks.append("kit: left out (KIT= gives one)")
    if modctl:
        peers.append(Peer("modctl pull", _unpacked(partial(_modctl, modctl, reference))))
    else:
        remarks.append("modctl: left out (MODCTL= gives one)")
    return peers, remarks


@contextmanager
def rclone_mounts(place: Path) -> Iterator[tuple[list[Peer], list[str]]]:
    """Mounts by rclone of the files in `place`, which it serves over HTTP for the block; a remark where there is no rclone."""
    rclone = _found("rclone")
    if rclone is None:
        yield [], ["rclone mount: left out (scripts/install-peers brings it)"]
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    command: list[str | Path] = [rclone, "serve", "http", place, "--addr", f"{address[0]}:{address[1]}", "--config", os.devnull]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address)
            url = f"http://{address[0]}:{address[1]}/"
            yield [Peer(f"rclone mount, cache {mode}", _rclone(url, mode)) for mode in ("full", "off")], []
        finally:
            process.terminate()


def _wait_for(address: tuple[str, int]) -> None:
    """Returns when somebody listens there. rclone does not say on which port it does."""
    for _ in range(_TRIES):
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            time.sleep(_TRY_SECONDS)
        else:
            return
    raise Failed("rclone does not listen")


@contextmanager
def _oras(scene: Scene, payload: Payload, route: Route, place: Path) -> Iterator[Path]:
    command: list[str | Path] = [
        _tool("oras"),
        "pull",
        "--plain-http",
        "--no-tty",
        "--output",
        place,
        route.reference(payload.artifact),
    ]
    _run(scene, command)
    yield place


@contextmanager
def _crane(scene: Scene, payload: Payload, route: Route, place: Path) -> Iterator[Path]:
    _run(scene, [_tool("crane"), "pull", "--insecure", "--format", "oci", route.reference(payload.kit), place])
    yield place


@contextmanager
def _curl(_scene: Scene, payload: Payload, route: Route, place: Path) -> Iterator[Path]:
    curl.files(payload.urls(route.host), payload.sums, place)
    yield place


@contextmanager
def _parallel(_scene: Scene, payload: Payload, route: Route, place: Path) -> Iterator[Path]:
    curl.files_at_once(payload.urls(route.host), payload.sums, place)
    yield place


@contextmanager
def _ranges(_scene: Scene, payload: Payload, route: Route, place: Path) -> Iterator[Path]:
    curl.files_in_ranges(payload.urls(route.host), payload.sums, payload.sizes, place)
    yield place


ORAS: Final = Peer("oras pull", _oras)
CURL: Final = Peer("curl to files + openssl", _curl)
PARALLEL: Final = Peer("curl --parallel + openssl", _parallel)
RANGES: Final = Peer("curl, 8 ranges, + parallel openssl", _ranges)


def _unpacked(fetch: Callable[[Scene, Route, Path], None]) -> Bring:
    @contextmanager
    def bring(scene: Scene, _payload: Payload, route: Route, place: Path) -> Iterator[Path]:
        fetch(scene, route, place)
        yield place / "unpacked"

    return bring


def _kit(kit: str, kept: str, scene: Scene, route: Route, place: Path, *, pull: bool = True) -> None:
    reference, home = route.reference(kept), {"KITOPS_HOME": str(place / "store")}
    if pull:
        _run(scene, [kit, "pull", reference, "--plain-http", "--progress", "none"], home)
    _run(scene, [kit, "unpack", reference, "--plain-http", "--progress", "none", "--dir", place / "unpacked"], home)


def _modctl(modctl: str, kept: str, scene: Scene, route: Route, place: Path) -> None:
    words: list[str | Path] = [modctl, "pull", route.reference(kept), "--plain-http", "--storage-dir", place / "store"]
    _run(scene, [*words, "--extract-dir", place / "unpacked"])


def _rclone(url: str, mode: str) -> Bring:
    @contextmanager
    def bring(scene: Scene, _payload: Payload, _route: Route, place: Path) -> Iterator[Path]:
        where = place / "mnt"
        where.mkdir()
        command: list[str | Path] = [_tool("rclone"), "mount", ":http:", where, "--http-url", url, "--read-only", "--daemon"]
        command += ["--vfs-cache-mode", mode, "--cache-dir", place / "cache", "--config", place / "none"]
        _run(scene, command)
        try:
            yield where
        finally:
            _unmount(where)

    return bring


def _unmount(place: Path) -> None:
    """Unmounts as soon as nobody uses it any more; rclone ends with it."""
    for _ in range(_TRIES):
        if subprocess.run(["umount", place], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(_TRY_SECONDS)
    subprocess.run(["umount", "--lazy", place], check=True)


def _run(scene: Scene, command: Sequence[str | Path], more: Mapping[str, str] | None = None) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, env={**scene.shell.variables(), **(more or {})}, check=True)


def _found(name: str) -> str | None:
    return shutil.which(name, path=TOOLS) or shutil.which(name)


def _tool(name: str) -> str:
    found = _found(name)
    if found is None:
        raise Failed(f"{name} is not here")
    return found
