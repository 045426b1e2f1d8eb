"""URLs: what is one, where a Location leads, and that no text of one gives a secret away."""

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.registry.urls import Origin, Url


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("https://ghcr.io/v2/", Origin("https", "ghcr.io", 443), "/v2/"),
        ("HTTP://LocalHost:5000", Origin("http", "localhost", 5000), "/"),
        ("https://a.b./x?y=1#z", Origin("https", "a.b", 443), "/x?y=1"),
        ("https://a.b?y", Origin("https", "a.b", 443), "/?y"),
        ("http://[::1]:80/x", Origin("http", "::1", 80), "/x"),
        ("http://token_server:5001/t", Origin("http", "token_server", 5001), "/t"),
        ('https://s3.test/a b/ü?n="x"', Origin("https", "s3.test", 443), "/a%20b/%C3%BC?n=%22x%22"),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart_once(text: str, origin: Origin, target: str) -> None:
    url = Url.parse(text)
    assert (url.origin, url.target) == (origin, target)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/v2/",
        "ftp://a.b/",
        "https://",
        "https:///x",
        "https://user:password@a.b/",
        "https://a.b\\@evil.test/",
        "https://a.b:0/",
        "https://a.b:65536/",
        "https://a..b/",
        "http://127.1../",  # a number, once its dots are gone
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[fade:password]/",
        "https://[fade:fade]/",
        "https://a.b:5000:6000/",
        "https://bücher.test/",
        "http://2130706433/",  # resolvers read these three as 127.0.0.1
        "http://0x7f.1/",
        "http://127.1/",
        "http://0127.0.0.1/",
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Url.parse(text)
    assert "password" not in f"{caught.value} {caught.value.__cause__}"
    assert "fade" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/storage/x?sig=1", "https://a.b:8443/storage/x?sig=1"),
        ("y", "https://a.b:8443/v2/m/blobs/y"),
        ("?again", "https://a.b:8443/v2/m/blobs/x?again"),
        ("//c.d/x", "https://c.d/x"),
        (" https://c.d/x%2Fy?X-Sig=a%2Bb%3D ", "https://c.d/x%2Fy?X-Sig=a%2Bb%3D"),
    ],
)
def test_a_location_may_be_relative(location: str, expected: str) -> None:
    assert Url.parse("https://a.b:8443/v2/m/blobs/x").join(location) == Url.parse(expected)


@pytest.mark.parametrize("location", ["http://[secret]/x", "//[\\secret::1]:5000/x", "https://[secret", "/\udcff?secret"])
def test_a_location_that_leads_nowhere_is_not_repeated(location: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Url.parse("https://a.b/v2/").join(location)
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


def test_the_texts_of_a_url_show_neither_path_nor_query() -> None:
    url = Url.parse("https://storage.test/bucket-pl4nted?X-Amz-Signature=pl4nted")
    assert "pl4nted" not in f"{url} {url!r} {url.origin} {url.origin!r}"


LEGAL = st.text("abcXYZ019-._~!$&'()*+,;=:@/?%[]", max_size=40)


@given(LEGAL)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_a_signed_address_is_sent_as_it_came(target: str) -> None:
    url = Url.parse(f"https://storage.test/x{target}")
    sent = httpx2.URL(scheme="https", host="storage.test", raw_path=url.target.encode())
    if "/." not in target:  # the library takes dot segments out
        assert sent.raw_path.decode() == f"/x{target}"
