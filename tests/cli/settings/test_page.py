"""docs/CONFIGURATION.md: what the code makes, with nothing left out, and a config file in it that can be used."""

import re
import subprocess
import sys
from pathlib import Path

from mkfs.cli.config import load_config
from mkfs.cli.settings.page import page
from mkfs.cli.settings.table import SETTINGS

DOCUMENT = Path(__file__).parents[3] / "docs" / "CONFIGURATION.md"
_COLUMNS = 132


def test_the_document_is_what_the_table_says() -> None:
    made = subprocess.run([sys.executable, "-m", "mkfs.cli.settings.page"], capture_output=True, text=True, check=True).stdout
    assert DOCUMENT.read_text("utf-8") == made, "run: python -m mkfs.cli.settings.page > docs/CONFIGURATION.md"


def test_every_setting_has_its_paragraph() -> None:
    titles = re.findall(r"^### `(.+)`$", page(), re.MULTILINE)
    assert len(titles) == len(SETTINGS)
    assert [row.name for row in SETTINGS if not any((row.flag or row.key) in title for title in titles)] == []


def test_lines_are_as_long_as_elsewhere() -> None:
    assert [line for line in page().splitlines() if len(line) > _COLUMNS and not line.startswith("|")] == []


def example() -> str:
    return page().partition("```toml\n")[2].partition("```")[0]


def test_the_example_says_what_holds_anyway(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(example())
    config = load_config(path, ())
    said = {row.key: config.said[row.key] for row in SETTINGS if row.key in config.said}
    assert {key: str(value) for key, value in said.items() if key != "mount.read_timeout"} == {
        row.key: str(row.default) for row in SETTINGS if row.key in said and row.key != "mount.read_timeout"
    }
    assert said["mount.read_timeout"] == 300


def test_the_example_may_be_used_line_by_line(tmp_path: Path) -> None:
    text = re.sub(r"^# ", "", example(), flags=re.MULTILINE)
    for name in re.findall(r'"/etc/mkfs/(\w+\.pub)"', text):
        (tmp_path / name).write_text("-----BEGIN PUBLIC KEY-----\n")
    path = tmp_path / "config.toml"
    path.write_text(text.replace("/etc/mkfs/", f"{tmp_path}/"))
    config = load_config(path, ())
    assert config.said.keys() == {row.key for row in SETTINGS if row.key}
    assert dict(config.alias) == {"": "ghcr.io", "registry": "localhost:5000"}
    assert [rule.scope for rule in config.trust.rules] == ["", "ghcr.io/acme"]
