"""`python -m mkfs.testing.sample`: a layout directory that can be served and mounted, the same each time."""

from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing.contents import Contents
from mkfs.testing.sample import main
from mkfs.units import MIB


def test_it_is_a_layout_of_one_artifact_with_layers_that_are_fetched_when_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path), "--tag", "1"])
    contents = Contents()
    contents.add_layout(tmp_path)
    assert list(contents.tags) == ["1"]
    assert all(Digest.of(path.read_bytes()).hex == path.name for path in (tmp_path / "blobs" / "sha256").iterdir())
    files = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    large = {name for name, path in files.items() if Path(path).stat().st_size > MIB}
    assert large == {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}


def test_running_it_again_mends_what_was_done_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path)])
    damaged = Path(capsys.readouterr().out.splitlines()[0].split("\t")[1])
    whole = damaged.read_bytes()
    damaged.write_bytes(b"X" + whole[1:])
    main([str(tmp_path)])
    assert damaged.read_bytes() == whole


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "file")])
    assert ended.value.code == 2
    assert "file cannot be written" in capsys.readouterr().err
