"""Images with a model in them, mounted: links are links, and nobody gets out through one."""

import os
import subprocess
from pathlib import Path

import pytest

from mkfs.testing.producers.images import image
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.support.mounting import Shell

WEIGHTS = os.urandom(300_000)
MADE = image(
    [
        {"etc/passwd": b"root", "models": None, "models/old": b"x", "models/blobs/1": WEIGHTS},
        {"models/.wh.old": b"", "models/model.bin": "->blobs/1", "models/abs": "->/models/blobs", "models/hard": "=models/blobs/1"},
    ],
    compressed=False,
)


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("team/car", "1", MADE.manifest, MADE.blobs)
    return f"{server.host}/team/car:1"


@pytest.mark.fuse
def test_the_models_of_an_image_are_an_ordinary_directory(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        found = subprocess.run(["find", ".", "-printf", "%y %P %l\\n"], cwd=mount.place, capture_output=True, text=True, check=True)
        assert sorted(found.stdout.splitlines()) == [
            "d  ",
            "d blobs ",
            "f blobs/1 ",
            "f hard ",
            "l abs blobs",
            "l model.bin blobs/1",
        ]
        for name in ("model.bin", "abs/1", "hard", "blobs/1"):
            assert mount.path(name).read_bytes() == WEIGHTS
        assert mount.path("model.bin").resolve() == mount.path("blobs/1").resolve()
        assert mount.path("model.bin").lstat().st_size == len("blobs/1")
        copy = shell.home / "copy"
        subprocess.run(["cp", "-a", mount.place, copy], check=True)
        assert Path(copy, "model.bin").readlink() == Path("blobs/1")


def test_ls_shows_where_links_lead(reference: str, shell: Shell) -> None:
    ran = shell.run("ls", reference, "-l")
    assert ran.exit_code == 0, ran
    lines = {line.split()[-3]: line.split()[-1] for line in ran.stdout.splitlines() if " -> " in line}
    assert lines == {"abs": "blobs", "model.bin": "blobs/1"}
    assert "lrwxrwxrwx" in ran.stdout
