"""The config file: read once, and a wrong word in it is said, not skipped."""

import os
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


def test_a_default_registry_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('default_registry = "ghcr.io"\n[alias]\n"" = "other.test"\nteam = "ghcr.io/acme"\n')
    assert dict(load_config(path, ()).alias) == {"": "ghcr.io", "team": "ghcr.io/acme"}
    path.write_text('[alias]\n"" = "other.test"\n')
    assert dict(load_config(path, ()).alias) == {}


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
        ("default_registry = 5000\n", "default_registry"),
        ("default_registry = ''\n", "default_registry"),
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


def test_a_section_says_what_options_say_and_paths_are_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "config.toml"
    path.write_text(
        """
        [cache]
        dir = "proven"
        size = 1048576
        [mount]
        fill = true
        read_timeout = 60
        [registry]
        ca_file = "~/ca.pem"
        hosts_dirs = ["hosts", "/etc/hosts.d"]
        """
    )
    config = load_config(path, ())
    assert config.defaults == {
        "cache_dir": str(tmp_path / "proven"),
        "cache_size": "1048576",
        "fill": True,
        "read_timeout": 60,
        "ca_file": "/home/me/ca.pem",
        "hosts_dirs": [str(tmp_path / "hosts"), "/etc/hosts.d"],
    }
    assert config.said["cache.dir"] == "proven"


@pytest.mark.parametrize(
    ("text", "key", "near"),
    [
        ("[cache]\nsise = 1\n", "cache.sise", "cache.size"),
        ("[cache]\nmin-free = '10%'\n", "cache.min-free", "cache.min_free"),
        ("[cahce]\nsize = 1\n", "cahce.size", "cache.size"),
        ("cache_dir = '/x'\n", "cache_dir", "cache.dir"),
        ("[trust]\nkyes = []\n", "trust.kyes", "trust.keys"),
        ("defaultregistry = 'x'\n", "defaultregistry", "default_registry"),
        ("[mount.fill]\nx = 1\n", "mount.fill", None),
        ("[xyzzy]\n", "xyzzy", None),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(tmp_path: Path, text: str, key: str, near: str | None) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path, ())
    assert (key in caught.value.what, caught.value.where) == (True, str(path))
    assert near is None or caught.value.hint == f"did you mean {near}?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cache]\nsize = '10 GB'\n", "cache.size is off: not a size"),
        ("[cache]\nsize = -1\n", "cache.size is off: not a size"),
        ("[cache]\nsize = true\n", "cache.size is 'True' (expected a size"),
        ("[cache]\nsize = 1.5\n", "cache.size is '1.5' (expected a size"),
        ("[cache]\nscrub = 0\n", "cache.scrub is off: a rate of no bytes"),
        ("[cache]\ndir = 1\n", "cache.dir is '1' (expected the path of a directory)"),
        ("cache = 1\n", "[cache] must be a table"),
        ("[mount]\nfill = 1\n", "mount.fill is '1' (expected true or false)"),
        ("[mount]\nuid = -1\n", "mount.uid is off: -1 is not in the range"),
        ("[mount]\nuid = true\n", "mount.uid is 'True' (expected a whole number"),
        ("[mount]\nuid = '1'\n", "mount.uid is '1' (expected a whole number"),
        ("[mount]\numask = 22\n", "mount.umask is '22' (expected an octal mask as text"),
        ("[mount]\numask = '9'\n", "mount.umask is off: '9' is not an octal mask"),
        ("[mount]\ntag_ttl = 15\n", "mount.tag_ttl is '15' (expected a duration"),
        ("[mount]\nread_timeout = 0\n", "mount.read_timeout is off: 0.0 is not in the range"),
        ("[mount]\nread_timeout = 'x'\n", "mount.read_timeout is 'x' (expected a number of seconds"),
        ("[mount]\nprefetch = 'all'\n", "mount.prefetch is off: 'all' is not one of"),
        ("[mount]\nverify = []\n", "mount.verify is '[]' (expected"),
        ("[warmup]\nconcurrency = 65\n", "warmup.concurrency is off: 65 is not in the range"),
        ("[registry]\nhosts_dirs = '/etc'\n", "registry.hosts_dirs is '/etc' (expected a list"),
        ("[registry]\nhosts_dirs = [1]\n", "registry.hosts_dirs is '1' (expected the path"),
        ("[registry]\nca_file = '~nobody-of-that-name/x'\n", "registry.ca_file is"),
        ("trust = 1\n", "[trust] must be a table"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path, ())
    assert caught.value.what.startswith(said), caught.value.what
    assert caught.value.where == str(path)


def test_bytes_that_are_no_text_are_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="TOML"):
        load_config(path, ())


def test_the_environment_says_where_things_are(tmp_path: Path) -> None:
    environment = {"MKFS_CONFIG": "/etc/other.toml", "MKFS_CACHE_DIR": "/srv/cache"}
    assert places.config_files(environment) == (Path("/etc/other.toml"),)
    assert places.cache_directory(environment) == Path("/srv/cache")
    assert places.config_files({})[-1] == Path("/etc/mkfs/config.toml")


def test_logins_are_looked_for_where_the_programs_of_the_field_keep_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    home, runtime = Path("/home/me"), Path(f"/run/containers/{os.getuid()}")
    assert places.credential_files({}) == (
        home / ".docker/config.json",
        runtime / "containers/auth.json",
        home / ".config/containers/auth.json",
        home / ".local/share/kitops/credentials.json",
    )
    environment = {
        "REGISTRY_AUTH_FILE": "/srv/auth.json",
        "DOCKER_CONFIG": "/srv/docker",
        "XDG_RUNTIME_DIR": "/run/user/7",
        "XDG_CONFIG_HOME": "/srv/config",
        "XDG_DATA_HOME": "/srv/data",
    }
    assert [str(path) for path in places.credential_files(environment)] == [
        "/srv/auth.json",
        "/srv/docker/config.json",
        "/run/user/7/containers/auth.json",
        "/srv/config/containers/auth.json",
        "/srv/data/kitops/credentials.json",
    ]
    assert places.credential_files({"KITOPS_HOME": "/srv/kit"})[-1] == Path("/srv/kit/credentials.json")


def test_mirrors_are_looked_for_where_podman_keeps_them(tmp_path: Path) -> None:
    own = tmp_path / "containers"
    (own / "registries.conf.d").mkdir(parents=True)
    for name in ("registries.conf", "registries.conf.d/2.conf", "registries.conf.d/1.conf", "registries.conf.d/readme"):
        (own / name).touch()
    found = places.registries_conf({"XDG_CONFIG_HOME": str(tmp_path)})
    assert [path for path in found if tmp_path in path.parents] == [
        own / "registries.conf",
        own / "registries.conf.d/1.conf",
        own / "registries.conf.d/2.conf",
    ]
    assert places.registries_conf({"CONTAINERS_REGISTRIES_CONF": "/srv/r.conf"}) == (Path("/srv/r.conf"),)
