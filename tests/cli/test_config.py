"""The config file: read once, and a wrong word in it is said, not skipped."""

from pathlib import Path

import pytest

from mkfs.cli import places
from mkfs.cli.config import load_config
from mkfs.errors import UsageError


def test_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[alias]\nregistry = "localhost:5000"\nteam = "ghcr.io/acme"\n')
    config = load_config(None, (tmp_path / "missing.toml", path))
    assert (dict(config.alias), config.path) == ({"registry": "localhost:5000", "team": "ghcr.io/acme"}, path)


def test_no_file_is_no_aliases(tmp_path: Path) -> None:
    config = load_config(None, (tmp_path / "missing.toml",))
    assert (dict(config.alias), config.path) == ({}, None)


def test_a_file_named_by_hand_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load_config(tmp_path / "missing.toml", ())
    assert str(tmp_path) in caught.value.where


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[allias]\nregistry = "localhost"\n', "allias"),
        ("cache_dir = '/x'\n", "cache_dir"),
        ("[alias]\nregistry = 5000\n", "[alias]"),
        ("[alias]\nregistry = ''\n", "[alias]"),
        ("alias = 'x'\n", "[alias]"),
        ("[alias\n", "TOML"),
        ("x = '\x00'\n", "TOML"),
    ],
)
def test_a_wrong_word_is_named_with_its_file(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path, ())
    assert word in caught.value.what
    assert caught.value.where == str(path)


def test_bytes_that_are_no_text_are_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="TOML"):
        load_config(path, ())


def test_the_environment_says_where_things_are(tmp_path: Path) -> None:
    environment = {"MKFS_CONFIG": "/etc/other.toml", "MKFS_CACHE_DIR": "/srv/cache", "DOCKER_CONFIG": "/srv/docker"}
    assert places.config_files(environment) == (Path("/etc/other.toml"),)
    assert places.cache_directory(environment) == Path("/srv/cache")
    assert places.docker_config(environment) == Path("/srv/docker/config.json")
    assert places.config_files({})[-1] == Path("/etc/mkfs/config.toml")
    assert places.docker_config({}).parts[-2:] == (".docker", "config.json")
