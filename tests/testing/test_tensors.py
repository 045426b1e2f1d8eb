"""Our safetensors files, read by the safetensors library."""

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load

from mkfs.testing.tensors import Tensor, safetensors_file, seeded_tensor


def test_the_library_loads_what_was_written(tmp_path) -> None:
    weight, empty = seeded_tensor(1, 3, 5), Tensor("I8", (0,), b"")
    data = safetensors_file({"weight": weight, "empty": empty, "bias": seeded_tensor(2, 5)}, {"format": "pt"})
    loaded = load(data)
    assert loaded["weight"].shape == (3, 5)
    assert loaded["weight"].tobytes() == weight.data
    assert loaded["empty"].size == 0
    assert np.isfinite(loaded["bias"]).all()
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with safe_open(path, "np") as opened:
        assert opened.metadata() == {"format": "pt"}


def test_the_data_lies_aligned() -> None:
    data = safetensors_file({"a": Tensor("U8", (1,), b"x")})
    assert (8 + int.from_bytes(data[:8], "little")) % 8 == 0


def test_a_tensor_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 8"):
        Tensor("F32", (2,), bytes(7))
