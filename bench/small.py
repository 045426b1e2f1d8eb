"""How long many small layers take over a link, all of them read: mounted, and pulled by others."""

from typing import Final

from bench import ours
from bench.payload import push_files
from bench.peers import ORAS, PARALLEL, Field
from bench.report import Answer, Row
from bench.routes import far
from bench.scene import Scene
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import BlobBody, MemoryBody, SeededBody
from mkfs.units import KIB, MIB

_SMALL: Final = 60
_SMALL_BYTES: Final = 64 * KIB
_LARGE_BYTES: Final = 20 * MIB
_SECONDS: Final = 0.9


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:  # noqa: ARG001 - every question is asked the same way
    """A layer of 20 MiB and sixty of 64 KiB, at the far end of 1 Gbit/s and 20 ms."""
    large: dict[str, BlobBody] = {"model.safetensors": SeededBody(0, _LARGE_BYTES)}
    small: dict[str, BlobBody] = {
        f"part-{number:02}.json": MemoryBody(SeededBody(number, _SMALL_BYTES).read(ByteRange(0, _SMALL_BYTES)))
        for number in range(1, _SMALL + 1)
    }
    payload = push_files(scene, "small", large, small)
    turns = []
    with far(scene) as link:
        field = Field(scene, payload, link, [ORAS, PARALLEL])
        for _ in range(rounds):
            field.turn()
            turns.append(ours.turn(scene, payload, link))
    scene.clear_cache()
    total = Row("mount + read", "s", [turn.seconds for turn in turns], limit=_SECONDS)
    return Answer(
        "small",
        f"a layer of {_LARGE_BYTES // MIB} MiB, {_SMALL} of {_SMALL_BYTES // KIB} KiB, nothing in the cache; {link.name}",
        (
            total,
            Row("  of which mount", "s", [turn.mount_seconds for turn in turns]),
            Row("  of which read", "s", [turn.read_seconds for turn in turns]),
            *field.rows(total, {}),
        ),
        ("curl: ten files at a time, then all are hashed", "oras: as many as it takes by itself", *field.remarks),
    )
