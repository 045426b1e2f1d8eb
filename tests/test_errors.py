"""Errors: each class has its exit code and errno, tells a person in three lines, and can be made again from its `args`."""

import copy
import errno
import pickle

import pytest

from mkfs import errors
from mkfs.errors import FileSystemError, MkfsError, NotFound

# What scripts and units of users rely on: class, exit code, errno.
PROMISES = [
    (errors.MkfsError, 1, errno.EIO),
    (errors.UsageError, 2, errno.EINVAL),
    (errors.BadReference, 2, errno.EINVAL),
    (errors.NotFound, 10, errno.EIO),
    (errors.NotAuthorised, 11, errno.EIO),
    (errors.Unreachable, 12, errno.EIO),
    (errors.IntegrityError, 13, errno.EIO),
    (errors.Mismatch, 13, errno.EIO),
    (errors.BadDigest, 13, errno.EIO),
    (errors.Unsupported, 14, errno.EIO),
    (errors.BadDocument, 14, errno.EIO),
    (errors.BadArchive, 14, errno.EIO),
    (errors.MountpointUnusable, 20, errno.EINVAL),
    (errors.FuseUnavailable, 21, errno.EIO),
    (errors.Busy, 22, errno.EBUSY),
    (errors.CacheUnusable, 23, errno.EIO),
    (errors.NotServing, 24, errno.EIO),
    (errors.Closing, 1, errno.EIO),
]


def descendants(kind: type) -> set[type]:
    return {kind}.union(*(descendants(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize(("kind", "exit_code", "number"), PROMISES)
def test_exit_codes_and_errnos_stay_what_users_wrote_scripts_for(kind: type[MkfsError], exit_code: int, number: int) -> None:
    error = kind("broken")
    assert (error.exit_code, error.errno) == (exit_code, number)


def test_no_error_of_the_tree_is_without_a_promise() -> None:
    ours = {kind for kind in descendants(MkfsError) if kind.__module__ == errors.__name__}
    assert ours == {kind for kind, _, _ in PROMISES} | {FileSystemError}


def test_a_message_has_only_the_lines_that_say_something() -> None:
    assert NotFound("no such tag: 7b", "localhost:5000/llama", "see what there is: mkfs tags").lines() == [
        "no such tag: 7b",
        "localhost:5000/llama",
        "see what there is: mkfs tags",
    ]
    assert NotFound("no such tag: 7b", hint="look again").lines() == ["no such tag: 7b", "look again"]


def test_one_line_of_a_log_names_the_place_but_gives_no_advice() -> None:
    assert str(NotFound("no such tag", "localhost:5000/llama", "look again")) == "no such tag (localhost:5000/llama)"
    assert str(NotFound("no such tag")) == "no such tag"


def test_a_class_may_know_the_advice_itself() -> None:
    class Full(MkfsError):
        default_hint = "make room"

    assert Full("no room").hint == "make room"
    assert Full("no room", hint="buy a disk").hint == "buy a disk"


@pytest.mark.parametrize("remake", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", [NotFound("what", "where", "hint"), FileSystemError(errno.EROFS, "what", "where", "hint")])
def test_every_waiter_can_have_a_copy_of_an_error(error: MkfsError, remake) -> None:
    again = remake(error)
    assert again is not error
    assert type(again) is type(error)
    assert (again.what, again.where, again.hint, again.errno) == (error.what, error.where, error.hint, error.errno)


def test_a_file_system_error_carries_its_own_errno() -> None:
    assert FileSystemError(errno.ENOTDIR, "not a directory").errno == errno.ENOTDIR


def test_what_strangers_are_called_breaks_no_line_and_speaks_to_no_terminal() -> None:
    error = NotFound("no such tag: 'a\nb\x1b[2J\u2028'", "of \udcff", "see\tthere")
    assert error.lines() == ["no such tag: 'a\\nb\\x1b[2J\\u2028'", "of \\xff", "see\\tthere"]
    assert str(error).isprintable()
    assert copy.copy(error).lines() == error.lines()
    assert str(FileSystemError(errno.ENOENT, "no such name: 'a\nb'")) == "no such name: 'a\\nb'"
    assert NotFound("Schlüssel – 鍵").what == "Schlüssel – 鍵"


def test_no_line_of_a_message_is_endless() -> None:
    for text in ("x" * 10**6, "\n" * 10**6):
        line = NotFound(text).what
        assert len(line) == errors.LINE_LIMIT
        assert line.endswith("…")
    assert NotFound("x" * errors.LINE_LIMIT).what == "x" * errors.LINE_LIMIT
