"""The ways to the registry: loopback, and a link in a process of its own, as its thread would take turns with ours."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

from bench.scene import Scene
from mkfs.testing.link_model import GIGABIT, Shape
from mkfs.units import KIB
from tests.support.mounting import SOURCE

_END_SECONDS: Final = 10


@final
@dataclass(frozen=True, slots=True)
class Route:
    """`host` stands in for the registry's own."""

    name: str
    host: str

    def blob(self, repository: str, digest: object) -> str:
        """The URL of a blob on this way."""
        return f"http://{self.host}/v2/{repository}/blobs/{digest}"

    def reference(self, reference: str) -> str:
        """`reference`, which names the registry itself, on this way."""
        return f"{self.host}/{reference.partition('/')[2]}"


def loopback(scene: Scene) -> Route:
    """Straight to the registry."""
    return Route("loopback", scene.registry.host)


@contextmanager
def far(scene: Scene, shape: Shape = GIGABIT) -> Iterator[Route]:
    """A long way, with slow start."""
    name = f"{shape.bits_per_second // 10**6} Mbit/s, {shape.round_trip_seconds * 1000:.0f} ms"
    command = [sys.executable, "-P", "-m", "mkfs.testing.link", scene.registry.host]
    command += ["--megabits", str(shape.bits_per_second // 10**6), "--round-trip-ms", str(shape.round_trip_seconds * 1000)]
    command += ["--window-kib", str(shape.window_limit_bytes // KIB)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(SOURCE)}) as process:
        assert process.stdout is not None
        try:
            yield Route(name, process.stdout.readline().strip())
        finally:
            process.terminate()
            process.wait(_END_SECONDS)
