"""containerd's hosts.toml as people write it."""

import pytest

from mkfs.errors import UsageError
from mkfs.registry.hosts_toml import HostEntry, decode_hosts_toml

ALL = frozenset({"pull", "resolve", "push"})


def test_hosts_come_in_the_order_of_the_file_and_the_server_last() -> None:
    text = b"""
        server = "https://registry-1.docker.io"

        [host."https://mirror.test:5000"]
          capabilities = ["pull"]
          ca = "ca.crt"
          client = [["a.cert", "a.key"], ["both.pem"]]
          dial_timeout = "1s"
          [host."https://mirror.test:5000".header]
            x-one = "1"
            x-two = ["2", "3"]

        [host."http://cache.test/docker/"]
          skip_verify = true

        [host."other.test/v2/proxy"]
          override_path = true
    """
    assert decode_hosts_toml(text) == (
        HostEntry(
            "https://mirror.test:5000",
            "/v2",
            frozenset({"pull"}),
            ("ca.crt",),
            (("a.cert", "a.key"), ("both.pem", "")),
            headers=(("x-one", "1"), ("x-two", "2"), ("x-two", "3")),
            dial_seconds=1.0,
        ),
        HostEntry("http://cache.test", "/docker/v2", ALL, skip_verify=True),
        HostEntry("other.test", "/v2/proxy", ALL),
        HostEntry("https://registry-1.docker.io", "/v2", ALL),
    )


def test_a_file_may_speak_of_the_server_alone() -> None:
    assert decode_hosts_toml(b"") == (HostEntry("", "/v2", ALL),)
    assert decode_hosts_toml(b'ca = ["a", "b"]\nclient = "c"\nskip_verify = true') == (
        HostEntry("", "/v2", ALL, ("a", "b"), (("c", ""),), skip_verify=True),
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("1.5h", 5400), ("20µs", 2e-5), ("0s", None)],
)
def test_durations_are_read_as_containerd_reads_them(text: str, seconds: float | None) -> None:
    (entry,) = decode_hosts_toml(f'dial_timeout = "{text}"'.encode())
    assert entry.dial_seconds == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"server", "not TOML"),
        (b"\xff", "not TOML"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "not TOML"),
        (b"server = 1", "server is no string"),
        (b"host = 1", "is no table"),
        (b'[host]\n"https://a.test" = 1', "is no table"),
        (b"skip_verify = 1", "skip_verify is neither true nor false"),
        (b"ca = 1", "ca is neither a string nor a list of strings"),
        (b"capabilities = [1]", "capabilities is neither"),
        (b"client = 1", "client is neither"),
        (b"client = [[]]", "client is neither"),
        (b'client = [["a", "b", "c"]]', "client is neither"),
        (b"header = 1", "header is no table"),
        (b"dial_timeout = 5", "dial_timeout is no duration"),
        (b'dial_timeout = "5"', "dial_timeout is no duration"),
        (b'dial_timeout = "5s "', "dial_timeout is no duration"),
        (b'dial_timeout = "-5s"', "dial_timeout is no duration"),
        (b"[header]\nx = 1", "x is neither"),
    ],
)
def test_what_makes_no_sense_is_told(text: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        decode_hosts_toml(text)
