"""What `ls -lR` of ten thousand small files costs: in a mount, and of the same tree unpacked on the disk."""

import subprocess
from pathlib import Path
from time import perf_counter
from typing import Final

from bench.report import Answer, Row
from bench.scene import Failed, Scene
from mkfs.testing.kit_layers import Node
from mkfs.testing.kits import Directory, KitBuilder

_DIRECTORIES: Final = 100
_FILES: Final = 100  # in each directory
_RATIO: Final = 3.0
_DROP_NAMES: Final = "2"  # proc(5), drop_caches: entries and inodes, not the pages of files


def measure(scene: Scene, *, rounds: int, size_bytes: int) -> Answer:  # noqa: ARG001 - every question is asked the same way
    """A kit of one tar layer, proven before, listed in a new mount each time; the tree as it was copied out of the mount."""
    entries: dict[str, Node] = {f"{number:03}": _directory(number) for number in range(_DIRECTORIES)}
    kit = KitBuilder("listing", seed=1).dataset("data", Directory(entries)).build()
    reference = scene.pusher.push("bench/listing", "kit", kit.manifest, kit.blobs)
    unpacked = scene.directory / "unpacked"
    with scene.mounted(reference):
        subprocess.run(["cp", "-a", scene.mountpoint, unpacked], check=True)
    first, again, plain_first, plain_again = list[float](), list[float](), list[float](), list[float]()
    for _ in range(rounds):
        scene.settle()
        with scene.mounted(reference):
            first.append(_listed(scene.mountpoint))
            again.append(_listed(scene.mountpoint))
        Path("/proc/sys/vm/drop_caches").write_text(_DROP_NAMES, "ascii")
        plain_first.append(_listed(unpacked))
        plain_again.append(_listed(unpacked))
    subprocess.run(["rm", "-rf", unpacked], check=True)
    scene.clear_cache()
    disk = Row("unpacked, names forgotten", "s", plain_first, theirs=True, shape="{:.3f}")
    disk_again = Row("unpacked, again", "s", plain_again, theirs=True, shape="{:.3f}")
    return Answer(
        "listing",
        f"ls -lR of {_DIRECTORIES * _FILES} files in {_DIRECTORIES} directories, one tar layer",
        (
            Row("new mount", "s", first, disk, ratio_limit=_RATIO, shape="{:.3f}"),
            disk,
            Row("the same mount, again", "s", again, disk_again, shape="{:.3f}"),
            disk_again,
        ),
        ("names forgotten: drop_caches 2 before it; a new mount has none either",),
    )


def _directory(number: int) -> Directory:
    return Directory({f"{number:03}-{each:03}.txt": f"{number} {each}\n".encode() for each in range(_FILES)})


def _listed(place: Path) -> float:
    """Seconds. Checks that everything is listed."""
    started = perf_counter()
    ran = subprocess.run(["ls", "-lR", place], env={"LC_ALL": "C", "PATH": "/bin:/usr/bin"}, capture_output=True, check=True)
    seconds = perf_counter() - started
    if (count := ran.stdout.count(b".txt\n")) != _DIRECTORIES * _FILES:
        raise Failed(f"{count} files were listed")
    return seconds
