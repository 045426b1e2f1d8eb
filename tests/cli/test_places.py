"""Where control sockets and settings are, by user and environment."""

import os
from pathlib import Path

import pytest

from mkfs.cli import places
from mkfs.cli.config import find_config
from mkfs.errors import UsageError


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> int:
    """Somebody who is not root, and is nobody here."""
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    return 4321


def test_root_has_the_systems_directory_whatever_session_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places.runtime_directory({"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/mkfs")


def test_a_user_has_one_of_his_session(user: int) -> None:
    assert places.runtime_directory({"XDG_RUNTIME_DIR": "/run/user/4321"}) == Path("/run/user/4321/mkfs")


def test_or_without_a_session_one_that_others_cannot_take(user: int) -> None:
    assert places.runtime_directory({}) == places.runtime_directories_of(user)[0] == Path("/tmp/mkfs-4321")


def test_the_environment_says_otherwise(user: int) -> None:
    assert places.runtime_directory({"MKFS_RUNTIME_DIR": "/x/y", "XDG_RUNTIME_DIR": "/z"}) == Path("/x/y")


def test_where_another_users_may_be_needs_no_environment_of_his() -> None:
    assert places.runtime_directories_of(0) == (Path("/run/mkfs"),)
    assert places.runtime_directories_of(4321) == (Path("/tmp/mkfs-4321"),)


def test_a_directory_that_may_not_be_looked_into_is_said_and_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    for look in (lambda: find_config(None, (Path("/closed/config.toml"),)), lambda: places.registries_conf({})):
        with pytest.raises(UsageError, match=r"cannot look for (config\.toml|registries\.conf): Permission denied") as caught:
            look()
        assert caught.value.hint
    assert find_config(Path("/closed/mine.toml"), ()) == Path("/closed/mine.toml")
