"""Credentials: found, missing, rotated, kept by a helper, and what is said about them."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from mkfs.registry.credentials import Credentials
from mkfs.registry.docker_config import Credential


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Credentials]:
    """Credentials whose config leaves everything to `docker-credential-ring`, a shell program with the given body."""

    def install(body: str) -> Credentials:
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / "docker-credential-ring"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"credsStore": "ring", "auths": {"registry.test": {}}}))
        return Credentials.load(config)

    return install


def test_a_missing_file_is_no_mistake_but_is_named(tmp_path: Path) -> None:
    credentials = Credentials.load(tmp_path / "config.json")
    assert credentials.describe("registry.test", "team/model") == f"{tmp_path}/config.json does not exist"


def test_what_was_found_for_a_host_is_told_without_saying_what_it_is(docker_config: Callable[..., Path]) -> None:
    path = docker_config("registry.test", "somebody:pl4nted")
    credentials = Credentials.load(path)
    assert credentials.describe("registry.test", "team/model") == f"{path} has an entry for registry.test"
    assert credentials.describe("ghcr.io", "team/model") == f"no entry for ghcr.io in {path}"
    assert Credentials.anonymous().describe("ghcr.io", "team/model") == "no credentials file given"
    assert "pl4nted" not in repr(credentials)


@pytest.mark.logs("is not JSON that makes sense: going on without its credentials")
def test_a_broken_file_is_warned_of_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"auths": pl4nted}')
    credentials = Credentials.load(path)
    assert credentials.describe("ghcr.io", "team/model") == f"{path} is not JSON that makes sense"


@pytest.mark.logs("is a directory")
async def test_an_unreadable_file_is_warned_of_and_left_alone(tmp_path: Path) -> None:
    credentials = Credentials.load(tmp_path)
    assert await credentials.lookup("registry.test", "team/model") is None
    assert "is a directory" in credentials.describe("registry.test", "team/model")


def written(path: Path, **entries: str) -> Path:
    """A file with a password for each key; `_` in a name stands for `.`, `__` for `/`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    auths = {
        key.replace("__", "/").replace("_", "."): {"auth": base64.b64encode(f"me:{password}".encode()).decode()}
        for key, password in entries.items()
    }
    path.write_text(json.dumps({"auths": auths}))
    return path


async def passwords(credentials: Credentials, *names: str) -> list[str]:
    found = [await credentials.lookup("registry.test", name) for name in names]
    return [each.password if each else "" for each in found]


async def test_the_first_file_that_has_something_decides(tmp_path: Path) -> None:
    first = written(tmp_path / "auth.json", other_test="no", registry_test__team="for the team")
    second = written(tmp_path / "config.json", registry_test="for all")
    credentials = Credentials.load(tmp_path / "missing.json", first, second)
    assert await passwords(credentials, "team/model", "team", "teams", "other/model") == ["for the team"] * 2 + ["for all"] * 2
    assert (
        credentials.describe("registry.test", "team/x")
        == f"{first} has an entry for registry.test; {second} has an entry for registry.test"
    )
    assert credentials.describe("registry.test", "other") == f"{second} has an entry for registry.test"
    missing = f"no entry for ghcr.io in {first}, {second}; {tmp_path}/missing.json does not exist"
    assert credentials.describe("ghcr.io", "other") == missing


async def test_every_file_is_read_again_when_something_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / "auth.json", tmp_path / "config.json"]
    credentials = Credentials.load(*paths)
    written(paths[1], registry_test="second")
    found = await credentials.lookup_again("registry.test", "team/model", None)
    assert found == Credential("me", "second")
    written(paths[0], registry_test="first")
    assert await credentials.lookup_again("registry.test", "team/model", found) == Credential("me", "first")


@pytest.mark.logs("docker-credential-ring failed with 'the ring is locked': going on without it")
async def test_a_helper_that_fails_leaves_it_to_the_next_file(helper: Callable[[str], Credentials], tmp_path: Path) -> None:
    helper("echo 'the ring is locked'; exit 1")
    credentials = Credentials.load(tmp_path / "config.json", written(tmp_path / "auth.json", registry_test="kept"))
    assert await passwords(credentials, "team/model") == ["kept"]
    assert "which failed with 'the ring is locked'; " in credentials.describe("registry.test", "team/model")


async def test_a_rotated_password_is_found_when_the_old_one_is_refused(docker_config: Callable[..., Path]) -> None:
    credentials = Credentials.load(docker_config("registry.test", "me:old"))
    old = await credentials.lookup("registry.test", "team/model")
    assert await credentials.lookup_again("registry.test", "team/model", old) == old
    docker_config("registry.test", "me:new")
    assert await credentials.lookup("registry.test", "team/model") == old
    assert await credentials.lookup_again("registry.test", "team/model", old) == Credential("me", "new")
    assert await credentials.lookup("registry.test", "team/model") == Credential("me", "new")


async def test_whoever_comes_second_with_the_old_password_gets_the_new_one_too(docker_config: Callable[..., Path]) -> None:
    credentials = Credentials.load(docker_config("registry.test", "me:old"))
    old = await credentials.lookup("registry.test", "team/model")
    docker_config("registry.test", "me:new")
    await credentials.lookup_again("registry.test", "team/model", old)
    docker_config("registry.test", "me:newer")  # not read again for everybody who comes
    assert await credentials.lookup_again("registry.test", "team/model", old) == Credential("me", "new")


async def test_a_file_that_is_just_being_written_changes_nothing(docker_config: Callable[..., Path]) -> None:
    path = docker_config("registry.test", "me:old")
    credentials = Credentials.load(path)
    path.write_text('{"auths"')
    assert await credentials.lookup_again(
        "registry.test", "team/model", await credentials.lookup("registry.test", "team/model")
    ) == Credential("me", "old")


async def test_a_login_after_the_mount_counts(docker_config: Callable[..., Path], tmp_path: Path) -> None:
    credentials = Credentials.load(tmp_path / "config.json")
    docker_config("registry.test", "me:new")
    assert await credentials.lookup_again("registry.test", "team/model", None) == Credential("me", "new")


async def test_a_helper_is_asked_once_for_all(helper: Callable[[str], Credentials], tmp_path: Path) -> None:
    credentials = helper(f'read -r server; echo "$1 $server" >> {tmp_path}/asked; echo \'{{"Username":"me","Secret":"pl4nted"}}\'')
    found = []

    async def ask() -> None:
        found.append(await credentials.lookup("registry.test", "team/model"))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert found == [Credential("me", "pl4nted")] * 5
    assert (tmp_path / "asked").read_text() == "get registry.test\n"
    assert "the helper 'ring'" in credentials.describe("registry.test", "team/model")


async def test_a_helper_may_keep_a_token_and_may_change_its_mind(helper: Callable[[str], Credentials]) -> None:
    credentials = helper("""echo '{"Username":"<token>","Secret":"first"}'""")
    first = await credentials.lookup("registry.test", "team/model")
    assert first == Credential(identity_token="first")
    helper("""echo '{"Username":"<token>","Secret":"second"}'""")
    assert await credentials.lookup_again("registry.test", "team/model", first) == Credential(identity_token="second")


async def test_a_helper_that_keeps_nothing_is_no_mistake(helper: Callable[[str], Credentials]) -> None:
    credentials = helper("echo 'credentials not found in native keychain'; exit 1")
    assert await credentials.lookup("registry.test", "team/model") is None


@pytest.mark.logs("docker-credential-ring .*going on without it")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("echo 'the ring is locked'; exit 1", "failed with 'the ring is locked'"),
        ("echo '{}'", "answered something that is no credential"),
        ("echo 'hello pl4nted'", "answered something that is no credential"),
        ("""echo '{"Username":"me","Secret":""}'""", "answered something that is no credential"),
    ],
)
async def test_a_helper_that_fails_is_named_when_it_matters(helper: Callable[[str], Credentials], body: str, said: str) -> None:
    credentials = helper(body)
    assert await credentials.lookup("registry.test", "team/model") is None
    assert credentials.describe("registry.test", "team/model").endswith(f"to the helper 'ring', which {said}")


@pytest.mark.logs("did not answer within 10 s: going on without it")
async def test_a_helper_that_waits_for_somebody_is_not_waited_for(
    helper: Callable[[str], Credentials], autojump_clock: trio.testing.MockClock
) -> None:
    assert await helper("exec sleep 1000").lookup("registry.test", "team/model") is None


@pytest.mark.logs("cannot be run", "is not the name of a program")
async def test_a_helper_that_is_not_there_locks_nobody_out(tmp_path: Path) -> None:
    for name in ("no-such-ring-anywhere", "../../bin/sh"):
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"credsStore": name}))
        assert await Credentials.load(config).lookup("registry.test", "team/model") is None
