"""TOML that a person wrote: what it says, or an error that names the file."""

import pytest

from mkfs.errors import UsageError
from mkfs.oci.toml import decode_toml


def test_a_document_comes_back_as_it_is() -> None:
    assert decode_toml('[host]\nname = "é"\nlist = [1, 2]\n'.encode()) == {"host": {"name": "é", "list": [1, 2]}}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a = ", "not TOML: Invalid value"),
        (b"a = '\xff'", "not TOML: 'utf-8' codec"),
        (b"a = " + b"[" * 100_000, "not TOML: nested too deeply"),
    ],
)
def test_what_is_none_is_an_error_that_says_so_and_names_the_file(data: bytes, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_toml(data, "hosts.toml")
    assert caught.value.what.startswith(what)
    assert caught.value.where == "hosts.toml"


def test_a_document_without_a_place_has_none_in_its_error() -> None:
    with pytest.raises(UsageError) as caught:
        decode_toml(b"=")
    assert caught.value.where == ""
