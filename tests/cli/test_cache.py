"""`mkfs cache`: what a person and a script see of a cache, and the exit code when something was wrong."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mkfs.cache.store import Cache
from mkfs.cli.app import app
from mkfs.cli.settings.kinds import MinFree, parse_min_free
from mkfs.errors import UsageError
from mkfs.units import GIB, MIB
from tests.cache.material import MIXED, drop_pages, flip, raw


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache with two layers, the second of which was read later."""
    root = tmp_path / "cache"
    cache = Cache.open(root, min_free_ratio=0)
    for age, layer in ((7200, MIXED), (60, raw(MIB))):
        layer.publish(cache).close()
        place = layer.directory(root)
        os.utime(place, (place.stat().st_mtime - age,) * 2)
    cache.close()
    return root


def run(root: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["cache", *words, "--cache-dir", str(root)])


def document(root: Path, *words: str) -> dict:
    return json.loads(run(root, *words, "--format", "json").stdout)


def test_info_shows_layers_by_when_they_were_read_and_what_is_in_use(root: Path) -> None:
    cache = Cache.open(root)
    held = cache.layer(MIXED.digest)
    done = run(root, "info", "--cache-size", "1GiB", "--min-free", "0%")
    assert done.exit_code == 0
    recent, old = [line.split() for line in done.stdout.splitlines() if "sha256:" in line]
    assert (recent[-1], old[-1]) == (str(raw(MIB).digest), str(MIXED.digest))
    assert "in use" not in " ".join(recent)
    assert "whole 2 h 0 min ago in use" in " ".join(old)
    assert "MiB of 1.0 GiB, 24 inodes" in done.stdout
    assert held is not None


def test_info_in_json_has_the_same_numbers_and_they_add_up(root: Path) -> None:
    info = document(root, "info", "--cache-size", "1GiB", "--min-free", "5GiB")
    assert info["schema_version"] == 1
    assert [row["digest"] for row in info["layers"]] == [str(raw(MIB).digest), str(MIXED.digest)]
    parts = [*info["layers"], *(info[name] for name in ("documents", "indexes", "staging", "other"))]
    assert sum(part["size_bytes"] for part in parts) == info["total"]["size_bytes"]
    assert sum(part["inodes"] for part in parts) == info["total"]["inodes"]
    tenth = int(info["disk"]["total_inodes"] * 0.1)  # who names bytes says nothing of inodes
    assert info["limits"] == {"cache_size_bytes": GIB, "min_free_bytes": 5 * GIB, "min_free_inodes": tenth}
    assert all(row["used_at"].endswith("+00:00") for row in info["layers"])


@pytest.mark.parametrize("verb", ["info", "verify", "prune", "clear"])
def test_a_missing_cache_is_an_error_of_three_lines_and_is_not_made(tmp_path: Path, verb: str) -> None:
    done = run(tmp_path / "none", verb)
    assert done.exit_code == 23
    assert done.stderr.splitlines()[:2] == ["Error: there is no cache", f"  {tmp_path / 'none'}"]
    assert len(done.stderr.splitlines()) == 3
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("verb", ["info", "verify", "prune", "clear"])
def test_something_else_in_its_place_is_left_alone(tmp_path: Path, verb: str) -> None:
    (tmp_path / "thesis.tex").touch()
    done = run(tmp_path, verb)
    assert done.exit_code == 23
    assert "holds no cache" in done.stderr
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_verify_of_a_sound_cache_says_what_it_hashed(root: Path) -> None:
    done = run(root, "verify")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "hashed 4.6 MiB: 2 indexes, 2 layers\n"
    assert document(root, "verify")["damage"] == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_verify_names_damage_removes_it_and_exits_with_13(root: Path, form: str) -> None:
    flip(MIXED.directory(root) / "1", 1000)
    drop_pages(MIXED.directory(root))
    done = run(root, "verify", "--format", form)
    assert done.exit_code == 13
    assert done.stderr.startswith("Error: 1 things in the cache were damaged and are taken out\n")
    assert len(done.stderr.splitlines()) == 3
    if form == "json":
        (damage,) = json.loads(done.stdout)["damage"]
        assert (damage["kind"], damage["name"]) == ("layers", str(MIXED.digest))
    else:
        assert f"damaged, taken out: layers/{MIXED.digest}: cache is damaged at bytes" in done.stdout
    assert not MIXED.directory(root).exists()
    assert run(root, "verify").exit_code == 0


def test_prune_keeps_the_limit_it_is_given_and_says_what_went(root: Path) -> None:
    done = run(root, "prune", "--cache-size", "2MiB", "--min-free", "0B")
    assert done.exit_code == 0
    assert f"layers/{MIXED.digest}" in done.stdout
    assert "evicted 1, freed 3.6 MiB" in done.stdout
    assert raw(MIB).directory(root).exists()


def test_prune_removes_what_was_not_read_for_long(root: Path) -> None:
    pruned = document(root, "prune", "--older-than", "1h", "--min-free", "0%")
    assert [item["digest"] for item in pruned["evicted"]] == [str(MIXED.digest)]
    assert pruned["freed_bytes"] > 3 * MIB


def test_clear_removes_all_but_what_is_in_use(root: Path) -> None:
    cache = Cache.open(root)
    held = cache.layer(MIXED.digest)
    done = run(root, "clear")
    assert done.exit_code == 0
    assert f"layers/{MIXED.digest}" in done.stdout.splitlines()[1]
    assert not raw(MIB).directory(root).exists()
    assert held is not None
    held.close()
    assert document(root, "clear")["kept"] == []
    assert document(root, "info")["layers"] == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["info", "--cache-size", "lots"], "--cache-size"),
        (["info", "--min-free", "150%"], "--min-free"),
        (["info", "--min-free", "a tenth"], "--min-free"),
        (["prune", "--older-than", "a while"], "--older-than"),
        (["shrink"], "shrink"),
    ],
)
def test_wrong_words_are_usage_and_the_option_is_named(root: Path, words: list[str], named: str) -> None:
    done = run(root, *words)
    assert done.exit_code == 2
    assert named in done.stderr


def test_the_environment_may_say_which_cache_and_how_large(root: Path) -> None:
    environment = {"MKFS_CACHE_DIR": str(root), "MKFS_CACHE_SIZE": "2MiB", "MKFS_MIN_FREE": "0%"}
    done = CliRunner().invoke(app, ["cache", "prune"], env=environment)
    assert (done.exit_code, "evicted 1" in done.stdout) == (0, True)


def test_what_stays_free_is_a_share_or_a_size() -> None:
    assert parse_min_free("10%") == MinFree(0.1, 0)
    assert parse_min_free(" 0 %") == MinFree(0.0, 0)
    assert parse_min_free("50GiB") == MinFree(0.0, 50 * GIB)
    for text in ("100%", "10 percent", "%", "-1%", "1.5%"):
        with pytest.raises(UsageError):
            parse_min_free(text)
