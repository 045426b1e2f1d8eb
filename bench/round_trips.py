"""How many round trips a mount waits for one after another: counted at a registry that answers wave by wave."""

from typing import Final

from bench.scene import Failed, Scene
from mkfs.testing.registry import MemoryRegistry
from tests.support.waves import waves

_END_SECONDS: Final = 60


def round_trips(scene: Scene, registry: MemoryRegistry, reference: str) -> int:
    """Those of one mount, from the command's start to a directory that can be read. Raises `Failed` where it does not mount."""
    scene.new_mountpoint()
    with scene.shell.start("mount", reference, scene.mountpoint) as process:
        try:
            found = waves(registry, lambda: process.poll() is not None)
            _, stderr = process.communicate(timeout=_END_SECONDS)
        finally:
            process.kill()
    if process.returncode:
        raise Failed(f"the mount failed (exit code {process.returncode})\n{stderr}")
    scene.shell.run("umount", scene.mountpoint)
    return len(found)
