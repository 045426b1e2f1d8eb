"""`mkfs config`: what holds is what a verb would get, and each value says where it is from."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mkfs.cli.app import app
from mkfs.cli.settings.options import unknown_variables

MOUNT_LIKE = """
default_registry = "ghcr.io"
[alias]
team = "localhost:5000"
[cache]
dir = "proven"
size = "200GiB"
[mount]
umask = "027"
fill = true
tag_ttl = "5min"
[registry]
hosts_dirs = ["."]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(MOUNT_LIKE)
    return path


def run(config: Path, *words: str, **environment: str) -> Result:
    empty = {"MKFS_CACHE_DIR": "", "MKFS_CONFIG": ""}
    return CliRunner().invoke(app, ["config", *words, "--config", str(config)], env={**empty, **environment})


def shown(config: Path, *words: str, **environment: str) -> dict[str, tuple[Any, list[tuple[str, str]]]]:
    """What `show` says in JSON: value and origins by name."""
    done = run(config, "show", "--format", "json", *words, **environment)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["settings"]
    return {row["name"]: (row["value"], [(origin["kind"], origin["name"]) for origin in row["origins"]]) for row in rows}


def test_a_flag_counts_before_a_variable_before_the_file_before_the_default(config: Path) -> None:
    default, file = [("default", "")], [("config file", f"{config}:mount.tag_ttl")]
    other = config.with_name("empty.toml")
    other.touch()
    assert shown(other)["mount.tag_ttl"] == (15 * 60, default)
    assert shown(config)["mount.tag_ttl"] == (5 * 60, file)
    assert shown(config, MKFS_TAG_TTL="7s")["mount.tag_ttl"] == (7, [("environment", "MKFS_TAG_TTL")])
    flags = shown(config, "--tag-ttl", "9s", MKFS_TAG_TTL="7s")
    assert flags["mount.tag_ttl"] == (9, [("flag", "--tag-ttl")])


def test_a_boolean_of_the_file_is_turned_off_by_whoever_comes_first(config: Path) -> None:
    assert shown(config)["mount.fill"][0] is True
    assert shown(config, MKFS_FILL="off")["mount.fill"] == (False, [("environment", "MKFS_FILL")])
    assert shown(config, "--no-fill", MKFS_FILL="1")["mount.fill"] == (False, [("flag", "--fill")])


def test_values_are_as_a_program_wants_them(config: Path) -> None:
    held = shown(config, "--plain-http", "--min-free", "5%")
    values = {name: value for name, (value, _) in held.items()}
    assert values["cache.dir"] == str(config.parent / "proven")
    assert values["cache.size"] == 200 * 2**30
    assert values["cache.min_free"] == "5%"
    assert values["mount.umask"] == "027"
    assert values["mount.timeout"] is None
    assert values["registry.plain_http"] is True
    assert values["registry.hosts_dirs"] == [str(config.parent)]
    assert values["registry.reference_hosts"] == []
    assert values["alias"] == {"team": "localhost:5000"}
    assert values["default_registry"] == "ghcr.io"
    assert held["default_registry"][1] == [("config file", f"{config}:default_registry")]


def test_text_is_one_line_a_setting_as_one_would_write_it(config: Path) -> None:
    done = run(config, "show")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert (done.exit_code, done.stderr) == (0, "")
    assert rows["cache.size"].split() == ["200GiB", "config", "file", f"{config}:cache.size"]
    assert rows["mount.timeout"].split("  ")[0] == "(however long it takes)"
    assert rows["alias"].startswith("team=localhost:5000 ")
    assert rows["mount.fill"].split()[0] == "true"


KEY = "-----BEGIN PUBLIC KEY-----\n"


def test_what_is_trusted_adds_up_and_says_so(config: Path) -> None:
    (config.parent / "team.pub").write_text(KEY)
    config.write_text('[trust]\nkeys = ["team.pub"]\nverify-signature = true\nindex = "required"\n')
    where, team, own = f"{config}:trust", str(config.parent / "team.pub"), str(config.parent / "own.pub")
    held = shown(config)
    assert held["trust.keys"] == ([team], [("config file", f"{where}.keys")])
    assert held["trust.index"] == ("required", [("config file", f"{where}.index")])
    assert held["trust.verify-signature"] == (True, [("config file", f"{where}.verify-signature")])
    both = shown(config, MKFS_TRUST_KEY=own, MKFS_VERIFY_SIGNATURE="0")
    assert both["trust.keys"] == ([own, team], [("environment", "MKFS_TRUST_KEY"), ("config file", f"{where}.keys")])
    assert both["trust.verify-signature"] == (True, [("config file", f"{where}.verify-signature")]), "a demand stays"
    assert shown(config, "--trust-index", "registry")["trust.trust-index"] == ("registry", [("flag", "--trust-index")])


def test_a_file_that_is_off_is_said_by_every_verb_that_reads_it(config: Path) -> None:
    config.write_text("[cache]\nsise = 1\n")
    for words in (["config", "show"], ["cache", "info"], ["ls", "a/b:c"], ["mount", "a/b:c", "/mnt"], ["tags", "a/b"]):
        done = CliRunner().invoke(app, words, env={"MKFS_CONFIG": str(config)})
        assert (done.exit_code, done.stdout) == (2, ""), words
        assert done.stderr.splitlines() == ["Error: unknown key 'cache.sise'", f"  {config}", "  did you mean cache.size?"], words


@pytest.mark.parametrize(
    ("text", "environment", "named"),
    [
        ("[registry]\nca_file = 'missing.pem'\n", {}, "registry.ca_file in {config}"),
        ("", {"MKFS_CACHE_SIZE": "many"}, "MKFS_CACHE_SIZE"),
        ("", {"MKFS_UID": "me"}, "MKFS_UID"),
    ],
)
def test_a_wrong_value_is_blamed_where_it_was_written(config: Path, text: str, environment: dict[str, str], named: str) -> None:
    config.write_text(text)
    done = run(config, "show", **environment)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: Invalid value for {named.format(config=config)}: "), done.stderr


def test_a_wrong_flag_is_blamed_by_its_name(config: Path) -> None:
    done = run(config, "show", "--umask", "9", MKFS_UMASK="022")
    assert done.stderr.startswith("Error: Invalid value for '--umask': '9' is not an octal mask such as 022")


def test_the_cache_of_the_file_is_the_one_that_is_looked_at(config: Path) -> None:
    done = CliRunner().invoke(app, ["cache", "info"], env={"MKFS_CONFIG": str(config), "MKFS_CACHE_DIR": ""})
    assert (done.exit_code, str(config.parent / "proven") in done.stderr) == (23, True), done.output


def test_a_variable_that_is_none_of_ours_gets_a_line_and_no_error(config: Path) -> None:
    done = run(config, "show", MKFS_CACHE_DRI="/x", MKFS_OPTIONS="-q")
    assert done.exit_code == 0
    assert sorted(done.stderr.splitlines()) == [
        "warning: MKFS_CACHE_DRI is no setting of ours (did you mean MKFS_CACHE_DIR?)",
        "warning: MKFS_OPTIONS is no setting of ours",
    ]


def test_no_line_is_lost_on_variables_that_are_known() -> None:
    assert unknown_variables({"MKFS_VENV": "x", "MKFS_CONFIG": "", "MKFS_CACHE_DIR": "", "HOME": "/", "_MKFS_COMPLETE": ""}) == []
    assert unknown_variables({"MKFS_\x1b[31m": "x"}) == ["warning: MKFS_\\x1b[31m is no setting of ours"]


def test_path_names_the_file_and_the_reason(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(config, "path")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{config}\n", "named by --config\n")
    done = CliRunner().invoke(app, ["config", "path"], env={"MKFS_CONFIG": str(config)})
    assert (done.stdout, done.stderr) == (f"{config}\n", "named by MKFS_CONFIG\n")
    missing = tmp_path / "missing.toml"
    assert run(missing, "path").stderr == "named by --config, and not there\n"
    searched = (missing, config)
    monkeypatch.setattr("mkfs.cli.places.config_files", lambda _environment: searched)
    done = CliRunner().invoke(app, ["config", "path"], env={"MKFS_CONFIG": ""})
    assert (done.stdout, done.stderr) == (f"{config}\n", f"the first of {missing} and {config} that is there\n")
    config.unlink()
    done = CliRunner().invoke(app, ["config", "path"], env={"MKFS_CONFIG": ""})
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"none of {missing} and {config} is there\n")
    document = json.loads(CliRunner().invoke(app, ["config", "path", "--format", "json"], env={"MKFS_CONFIG": ""}).stdout)
    assert (document["path"], document["searched"]) == (None, [str(missing), str(config)])


def test_path_looks_at_no_file(config: Path) -> None:
    config.write_text("no = [toml")
    assert run(config, "path").exit_code == 0
