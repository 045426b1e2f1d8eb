"""Who answers for a repository, and how: names, logins, clock, round trips, ranges."""

from typing import Final, final

from msgspec import Struct

from mkfs.errors import MkfsError, Unreachable
from mkfs.service.doctor.finding import Finding, fail, failed, ok, warn
from mkfs.units import format_duration, format_size

# Beyond it tokens (`nbf`, `exp`) and fresh certificates are judged wrongly; servers allow for about a minute.
CLOCK_SECONDS: Final = 60.0
# A mount takes some four round trips, one after another.
SLOW_SECONDS: Final = 0.5
_CHECK_NETWORK: Final = "check the name, /etc/resolv.conf and the network: getent hosts {}"


@final
class Name(Struct, frozen=True):
    """A host that may be asked. `addresses` as the resolver gave them; `trouble`: why it gave none. `proxied`: a proxy looks it
    up.
    """

    host: str
    is_mirror: bool
    addresses: tuple[str, ...] = ()
    trouble: str = ""
    proxied: bool = False


@final
class Answered(Struct, frozen=True):
    """Who sent the manifest. `passed_over` are hosts that were asked before, and had nothing or failed; `error`: nobody sent one,
    for want of an answer.
    """

    registry: str
    host: str = ""
    is_mirror: bool = False
    passed_over: tuple[str, ...] = ()
    error: MkfsError | None = None


@final
class Login(Struct, frozen=True):
    """What was shown to be let in. `shown`: "", "Basic" or "Bearer"; `found`: where credentials were found, in words without a
    secret, "" for none.
    """

    shown: str = ""
    found: str = ""
    error: MkfsError | None = None


@final
class Clock(Struct, frozen=True):
    """How far we are ahead of the registry; None: it does not tell the time."""

    ahead_seconds: float | None


@final
class Trips(Struct, frozen=True):
    """Round trips to a host: the shortest of so many."""

    host: str
    shortest_seconds: float
    count: int


@final
class Ranges(Struct, frozen=True):
    """A range of a blob that was asked for. `status` is that of the last answer, `host` who gave it; `redirected`: the hosts that
    sent us on. `whole`: all of the blob came instead. `blob_bytes` 0: no blob was large enough to ask for a part.
    """

    blob_bytes: int = 0
    status: int = 0
    host: str = ""
    redirected: tuple[str, ...] = ()
    whole: bool = False
    seconds: float = 0.0
    error: MkfsError | None = None


def judge_names(facts: tuple[Name, ...]) -> Finding:
    """Whether names become addresses."""
    troubled = [each for each in facts if each.trouble]
    for each in troubled:
        if not each.is_mirror:
            return fail(Unreachable, f"{each.host}: {each.trouble}", _CHECK_NETWORK.format(each.host))
    if troubled:
        text = f"mirror {troubled[0].host}: {troubled[0].trouble}; the next host is asked instead"
        return warn(text, _CHECK_NETWORK.format(troubled[0].host))
    return ok("; ".join(_addresses(each) for each in facts))


def judge_answer(facts: Answered) -> Finding:
    """Who answers: a mirror, or the registry itself."""
    if facts.error is not None:
        return failed(facts.error, f"check that {facts.registry} is up: curl -sSI https://{facts.registry}/v2/")
    before = f"; not {', '.join(facts.passed_over)}" if facts.passed_over else ""
    if facts.is_mirror:
        return ok(f"mirror {facts.host} answers for {facts.registry}{before}")
    if facts.passed_over:
        text = f"{facts.host} answers itself; mirrors that had nothing, or failed: {', '.join(facts.passed_over)}"
        return warn(text, "mend them, or take them out of hosts.toml or registries.conf; --no-mirrors does without")
    return ok(f"{facts.host} answers")


def judge_login(facts: Login) -> Finding:
    """Whether we are let in."""
    if facts.error is not None:
        return failed(facts.error, "log in: docker login HOST, or name a file of logins with --authfile")
    if not facts.shown:
        return ok("anybody may read there: no login was asked for")
    if facts.found:
        return ok(f"logged in ({facts.shown}): {facts.found}")
    return ok("let in with an anonymous token")


def judge_clock(facts: Clock) -> Finding:
    """Whether our clock is the registry's."""
    if facts.ahead_seconds is None:
        return ok("the registry does not tell the time")
    off = abs(facts.ahead_seconds)
    if off > CLOCK_SECONDS:
        way = "ahead of" if facts.ahead_seconds > 0 else "behind"
        text = f"our clock is {format_duration(off)} {way} the registry's: tokens and certificates may be refused"
        return warn(text, "sudo timedatectl set-ntp true")
    return ok("our clock agrees with the registry's")


def judge_trips(facts: Trips) -> Finding:
    """How long a question takes."""
    text = f"{facts.shortest_seconds * 1000:.0f} ms to {facts.host} and back, the shortest of {facts.count}"
    if facts.shortest_seconds > SLOW_SECONDS:
        return warn(
            f"{text}: a mount takes some four of them", "use a registry or mirror nearby (hosts.toml in /etc/containerd/certs.d)"
        )
    return ok(text)


def judge_ranges(facts: Ranges) -> Finding:
    """Whether a part of a blob can be had without the whole."""
    if facts.error is not None:
        return failed(facts.error, "look at what stands between here and the storage: a proxy, a cache, a gateway")
    if not facts.blob_bytes:
        return ok("no blob is large enough to ask for a part of it")
    way = f"{facts.host}, where {', '.join(facts.redirected)} sent us" if facts.redirected else facts.host
    if facts.whole:
        text = f"no ranges: {way}, answered {facts.status} with all {format_size(facts.blob_bytes)}; each layer is one stream then"
        return warn(text, "turn on ranges at that registry, cache or proxy, or use kitfs warmup before readers come")
    return ok(f"ranges work: {facts.status} with the exact Content-Range from {way}, {facts.seconds * 1000:.0f} ms")


def _addresses(name: Name) -> str:
    host = f"mirror {name.host}" if name.is_mirror else name.host
    if name.proxied:
        return f"{host}: looked up by the proxy"
    return f"{host}: {', '.join(name.addresses)}"
