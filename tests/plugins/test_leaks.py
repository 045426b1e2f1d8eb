"""The search for planted secrets: where it finds them. Inner runs have a mark of their own, which is no secret to the outer one."""

import base64
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from mkfs.testing import planted
from tests.plugins.leaks import LOGINS

Run = Callable[..., pytest.RunResult]

SECRET = b"own-mark"
LEAKS = {
    "a log": "logging.getLogger('mkfs.registry').debug('shown: %s', SECRET)",
    "a traceback in a log": """
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger('mkfs').info('it failed', exc_info=True)""",
    "an error nobody saw": "MkfsError('refused', '', SECRET)",
    "its own output": "print(SECRET)",
    "its own complaints": "print(SECRET, file=sys.stderr)",
    "what a command wrote": "subprocess.run(['sh', '-c', 'echo own\"\"-mark'], capture_output=True, text=True)",
    "what a command complained of": "subprocess.run(['sh', '-c', 'echo own\"\"-mark >&2'], capture_output=True)",
    "what a command in this process wrote": "CliRunner().invoke(click.Command('x', callback=lambda: click.echo(SECRET)))",
    "a file": "(tmp_path / 'daemon.log').write_text('asked with ' + SECRET)",
    "a file far below": "(tmp_path / 'a' / 'b').mkdir(parents=True); (tmp_path / 'a' / 'b' / 'c').write_text(SECRET)",
    "a shared directory": "(tmp_path_factory.mktemp('shared') / 'x').write_text(SECRET)",
}
INNER = """
import logging, subprocess, sys
import click
import pytest
from click.testing import CliRunner
from mkfs.errors import MkfsError

SECRET = "own" + "-mark"

{mark}
def test_it(tmp_path, tmp_path_factory):
    {body}
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(body: str, mark: str = "") -> pytest.RunResult:
        pytester.makeini("[pytest]\nmarkers = secrets(glob): announced")
        pytester.makepyfile(INNER.format(body=body, mark=mark))
        with monkeypatch.context() as patched:
            patched.setattr("tests.plugins.leaks.planted.is_in", lambda data: SECRET in data)
            return pytester.runpytest_inprocess("-p", "tests.plugins.leaks", "--basetemp", pytester.path / "base")

    return run


@pytest.mark.parametrize("where", LEAKS)
def test_a_secret_that_got_out_fails_the_test_and_is_not_shown(run: Run, where: str) -> None:
    result = run(LEAKS[where])
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_it*", "*a planted secret in *"])
    assert not [line for line in result.outlines if "a planted secret in" in line and SECRET.decode() in line]


@pytest.mark.parametrize(
    "body", ["pass", "logging.getLogger('other').debug(SECRET)", "(tmp_path / 'x').symlink_to('/proc/self/mem')"]
)
def test_nothing_said_is_nothing_found(run: Run, body: str) -> None:
    run(body).assert_outcomes(passed=1)


@pytest.mark.parametrize("name", LOGINS)
def test_a_file_of_logins_may_hold_them(run: Run, name: str) -> None:
    run(f"(tmp_path / {name.replace('*', '-x')!r}).write_text(SECRET)").assert_outcomes(passed=1)


def test_another_file_may_where_the_test_says_so_and_only_while_it_does(run: Run) -> None:
    mark = "@pytest.mark.secrets('home/*.toml')"
    body = "(tmp_path / 'home').mkdir(); (tmp_path / 'home' / '{}').write_text(SECRET)"
    run(body.format("hosts.toml"), mark).assert_outcomes(passed=1)
    run(body.format("hosts.log"), mark).assert_outcomes(passed=1, errors=1)
    result = run("pass", mark)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["announced, but there is no secret in home/*.toml"])


def test_a_file_that_goes_while_others_are_searched_hides_none_of_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        name = "gone"

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            raise FileNotFoundError

    scan = os.scandir

    @contextmanager
    def scandir(place: Path) -> Iterator[list[object]]:
        with scan(place) as entries:
            yield [Gone(), *entries]

    monkeypatch.setattr("tests.plugins.leaks.os", SimpleNamespace(**{**vars(os), "scandir": scandir}))
    run("(tmp_path / 'x').write_text(SECRET)").assert_outcomes(passed=1, errors=1)


def test_a_test_that_fails_keeps_its_own_reason(run: Run) -> None:
    result = run("print(SECRET); assert 1 == 2")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*"])


def test_a_run_within_a_run_leaves_the_outer_one_listening(run: Run) -> None:
    run("pass").assert_outcomes(passed=1)
    assert logging.getLogger("mkfs").level == logging.DEBUG


@pytest.mark.parametrize("before", range(4))
def test_the_mark_is_found_in_every_form_it_takes(before: int) -> None:
    pair = b"x" * before + b":" + planted.PASSWORD.encode()
    for data in (pair, base64.b64encode(pair), base64.urlsafe_b64encode(pair), f"?sig={planted.token()}&x".encode()):
        assert planted.is_in(b"before " + data + b" after")
    assert not planted.is_in(base64.b64encode(pair.replace(b"pl4", b"pl5")))
