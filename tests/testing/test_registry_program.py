"""`python -m mkfs.testing`: a layout directory served by hand."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.testing.__main__ import main
from tests.support.little_model import MANIFEST, MEDIA_TYPE

SOURCE = Path(__file__).resolve().parents[2] / "src"


def test_a_layout_directory_is_served_until_it_is_terminated(tmp_path: Path) -> None:
    digest = Digest.of(MANIFEST)
    blob = tmp_path / "blobs" / "sha256" / digest.hex
    blob.parent.mkdir(parents=True)
    blob.write_bytes(MANIFEST)
    annotations = {"org.opencontainers.image.ref.name": "7b"}
    entry = {"mediaType": MEDIA_TYPE, "digest": str(digest), "size": len(MANIFEST), "annotations": annotations}
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [entry]}))
    command = [sys.executable, "-m", "mkfs.testing", f"team/model={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(SOURCE)}) as program:
        try:
            url = program.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/v2/team/model/manifests/7b", timeout=30) as answer:
                assert answer.read() == MANIFEST
        finally:
            program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0


@pytest.mark.parametrize("words", [["model=/nowhere"], ["model"], []])
def test_what_is_no_layout_is_said_in_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "python -m mkfs.testing: error: " in capsys.readouterr().err
