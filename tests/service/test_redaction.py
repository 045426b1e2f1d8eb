"""The second net for secrets: what goes, what stays, and that no text takes long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.service.redaction import MARK, redacted

SECRET = "s3CrEt/+w0rd="
WORD = "hunter2"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"authorization: {SECRET}", "authorization: ***"),
        (f"Proxy-Authorization: Basic {SECRET}\nHost: x", "Proxy-Authorization: Basic ***\nHost: x"),
        (f"{{'Authorization': 'Bearer {SECRET}', 'A': 'b'}}", "{'Authorization': 'Bearer ***', 'A': 'b'}"),
        (f"[(b'Authorization', b'Basic {SECRET}')]", "[(b'Authorization', b'Basic ***')]"),
        (f'{{\\"Authorization\\": \\"Bearer {SECRET}\\"}}', '{\\"Authorization\\": \\"Bearer ***"}'),
        (f"it said Bearer {SECRET} twice", "it said Bearer *** twice"),
        ("basic dTpw", "basic ***"),
        (f"https://user:{WORD}@host/v2/?ns=a", "https://***@host/v2/?ns=a"),
        (f"https://{WORD}@host", "https://***@host"),
        (f"socks5://user:a/b{WORD}@host:1 next", "socks5://***@host:1 next"),
        (f"http://user:p@ss{WORD}@host", "http://***@host"),
        (
            f"https://s3/b?X-Amz-Signature={SECRET}&partNumber=1&ns=docker.io",
            "https://s3/b?X-Amz-Signature=***&partNumber=***&ns=docker.io",
        ),
        (f"/v2/a/blobs/uploads/1?_state={SECRET}&digest=sha256:00", "/v2/a/blobs/uploads/1?_state=***&digest=sha256:00"),
        (f"https://blob.core/x?sv=2024&sig={WORD}#f", "https://blob.core/x?sv=***&sig=***#f"),
        (f"password={WORD}", "password=***"),
        (f"MKFS_PASSWORD={WORD} mkfs", "MKFS_PASSWORD=*** mkfs"),
        (f"password: {WORD}, user: me", "password: ***, user: me"),
        (f'{{"password": "{WORD} and more", "user": "me"}}', '{"password": "***", "user": "me"}'),
        (f"{{'identitytoken': '{WORD}'}}", "{'identitytoken': '***'}"),
        (f'"auth":"{SECRET}"', '"auth":"***"'),
        (f"token = {WORD}; next", "token = ***; next"),
        (f"api-key: {WORD}", "api-key: ***"),
        (f"Set-Cookie: session={WORD}; Path=/", "Set-Cookie: ***; Path=/"),
        (f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----\nx", "-----BEGIN EC PRIVATE KEY-----***\nx"),
        (f"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\\n{SECRET}", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----***"),
    ],
)
def test_what_looks_like_a_secret_goes(text: str, left: str) -> None:
    assert redacted(text) == left
    assert redacted(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "mounted localhost:5000/team/llama@sha256:00ff at /mnt/llama, pid 17",
        "metrics at http://127.0.0.1:9400/metrics",
        "http://localhost:5000/v2/team/llama@sha256:00ff is a path",
        "the registry wants basic authentication, or a bearer token",
        "GET https://registry/v2/a/tags/list?n=100&last=7b",
        "the token endpoint of registry.test said 401",
        "3 chunks of model.safetensors? no; a & b",
        "the cache cannot be read: Permission denied (/var/cache/mkfs)",
        'Bearer realm="https://auth/token",service="registry",scope="repository:a:pull"',
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert redacted(text) == text


@given(
    st.text("abcXYZ019._~+/-=", min_size=8, max_size=40).filter(lambda word: any(c in "XYZ019=" for c in word)),
    st.sampled_from(["Authorization: Bearer {}", "'Authorization': 'Basic {}'", "Bearer {} x", "?sig={}", "x-registry-token: {}"]),
    st.text(max_size=20),
)
def test_whatever_the_secret_looks_like(secret: str, around: str, noise: str) -> None:
    told = redacted(f"{noise} {around.format(secret)}")
    assert MARK in told
    assert around.format(secret) not in told


@pytest.mark.parametrize(
    "piece",
    [
        "a://",
        "a://b:",
        "?a",
        "&a=",
        "password",
        "password=",
        'password="',
        "Bearer ",
        "authorization:",
        "-----BEGIN ",
        "a.",
        "\\",
        "@",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * 20_000)[:16_384] + " secret"
    redacted(text)  # minutes where an expression tries all ways: the run's own limit ends it
