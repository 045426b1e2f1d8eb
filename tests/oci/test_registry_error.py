"""Registry errors: the one line a person gets of what the registry answered, safe to print and to log."""

import json

import pytest

from mkfs.oci.registry_error import describe_error


def body(*errors: object) -> bytes:
    return json.dumps({"errors": list(errors)}).encode()


def test_code_and_message_are_told_and_the_detail_is_not() -> None:
    said = describe_error(
        body({"code": "NAME_UNKNOWN", "message": "repository name not known to registry", "detail": {"name": "x"}})
    )
    assert said == "NAME_UNKNOWN: repository name not known to registry"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"code": "DENIED"}, "DENIED"),
        ({"code": "", "message": "no"}, "no"),
        ({"code": "DENIED", "message": None}, "DENIED"),
        ({"code": 7, "message": ["x"]}, ""),
    ],
)
def test_half_an_error_is_told_as_far_as_it_goes(error: dict, said: str) -> None:
    assert describe_error(body(error)) == said


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>504</html>",
        b"404 page not found\n",
        b"[]",
        b"{}",
        b'{"errors":null}',
        b'{"errors":[]}',
        b'{"errors":["x"]}',
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_what_is_no_registry_error_is_not_quoted(data: bytes) -> None:
    assert describe_error(data) == ""


def test_a_body_of_unreasonable_size_is_not_quoted() -> None:
    assert describe_error(body({"code": "DENIED", "message": "x" * 100_000})) == ""


def test_the_line_is_one_printable_line_of_bounded_length() -> None:
    said = describe_error(body({"code": "DENIED", "message": "no\r\nSet-Cookie: \x1b[31mred\u202e " + "x" * 1000}))
    assert said.startswith("DENIED: no Set-Cookie: [31mred x")
    assert said.isprintable()
    assert len(said) == 200


@pytest.mark.parametrize(
    "message",
    [
        "cannot follow https://storage.example/blob?X-Amz-Signature=SECRET&b=c today",
        "cannot follow https://user:SECRET@storage.example/blob today",
        "bad header Bearer SECRETSECRETSECRET.SECRET today",
        "bad header basic SECRETSECRETSECRETSECRET== today",
    ],
)
def test_what_could_be_a_secret_is_left_out(message: str) -> None:
    said = describe_error(body({"code": "UNKNOWN", "message": message}))
    assert "SECRET" not in said
    assert said.endswith("… today")


def test_a_line_of_just_the_length_is_not_cut() -> None:
    assert describe_error(body({"message": "x" * 200})) == "x" * 200
    assert describe_error(body({"message": "x" * 201})) == "x" * 199 + "\u2026"
