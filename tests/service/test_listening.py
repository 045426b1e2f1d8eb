"""Where a mount may be asked: the words, and taking the place."""

import socket

import pytest

from mkfs.errors import UsageError
from mkfs.service.listening import Address, bound, listen, parse_address


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("9400", "127.0.0.1:9400"),
        (":9400", "127.0.0.1:9400"),
        (" 0 ", "127.0.0.1:0"),
        ("localhost:9400", "127.0.0.1:9400"),
        ("127.0.0.2:65535", "127.0.0.2:65535"),
        ("0.0.0.0:9400", "0.0.0.0:9400"),
        ("[::1]:9400", "[::1]:9400"),
        ("[::]:0", "[::]:0"),
        ("[FD00:0:0::7]:1", "[fd00::7]:1"),
    ],
)
def test_without_a_host_it_is_this_machine_alone(text: str, meant: str) -> None:
    assert str(parse_address(text)) == meant
    assert parse_address(str(parse_address(text))) == parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:",
        "9400:",
        "::1:9400",
        "::1",
        "[::1]",
        "[127.0.0.1]:9400",
        "[]:9400",
        "[localhost]:9400",
        "node7:9400",
        "*:9400",
        "1.2.3:9400",
        "http://127.0.0.1:9400",
        "unix:/run/x",
        "65536",
        "-1",
        "1e3",
        "٣",
        "127.0.0.1:94 00",
    ],
)
def test_what_may_mean_something_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_port_0_is_one_that_is_free_and_then_taken(host: str) -> None:
    with listen(Address(host, 0)) as taken:
        address = bound(taken)
        assert address.host == host
        assert address.port
        socket.create_connection((address.host, address.port), 5).close()
        with pytest.raises(UsageError, match="in use") as caught:
            listen(address)
        assert "another port" in caught.value.hint


def test_what_is_no_address_of_this_machine_cannot_be_listened_on() -> None:
    with pytest.raises(UsageError, match=r"192\.0\.2\.1:9400"):
        listen(Address("192.0.2.1", 9400))


def test_whoever_we_start_does_not_inherit_it() -> None:
    with listen(Address("127.0.0.1", 0)) as taken:
        assert not taken.get_inheritable()
