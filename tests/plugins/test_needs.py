"""The markers: what happens to a test whose needs are not met, at home and in CI."""

from pathlib import Path

import pytest

INI = """
    [pytest]
    markers =
        fuse: a
        registry: b
        oras: c
        given(NAME): d
"""


@pytest.fixture
def home(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PATH", str(pytester.mkdir("empty")))
    monkeypatch.setattr("tests.plugins.needs._TOOLS", pytester.mkdir("tools"))
    pytester.makeini(INI)
    return pytester


def run(pytester: pytest.Pytester) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "tests.plugins.needs", "-ra")


def test_a_test_without_its_program_is_skipped_at_home_and_says_what_to_run(home: pytest.Pytester) -> None:
    home.makepyfile("import pytest\n@pytest.mark.oras\ndef test_it(): pass\n@pytest.mark.registry\ndef test_that(): pass")
    result = run(home)
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*needs oras: run scripts/install --test*"])


def test_a_test_with_its_program_runs(home: pytest.Pytester) -> None:
    tool = home.path / "tools" / "oras"
    tool.touch(mode=0o755)
    home.makepyfile("import pytest\n@pytest.mark.oras\ndef test_it(oras): assert oras.parent.name == 'tools'")
    run(home).assert_outcomes(passed=1)


def test_in_ci_a_skip_is_a_failure_whoever_skips(home: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    home.makepyfile(
        test_functions="""
            import pytest

            @pytest.mark.oras
            def test_marked(): pass

            @pytest.mark.skip(reason="later")
            def test_later(): pass

            def test_inside(): pytest.skip("not today")
        """
    )
    result = run(home)
    result.assert_outcomes(errors=2, failed=1)
    result.stdout.fnmatch_lines(["in CI a skip is a failure: Skipped: needs oras*"])


def test_in_ci_a_file_that_skips_itself_is_a_failure(home: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    home.makepyfile("import pytest\npytest.importorskip('no_such_module_anywhere')\ndef test_it(): pass")
    result = run(home)
    result.assert_outcomes(errors=1)
    assert result.ret != pytest.ExitCode.OK


def test_in_ci_an_expected_failure_is_still_expected(home: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    home.makepyfile("import pytest\n@pytest.mark.xfail(reason='a bug of theirs')\ndef test_it(): assert 0")
    run(home).assert_outcomes(xfailed=1)


def test_a_program_that_was_not_given_deselects_even_in_ci(home: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("MODCTL", "")
    monkeypatch.setenv("ZOT", "/usr/bin/zot")
    home.makepyfile("""
        import pytest

        @pytest.mark.given("KIT")
        def test_kit(): pass

        @pytest.mark.given("MODCTL")
        def test_modctl(): pass

        @pytest.mark.given("ZOT")
        def test_zot(): pass
    """)
    run(home).assert_outcomes(passed=1, deselected=2)


def test_fuse_needs_root(home: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    home.makepyfile("import pytest\n@pytest.mark.fuse\ndef test_it(): pass")
    run(home).assert_outcomes(skipped=1)


def test_fuse_needs_its_device(home: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) != "/dev/fuse" and exists(path))
    home.makepyfile("import pytest\n@pytest.mark.fuse\ndef test_it(): pass")
    run(home).assert_outcomes(skipped=1)
