"""Who may read: Basic, and distribution's token flow with its traps (granted is not asked; expired; revoked)."""

import base64
import json
import re

import pytest
import trio
import trio.testing

from mkfs.testing.access import Basic, Bearer
from mkfs.testing.answers import Request
from mkfs.testing.registry import MemoryRegistry, Response
from mkfs.testing.tokens import TokenIssuer
from tests.support.little_model import BLOB, BODY, MANIFEST, MANIFEST_PATH

USERS = {"ada": "lovelace"}
SCOPE = "repository:team/model:pull"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def registry_of(issuer: TokenIssuer) -> MemoryRegistry:
    registry = MemoryRegistry(Bearer(issuer))
    registry.push("team/model", "7b", MANIFEST, {BLOB: BODY})
    return registry


def get(registry: MemoryRegistry, authorization: str = "", path: str = MANIFEST_PATH) -> Response:
    headers = {"host": "registry.test:5000", **({"authorization": authorization} if authorization else {})}
    return registry.respond(Request("GET", path, headers=headers))


def ask_token(registry: MemoryRegistry, query: str = "", *, authorization: str = "", form: str | None = None) -> tuple[int, dict]:
    headers = {"authorization": authorization} if authorization else {}
    request = Request("GET" if form is None else "POST", "/token", query, headers, (form or "").encode())
    response = registry.respond(request)
    return response.status, json.loads(b"".join(item for item in response.items() if isinstance(item, bytes)))


def bearer(registry: MemoryRegistry, query: str = f"scope={SCOPE}", **asked) -> str:
    status, document = ask_token(registry, query, **asked)
    assert status == 200
    return f"Bearer {document['access_token']}"


def challenge(response: Response) -> dict[str, str]:
    assert response.status == 401
    scheme, _, parameters = response.headers["WWW-Authenticate"].partition(" ")
    return {"scheme": scheme, **dict(re.findall(r'(\w+)="([^"]*)"', parameters))}


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("ada", "lovelace"), 200),
        (basic("ada", "byron"), 401),
        (basic("eve", ""), 401),
        ("Basic §", 401),
        (basic("ada", "lovelace").replace("Basic", "Bearer"), 401),
        ("", 401),
    ],
)
def test_basic_lets_in_who_knows_the_password(registry: MemoryRegistry, authorization: str, status: int) -> None:
    registry.access = Basic(USERS)
    assert get(registry, authorization).status == status
    assert "lovelace" not in repr(registry.access)


def test_a_challenge_says_where_the_token_is_and_for_what() -> None:
    asked = challenge(get(registry_of(TokenIssuer(anonymous=True))))
    assert asked == {"scheme": "Bearer", "realm": "http://registry.test:5000/token", "service": "registry.test", "scope": SCOPE}


def test_a_token_opens_what_it_was_asked_for_and_nothing_else() -> None:
    registry = registry_of(TokenIssuer(anonymous=True))
    registry.push("team/model:with/colons", "7b", MANIFEST)
    token = bearer(registry)
    assert get(registry, token).status == 200
    assert get(registry, token, "/v2/").status == 200
    refused = get(registry, token, "/v2/team/other/manifests/7b")
    assert challenge(refused)["error"] == "insufficient_scope"


def test_several_scopes_and_a_name_with_a_port_are_understood() -> None:
    registry = registry_of(TokenIssuer(anonymous=True))
    token = bearer(registry, f"scope=repository:localhost:5000/team/mirror:pull,push&scope={SCOPE}")
    assert get(registry, token).status == 200
    assert get(registry, token, "/v2/localhost:5000/team/mirror/manifests/7b").status == 404


def test_the_token_server_may_say_yes_and_grant_nothing() -> None:
    registry = registry_of(TokenIssuer(USERS, readers={"team/model": frozenset({"eve"})}))
    assert challenge(get(registry, bearer(registry, authorization=basic("ada", "lovelace"))))["error"] == "insufficient_scope"


def test_who_signs_in_gets_more_than_who_does_not() -> None:
    registry = registry_of(TokenIssuer(USERS))
    assert get(registry, bearer(registry, authorization=basic("ada", "lovelace"))).status == 200
    assert challenge(get(registry, bearer(registry)))["error"] == "insufficient_scope"
    assert ask_token(registry, authorization=basic("ada", "byron"))[0] == 401


def test_a_revoked_token_is_invalid_and_a_new_one_is_not() -> None:
    issuer = TokenIssuer(anonymous=True)
    registry = registry_of(issuer)
    old = bearer(registry)
    issuer.revoke()
    assert challenge(get(registry, old))["error"] == "invalid_token"
    assert get(registry, bearer(registry)).status == 200


@pytest.mark.parametrize(("said", "meant"), [(300, 300), (None, 60)])
async def test_a_token_ends_when_it_said_or_after_a_minute(
    autojump_clock: trio.testing.MockClock, said: int | None, meant: int
) -> None:
    registry = registry_of(TokenIssuer(anonymous=True, expires_in_seconds=said, now=trio.current_time))
    assert ask_token(registry)[1].get("expires_in") == said
    token = bearer(registry)
    await trio.sleep(meant - 1)
    assert get(registry, token).status == 200
    await trio.sleep(1)
    assert challenge(get(registry, token))["error"] == "invalid_token"


def test_a_password_can_be_posted_and_becomes_a_refresh_token() -> None:
    issuer = TokenIssuer(USERS)
    registry = registry_of(issuer)
    form = f"grant_type=password&username=ada&password=lovelace&access_type=offline&service=registry.test&scope={SCOPE}"
    refresh = ask_token(registry, form=form)[1]["refresh_token"]
    again = f"grant_type=refresh_token&refresh_token={refresh}&scope={SCOPE}"
    assert get(registry, bearer(registry, form=again)).status == 200
    issuer.revoke_refresh_tokens()
    assert ask_token(registry, form=again) == (400, {"error": "invalid_grant"})
    assert ask_token(registry, form=form.replace("lovelace", "byron")) == (400, {"error": "invalid_grant"})
    assert ask_token(registry, form="grant_type=magic") == (400, {"error": "unsupported_grant_type"})


def test_an_identity_token_works_like_one_that_was_granted() -> None:
    issuer = TokenIssuer(USERS)
    form = f"grant_type=refresh_token&refresh_token={issuer.refresh_token('ada')}&scope={SCOPE}"
    registry = registry_of(issuer)
    assert get(registry, bearer(registry, form=form)).status == 200


def test_some_registries_know_no_post() -> None:
    registry = registry_of(TokenIssuer(USERS, refuses={"POST": 404}))
    assert registry.respond(Request("POST", "/token", body=b"grant_type=password")).status == 404
    offline = f"offline_token=true&scope={SCOPE}"
    assert "refresh_token" in ask_token(registry, offline, authorization=basic("ada", "lovelace"))[1]


def test_no_token_is_in_the_log() -> None:
    registry = registry_of(TokenIssuer(anonymous=True))
    token = bearer(registry).removeprefix("Bearer ")
    get(registry, f"Bearer {token}")
    assert token not in repr((list(registry.log), registry.access))
