"""What a server may answer, and how it may let in: every case a registry of its own, a person who mounts it and reads everything.

Many of them end with a deadline of ours, so all run at once, and each test looks at one.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from functools import partial
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from time import time
from typing import Final, TypeAlias

import pytest

from mkfs.ranges import ByteRange
from mkfs.registry.retries import STALL_BYTES
from mkfs.testing import faults, planted
from mkfs.testing.access import Bearer
from mkfs.testing.answers import Answer
from mkfs.testing.faults import Action, Fault, Match
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.testing.tokens import TokenIssuer
from mkfs.units import MIB
from tests.faults.oracle import Outcome, attempt
from tests.support.certificates import Authority, Certificate
from tests.support.doors import SILENT, standing_before
from tests.support.kit_parts import content_of, layer_at
from tests.support.mounting import Shell

pytestmark = pytest.mark.fuse

NOT_AUTHORISED, UNREACHABLE, UNSUPPORTED = 11, 12, 14
AT_ONCE: Final = 12  # cases under way: most of them wait
README: Final = b"# http\n"
KIT: Final = KitBuilder("http", seed=43).model("w.bin", 2 * MIB + 1).docs("README.md", README).build()
_BODY: Final = content_of(KIT, "w.bin")
EXPECTED: Final = {"w.bin": _BODY.read(ByteRange(0, _BODY.size_bytes)), "README.md": README}
ADA: Final = "ada"

WEIGHTS: Final = Match("GET", digest=layer_at(KIT, "w.bin").digest)
MANIFEST: Final = Match("GET", path="/manifests/")
API: Final = Match(path="^/v2/")
TOKEN: Final = Match(path="^/token")
ENDLESS: Final = 1 << 40  # bytes


class Stage:
    """A registry, and somebody who has a password for it, and one for nobody else."""

    def __init__(self, home: Path, authority: Authority, stack: ExitStack) -> None:
        self.authority, self.stack = authority, stack
        self.registry, self.server = self.another()
        self.host, self.shell = self.server.host, Shell(home)
        self.options: tuple[str, ...] = ("--plain-http",)
        self.storage: MemoryRegistry | None = None
        self.installed: list[tuple[MemoryRegistry, Fault]] = []

    def another(self) -> tuple[MemoryRegistry, RegistryServer]:
        registry = MemoryRegistry()
        registry.push("http", "1", KIT.manifest, KIT.blobs)
        return registry, self.stack.enter_context(serve(registry))

    def attempt(self) -> Outcome:
        self.shell.log_in(self.host, ADA, planted.PASSWORD)
        return attempt(self.shell, f"{self.host}/http:1", EXPECTED, *self.options)

    def fail(self, match: Match, *actions: Action, times: int | None = None) -> None:
        for action in actions:
            self.fail_at(self.registry, Fault(match, action, times))

    def fail_at(self, registry: MemoryRegistry, fault: Fault) -> None:
        self.installed.append((registry, registry.faults.install(fault)))

    def all_happened(self) -> None:
        """A case in which nothing went wrong proves nothing."""
        for registry, fault in self.installed:
            assert registry.faults._matched[fault] > 0, fault


Prepare: TypeAlias = Callable[[Stage], None]


@dataclass(frozen=True)
class Case:
    """What goes wrong, and what a person then meets. `said` is part of what the command says."""

    prepare: Prepare
    exit_code: int = 0
    said: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[Stage], None] = lambda _stage: None


@dataclass(frozen=True)
class InTwoSeconds:
    """429 until a moment that is given as a date."""

    def apply(self, answer: Answer, /) -> Answer:
        return faults.Status(429, {"Retry-After": formatdate(time() + 2, usegmt=True)}).apply(answer)


def fails(match: Match, *actions: Action, times: int | None = None) -> Prepare:
    return lambda stage: stage.fail(match, *actions, times=times)


def passing(*actions: Action) -> Case:
    """Two answers about the weights are so, then the registry is well: everything comes."""
    return Case(fails(WEIGHTS, *actions, times=2))


def lasting(said: str, *actions: Action) -> Case:
    """All answers about the weights are so: whoever waits at the prompt is told in the end."""
    return Case(fails(WEIGHTS, *actions), UNREACHABLE, said)


def refused(said: str, *actions: Action, match: Match = MANIFEST, exit_code: int = UNREACHABLE) -> Case:
    """The first thing that is asked for is answered so."""
    return Case(fails(match, *actions), exit_code, said)


# --- who gets in


def challenge(realm: str) -> faults.Status:
    return faults.Status(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="registry.test"'})


def realm(url: str, said: str) -> Case:
    return refused(said, challenge(url), match=API, exit_code=NOT_AUTHORISED)


def token_server(*actions: Action) -> Prepare:
    """Whoever comes is sent to a token server that answers so."""

    def prepare(stage: Stage) -> None:
        stage.registry.access = Bearer(TokenIssuer({ADA: planted.PASSWORD}))
        stage.fail(TOKEN, *actions)

    return prepare


def granted_and_refused(stage: Stage) -> None:
    stage.registry.access = Bearer(TokenIssuer({ADA: planted.PASSWORD}))
    stage.fail(API, challenge(f"http://{stage.host}/token"))


def stored_elsewhere(*actions: Action, times: int | None = None) -> Prepare:
    """Blobs of a registry with tokens are at a storage host, which answers GETs so."""

    def prepare(stage: Stage) -> None:
        stage.registry.access = Bearer(TokenIssuer({ADA: planted.PASSWORD}))
        stage.storage, server = stage.another()
        signed = f"http://{server.host}/v2/http/blobs/{{digest}}?X-Amz-Signature={planted.SIGNATURE}"
        stage.fail(Match(path="/blobs/"), faults.Redirect(signed))
        for action in actions:
            stage.fail_at(stage.storage, Fault(WEIGHTS, action, times))

    return prepare


def storage_saw_no_credentials(stage: Stage) -> None:
    assert stage.storage is not None
    seen = [served.header_names for served in stage.storage.log]
    assert seen
    assert not any("authorization" in names for names in seen)
    assert any("authorization" in served.header_names for served in stage.registry.log)


# --- the way there


def tls(signed: Callable[[Authority, Path], Certificate], *actions: Action, known: bool = True) -> Prepare:
    """The registry behind TLS."""

    def prepare(stage: Stage) -> None:
        certificate = signed(stage.authority, stage.shell.home)
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        stage.host = stage.stack.enter_context(standing_before(stage.server.host, context=context)).host
        stage.options = ("--no-plain-http", *(["--ca-file", str(stage.authority.own.cert)] if known else []))
        stage.fail(MANIFEST, *actions)

    return prepare


def good(authority: Authority, home: Path) -> Certificate:
    return authority.signed(home, "good")


def plain_http(stage: Stage) -> None:
    stage.options = ("--no-plain-http",)


def behind_silence(stage: Stage) -> None:
    stage.host = stage.stack.enter_context(standing_before(stage.server.host, way=SILENT)).host


class Cut(Shell):
    """Somebody in a network of their own, which leads nowhere, where names are looked up as `HOW` says (nsswitch.conf)."""

    def words(self, *arguments: str | Path) -> list[str | Path]:
        # First goes what a new namespace has a copy of: the daemons of other tests' mounts would not end before it does.
        script = "umount --all --lazy --internal-only --types fuse.kitfs 2>/dev/null || true; "
        script += 'mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf; mount --bind "$0/resolv.conf" /etc/resolv.conf; exec "$@"'
        unshare = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-euc", script, self.home]
        return [*unshare, *super().words(*arguments)]


def no_such_name(how: str) -> Prepare:
    def prepare(stage: Stage) -> None:
        stage.shell, stage.host, stage.options = Cut(stage.shell.home), "registry.example", ()
        (stage.shell.home / "nsswitch.conf").write_text(f"hosts: {how}\n")
        (stage.shell.home / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    return prepare


_TRICKLE: Final = f" s (expected at least {STALL_BYTES})"  # the seconds are measured: 31 where each byte came a little later
_MULTIPART: Final = faults.Status(206, {"Content-Type": "multipart/byteranges; boundary=a:b"}, b"--a:b\r\n\r\nx\r\n--a:b--\r\n")
_FAR: Final = faults.WrongContentRange(f"bytes 1-2/{layer_at(KIT, 'w.bin').body.size_bytes}")
_PARTIAL: Final = replace(WEIGHTS, header="^range: ")
CASES: Final[Mapping[str, Case]] = {
    # those that take longest first
    "no answer": refused("no byte for 25 s", faults.Withhold()),
    "a manifest that stalls": refused("no byte for 30 s", faults.Stall(100)),
    "a manifest of 1 byte a second": refused(_TRICKLE, faults.Slow(1)),
    "a layer that stalls": lasting("no byte for 30 s", faults.Stall(100)),
    "a layer of 1 byte a second": lasting(_TRICKLE, faults.Slow(1)),
    "blackhole": Case(behind_silence, UNREACHABLE, "no connection within 10 s"),
    "a wrong Content-Range, always": lasting("not the range that was asked for", _FAR),
    "a short body, always": lasting("", faults.ShortBody(10)),
    "an encoded body, always": lasting("came encoded", faults.Encoded()),
    "several ranges, always": lasting("no Content-Range", _MULTIPART),
    "a reset, always": lasting("connection", faults.Reset(10)),
    "a sign-in page for a layer, always": lasting("a web page came instead of the blob", faults.Html200()),
    "503, always": lasting("status 503", faults.Status(503)),
    "a signed address that has expired, always": Case(stored_elsewhere(faults.Status(403)), UNREACHABLE, "refuses the address"),
    # bodies
    "200 for a range": Case(fails(_PARTIAL, faults.IgnoreRange())),
    "a wrong Content-Range": passing(_FAR),
    "a Content-Range of another length": passing(faults.WrongContentRange("bytes 0-1/7")),
    "no Content-Range": passing(faults.MissingContentRange()),
    "a short body": passing(faults.ShortBody(10)),
    "an empty body": passing(faults.ShortBody(0)),
    "a short body that says so": passing(faults.ShortBody(10, honest=True)),
    "a long body": passing(faults.LongBody(10)),
    "a long body of no announced length": passing(faults.LongBody(10), faults.NoContentLength()),
    "a flipped byte": Case(fails(replace(WEIGHTS, offset=2 * MIB), faults.Flip(2 * MIB), times=1)),
    "a flipped byte, always": Case(fails(WEIGHTS, faults.Flip(2 * MIB)), errors={"w.bin": "EIO"}),
    "an encoded body": passing(faults.Encoded()),
    "several ranges": passing(_MULTIPART),
    "a sign-in page for a layer": passing(faults.Html200()),
    "a sign-in page for a manifest": refused("a web page came instead of the manifest", faults.Html200()),
    "a layer without end": Case(fails(WEIGHTS, faults.LongBody(ENDLESS), faults.NoContentLength())),  # no more of it is taken
    "a manifest without end": refused("too large", faults.LongBody(ENDLESS), faults.NoContentLength(), exit_code=UNSUPPORTED),
    "a reset within a body": passing(faults.Reset(10)),
    "a reset before an answer": passing(faults.Reset(None)),
    # heads
    "headers of 8 MiB": refused("not HTTP", faults.Status(200, {"X-Bomb": "x" * 8 * MIB})),
    "10,000 headers": refused("not HTTP", faults.Status(200, {f"X-Bomb-{n}": "x" for n in range(10_000)})),
    # who gets in
    "401 for ever": Case(granted_and_refused, NOT_AUTHORISED, "refuses access"),
    "a token server on another host over HTTP": realm("http://tokens.example/", "asked in plain HTTP"),
    "a token server in a private network": realm("https://10.0.0.1/token", "within a private network"),
    "a token server at a metadata address": realm("https://169.254.169.254/token", "within a private network"),
    "a token server that is a file": realm("file:///etc/passwd", "names a token server that is"),
    "a token server that asks for a token": Case(
        token_server(challenge("http://127.0.0.1/token")), NOT_AUTHORISED, "refuses these credentials"
    ),
    "a token server that sends on in circles": Case(token_server(faults.Redirect("/token")), UNREACHABLE, "status 307"),
    "a token without end": Case(
        token_server(faults.Status(200, body=b"{}"), faults.LongBody(ENDLESS), faults.NoContentLength()),
        UNREACHABLE,
        "of a sensible size",
    ),
    "a signed address that has expired": Case(stored_elsewhere(faults.Status(403), times=1)),
    "a redirect to another host": Case(stored_elsewhere(), check=storage_saw_no_credentials),
    # later
    "429, a second": passing(faults.Status(429, {"Retry-After": "1"})),
    "429, a date": Case(fails(WEIGHTS, InTwoSeconds(), times=1)),
    "429, a day": refused("too many requests", faults.Status(429, {"Retry-After": "86400"})),
    "500 for ever": refused("status 500", faults.Status(500)),
    "503 twice": passing(faults.Status(503)),
    # elsewhere
    "a redirect in circles": refused("more than 5 redirects", faults.Redirect("/v2/http/manifests/1")),
    "a redirect to a metadata address": refused("no address of a storage host", faults.Redirect("http://169.254.169.254/latest/")),
    "a redirect to a metadata name": refused("no address of a storage host", faults.Redirect("http://metadata.google.internal/")),
    "a redirect to a file": refused("leads nowhere", faults.Redirect("file:///etc/passwd")),
    "a redirect from TLS to plain HTTP": Case(
        tls(good, faults.Redirect("http://127.0.0.1:1/")), UNREACHABLE, "from https to plain http refused"
    ),
    # TLS and names
    "a certificate that is good": Case(tls(good)),
    "a certificate that has expired": Case(
        tls(lambda authority, home: authority.signed(home, "old", expired=True)), UNREACHABLE, "certificate has expired"
    ),
    "a certificate of another host": Case(
        tls(lambda authority, home: authority.signed(home, "other", "IP:127.0.0.2")), UNREACHABLE, "IP address mismatch"
    ),
    "a certificate nobody vouches for": Case(tls(good, known=False), UNREACHABLE, "unable to get local issuer"),
    "plain HTTP instead of TLS": Case(plain_http, UNREACHABLE, "--plain-http"),
    "a name that nobody has": Case(no_such_name("files"), UNREACHABLE, "cannot be resolved"),
    "a name server that does not answer": Case(no_such_name("dns"), UNREACHABLE, "cannot be resolved"),
}


def played(case: Case, home: Path, authority: Authority) -> Outcome:
    with ExitStack() as stack:
        stage = Stage(home, authority, stack)
        case.prepare(stage)
        outcome = stage.attempt()
        case.check(stage)
        stage.all_happened()
        return outcome


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Outcome]]]:
    """What becomes of the cases that were asked for, in time."""
    root = tmp_path_factory.mktemp("http")
    authority = Authority.new(root)
    wanted = {item.callspec.params["name"] for item in request.session.items if item.path == request.path}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        play = partial(played, authority=authority)
        yield {name: pool.submit(play, case, root / str(n)) for n, (name, case) in enumerate(CASES.items()) if name in wanted}
        pool.shutdown(cancel_futures=True)  # what only tests in the other worker look at


@pytest.mark.fault("H")
@pytest.mark.parametrize("name", CASES)
def test_http(outcomes: Mapping[str, Future[Outcome]], name: str) -> None:
    case, outcome = CASES[name], outcomes[name].result()
    assert (outcome.exit_code, dict(outcome.errors)) == (case.exit_code, dict(case.errors)), outcome
    assert case.said in outcome.said
