"""What starting costs, counted in modules: a mount imports what nearly every mount needs, a command line next to nothing."""

import subprocess
import sys

import pytest

from mkfs import formats
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Shell

# Loaded when somebody wants them: of other formats, signatures, pushes, the cache's housekeeping, and of the libraries behind them.
LATE = (
    "asyncio",
    "cryptography",
    "mkfs.cache.maintenance",
    "mkfs.cache.scrub",
    "mkfs.content.indexing",
    "mkfs.content.searching",
    *(f"mkfs.formats.{name}" for name in formats.FORMATS if name != "kitops"),  # what is mounted here is a ModelKit
    "mkfs.proof.evidence",
    "mkfs.proof.keys",
    "mkfs.proof.statement",
    "mkfs.registry.hosts_toml",
    "mkfs.registry.registries_conf",
    "mkfs.service.grove",
    "mkfs.service.http_server",
    "mkfs.service.json_lines",
    "mkfs.service.metrics",
    "mkfs.service.scrubbing",
    "mkfs.service.showing_repository",
    "mkfs.service.targets",
    "mkfs.testing",
    "mkfs.vfs.top",
    "nacl",
    "prometheus_client",
    "rich",
    "structlog",
    "tomllib",
)

# What a daemon does, and a command only asks for.
WORK = {
    "mkfs.cache.store",
    "mkfs.content.engine",
    "mkfs.formats.plan",
    "mkfs.proof.policy",
    "mkfs.registry.client",
    "mkfs.vfs.model_fs",
}


def loaded(program: str, *arguments: str) -> set[str]:
    """The modules of an interpreter after `program`."""
    whole = f"{program}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", whole, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


MOUNT = """
import os, signal, sys
from mkfs.service.mounted import run
from mkfs.service.settings import MountSettings, SourceSettings

reference, place, cache = sys.argv[1:]
settings = MountSettings(
    source=SourceSettings(reference=reference, cache_dir=cache),
    mountpoint=place, allow_other=False, uid=0, gid=0, umask=0, read_timeout_seconds=60,
)

def announce(outcome):
    assert outcome.exit_code == 0, outcome
    os.kill(os.getpid(), signal.SIGTERM)

assert run(settings, announce, print) == 0
"""


@pytest.mark.fuse
def test_an_ordinary_mount_loads_nothing_that_others_need(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = KitBuilder("ordinary", seed=1).model("model.bin", 2 * MIB).docs("README.md", b"hello").build()
    registry.push("team/ordinary", "1", kit.manifest, kit.blobs)
    modules = loaded(MOUNT, f"{server.host}/team/ordinary:1", str(shell.new_place()), str(shell.cache))
    assert "mkfs.fuse.session" in modules
    assert {late for late in LATE if late in modules} == set()


def test_before_the_fork_nothing_is_loaded_that_one_of_the_two_does_without() -> None:
    modules = loaded("import mkfs.cli.main, mkfs.service.launch, mkfs.service.process")
    assert {*LATE, "click", "httpx2", "trio", "pyfuse3"} & modules == set()
    assert {*WORK, "mkfs.cli.mount"} & modules == set()


def test_the_command_of_a_mount_loads_what_reads_its_words() -> None:
    modules = loaded("import mkfs.cli.app, mkfs.cli.mount")
    assert {*LATE, "httpx2", "trio", "pyfuse3", "ssl", "yaml"} & modules == set()
    assert WORK & modules == set()
