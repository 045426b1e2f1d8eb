"""The recipe of deploy/docker, read: no docker runs here. Its words are Docker's, its files are there, its shell is shell."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.support.documents import ROOT, wrong_in

RECIPE = ROOT / "deploy" / "docker" / "Dockerfile"
INSTRUCTIONS = frozenset(("FROM", "RUN", "WORKDIR", "COPY", "ENV", "VOLUME", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"))
BUILT_BY = frozenset(("gcc", "libc6-dev", "libfuse3-dev", "pkg-config"))


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its words, on one line (docs.docker.com, Dockerfile reference, "Format")."""
    lines = [line for line in RECIPE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name, words) for line in joined.splitlines() if line.strip() for name, _, words in [line.partition(" ")]]


def words_of(name: str) -> list[str]:
    return [words for each, words in instructions() if each == name]


def test_every_instruction_is_one() -> None:
    assert {name for name, _ in instructions()} <= INSTRUCTIONS
    assert instructions()[0][0] == "FROM"


@pytest.mark.parametrize("script", words_of("RUN"))
def test_what_it_runs_is_valid_shell(script: str) -> None:
    judged = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr


def ignored(path: Path) -> bool:
    """Whether .dockerignore, of which the last line that fits counts, keeps `path` from the builder."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (pattern == "*" or path == Path(pattern) or Path(pattern) in path.parents):
            verdict = not line.startswith("!")
    return verdict


def test_what_it_copies_is_there_and_not_ignored() -> None:
    copied = [Path(word) for words in words_of("COPY") if "--from" not in words for word in words.split()[:-1]]
    assert len(copied) >= 8
    for path in copied:
        assert (ROOT / path).exists(), path
        assert not ignored(path), path
    assert ignored(Path(".git/config"))
    assert ignored(Path("tests/conftest.py"))


def test_it_copies_what_the_package_is_built_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    copied = " ".join(words_of("COPY")).split()
    assert {project["readme"], *project["license-files"], "src", "pyproject.toml"} <= set(copied)


def test_it_installs_what_scripts_install_does_and_no_compiler_at_the_end() -> None:
    builder, runner = [words for words in words_of("RUN") if "apt-get install" in words]
    script = (ROOT / "scripts" / "install").read_text()
    needed = re.search(r"^ *apt_install (fuse3 .*)$", script, re.MULTILINE)
    assert needed is not None
    assert set(needed[1].split()) <= set(builder.split()) | set(runner.split())
    assert set(builder.split()) >= BUILT_BY
    assert not BUILT_BY & set(runner.split())
    pinned = [words for words in words_of("RUN") if "requirements/" in words]
    assert pinned
    for words in pinned:
        assert words.count("pip install") == words.count("--require-hashes") == words.count("-r requirements/")


def test_nobody_is_root_unless_asked_for() -> None:
    assert words_of("USER")[-1] == "65532:65532"
    assert json.loads(words_of("ENTRYPOINT")[-1]) == ["kitfs"]
    assert json.loads(words_of("CMD")[-1]) == ["--help"]


def test_the_commands_of_the_composition_exist() -> None:
    services = yaml.safe_load((RECIPE.parent / "compose.yaml").read_text())["services"]
    assert wrong_in(services["kitfs"]["command"]) == ""
    assert (RECIPE.parent / services["kitfs"]["build"]["context"] / services["kitfs"]["build"]["dockerfile"]).exists()
    writer, reader = (services[name]["volumes"][0] for name in ("kitfs", "server"))
    assert (writer["bind"]["propagation"], reader["bind"]["propagation"]) == ("rshared", "rslave")
    assert writer["target"] == reader["target"]
    assert "SYS_ADMIN" in services["kitfs"]["cap_add"]


def test_the_comment_at_the_top_shows_options_that_exist() -> None:
    assert wrong_in(["mount", "REF", "/models/llama", "--foreground"]) == ""
    assert "kitfs:0.1.0 mount REF /models/llama --foreground" in RECIPE.read_text()
