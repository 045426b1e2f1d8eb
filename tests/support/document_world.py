"""Where the commands of a document run: a machine of their own, as far as mounts, network, processes and files go.

A program, started by `run_blocks`. Everything outside stays as it is: /etc, /usr, /var and the project are overlays, /mnt, /run and
/tmp are empty, the only network is a loopback on which a registry stands at localhost:5000. In it:

    llama:7b, llama:production     a kit of four shards of safetensors, config.json, tokenizer.json and README.md
    llama:8b, llama:challenger     another of the same names
    team.pem, team.pub             a key pair in the working directory, which is the project's

`registry/`, `registry.example.com/` and `ghcr.io/acme/` are aliases of that registry, so that documents may use names people use.
What a section mounted is unmounted when the next begins.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

from mkfs.fuse.mountinfo import mounts
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import serve
from mkfs.testing.tensors import safetensors_file, seeded_tensor
from tests.support.documents import ROOT, Block
from tests.support.namespaces import LET_GO
from tests.support.signing import key_pair

PORT: Final = 5000
_UNSHARE: Final = ("unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
_BLOCK_SECONDS: Final = 60
_SHARDS: Final = 4
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # netdevice(7)
_OVERLAID: Final = ("/etc", "/usr", "/var", "/root", str(ROOT))
_EMPTY: Final = ("/mnt", "/run", "/srv")
_CONFIG: Final = """[alias]
registry = "localhost:5000"
"registry.example.com" = "localhost:5000"
"ghcr.io/acme" = "localhost:5000"
"""


def run_blocks(blocks: list[Block]) -> list[tuple[Block, int, str]]:
    """Runs the scripts of `blocks`, of one document, one after another. Of each its exit code and what it printed, up to the first
    that failed.
    """
    words = [*_UNSHARE, sys.executable, "-m", "tests.support.document_world"]
    asked = json.dumps([(block.section, block.script) for block in blocks])
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = subprocess.run(words, input=asked, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"no world for documents: {done.stderr}")
    answered: list[tuple[int, str]] = json.loads(done.stdout)
    return [(block, code, output) for block, (code, output) in zip(blocks, answered, strict=False)]


def main() -> None:
    """Builds the world, runs what stdin asks for, and answers on stdout. The namespaces end with this process."""
    asked: list[tuple[str, str]] = json.load(sys.stdin)
    subprocess.run(["sh", "-euc", LET_GO], check=True)
    _bring_up_loopback()
    _cover()
    os.chdir(ROOT)  # again: what stood here is covered now
    keys = key_pair()
    Path("team.pem").write_bytes(keys.private_pem)
    Path("team.pub").write_bytes(keys.public_pem)
    answers: list[tuple[int, str]] = []
    registry = _registry()
    with serve(registry, port=PORT):
        section = ""
        for its_section, script in asked:
            if its_section != section:
                _unmount_all()
                section = its_section
            answers.append(_run(script))
            if answers[-1][0]:
                break
        _unmount_all()
    json.dump(answers, sys.stdout)


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _cover() -> None:
    """Overlays and empty directories over what commands may write to."""
    room = Path("/mnt")
    _mount("-t", "tmpfs", "none", room)
    for number, place in enumerate(_OVERLAID):
        upper, scratch = room / f"upper{number}", room / f"work{number}"
        upper.mkdir()
        scratch.mkdir()
        _mount("-t", "overlay", "-o", f"lowerdir={place},upperdir={upper},workdir={scratch}", "none", place)
    for place in _EMPTY:
        _mount("-t", "tmpfs", "-o", "mode=755", "none", place)
    Path("/mnt/llama").mkdir()
    home = Path("/run/home")
    config = home / ".config" / "mkfs" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(_CONFIG)


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def _registry() -> MemoryRegistry:
    registry = MemoryRegistry()
    for seed, tags in enumerate((("7b", "production"), ("8b", "challenger")), 1):
        kit = _kit(seed)
        for tag in tags:
            registry.push("llama", tag, kit.manifest, kit.blobs)
    return registry


def _kit(seed: int) -> Kit:
    builder = KitBuilder("llama", seed=seed, description=f"llama, kind {seed}")
    for shard in range(1, _SHARDS + 1):
        add = builder.model if shard == 1 else builder.part
        weights = safetensors_file({f"layer.{shard}": seeded_tensor(10 * seed + shard, 300, 300)})
        add(f"model-{shard:05}-of-{_SHARDS:05}.safetensors", weights)
    builder.part("config.json", b'{"architectures": ["LlamaForCausalLM"]}\n').part("tokenizer.json", b"{}\n")
    return builder.docs("README.md", f"# llama, kind {seed}\n".encode()).build()


def _run(script: str) -> tuple[int, str]:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/run/home",
        "LANG": "C.UTF-8",
        # `pip install .` builds the project, and asks no index: what it needs is here
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of "build isolation"
        "PIP_TARGET": "/run/installed",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    words = ["sh", "-euc", script]
    process = subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=_BLOCK_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, output.decode(errors="replace") + f"\nstill running after {_BLOCK_SECONDS} s"
    return process.returncode, output.decode(errors="replace")


def _unmount_all() -> None:
    while ours := [mount for mount in mounts() if mount.ours]:
        subprocess.run(["umount", "--lazy", os.fsdecode(ours[-1].place)], check=True)


if __name__ == "__main__":
    main()
