"""Challenges: what registries really send with a 401 is understood, and nonsense costs nothing but itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.oci.challenge import Challenge, parse_challenges

BEARER = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:team/llama:pull,push"'


def test_the_challenge_of_a_token_server() -> None:
    (challenge,) = parse_challenges([BEARER])
    assert challenge == Challenge(
        "bearer",
        {
            "realm": "https://auth.example/token",
            "service": "registry.example",
            "scope": "repository:team/llama:pull,push",
        },
    )


def test_several_in_one_line_and_in_several_lines_keep_their_order() -> None:
    found = parse_challenges([f'Negotiate, Basic realm="here", {BEARER}', "Digest realm=there"])
    assert [challenge.scheme for challenge in found] == ["negotiate", "basic", "bearer", "digest"]
    assert found[1].parameters == {"realm": "here"}
    assert found[3].parameters == {"realm": "there"}


@pytest.mark.parametrize("text", ["", " ", ",,", "é", '"', "=", "\x00", "Bearer=", "realm=x"])
def test_nonsense_is_no_challenge(text: str) -> None:
    assert parse_challenges([text]) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BASIC", Challenge("basic")),
        ("Negotiate dG9rZW4=", Challenge("negotiate", token68="dG9rZW4=")),
        ('Bearer REALM="x"', Challenge("bearer", {"realm": "x"})),
        ('Bearer realm = "x" ,\t service\t=y', Challenge("bearer", {"realm": "x", "service": "y"})),
        ('Bearer realm="x" service="y"', Challenge("bearer", {"realm": "x", "service": "y"})),
        (r'Basic realm="a \"b\" \\c"', Challenge("basic", {"realm": r'a "b" \c'})),
        ('Basic realm=""', Challenge("basic", {"realm": ""})),
        (
            "Bearer realm=https://auth.example/token?a=b,service=x",
            Challenge("bearer", {"realm": "https://auth.example/token?a=b", "service": "x"}),
        ),
        (', ,Basic realm="x",,', Challenge("basic", {"realm": "x"})),
        ('Basic realm="first", realm="second"', Challenge("basic", {"realm": "first"})),
        ('Bearer service="x",realm="cut', Challenge("bearer", {"service": "x"})),
    ],
)
def test_sloppy_servers_are_understood(text: str, expected: Challenge) -> None:
    assert parse_challenges([text]) == (expected,)


def test_a_token_for_one_scheme_leaves_the_next_challenge_alone() -> None:
    assert parse_challenges(['NTLM abc==, Basic realm="x"']) == (
        Challenge("ntlm", token68="abc=="),
        Challenge("basic", {"realm": "x"}),
    )


def test_what_follows_nonsense_in_a_line_is_dropped_and_other_lines_count() -> None:
    assert parse_challenges(['Basic realm="x", \x01, Bearer realm="y"', "Negotiate"]) == (
        Challenge("basic", {"realm": "x"}),
        Challenge("negotiate"),
    )


@given(st.lists(st.text(alphabet='Bearer ="\\,\t:/é', max_size=60), max_size=3))
def test_no_header_is_too_strange_to_survive(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme


@pytest.mark.parametrize("text", ['Bearer realm="' + "\\" * 100_000, "Bearer " + 'a="b",' * 20_000, "," * 200_000, "a " * 100_000])
def test_a_long_header_takes_no_long_time(text: str) -> None:
    parse_challenges([text])  # the limit is the whole run's: quadratic work would take minutes here
