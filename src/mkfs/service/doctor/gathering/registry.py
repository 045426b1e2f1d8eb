"""The registry of an artifact, asked: by the client that a mount would use, with an ear on the wire. Changes nothing there.

Told is what was found, as soon as it is; the rest is left out where an answer that it needs never came.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio

from mkfs.errors import MkfsError, NotAuthorised, Unreachable
from mkfs.oci.descriptor import Descriptor
from mkfs.oci.reference import Reference
from mkfs.ranges import ByteRange
from mkfs.registry.client import RegistryClient
from mkfs.registry.credentials import Credentials
from mkfs.registry.hosts import origin_of
from mkfs.registry.listening import Ear, Heard
from mkfs.registry.manifests import ResolvedManifest
from mkfs.registry.repository import Repository
from mkfs.registry.routes import Route, Routes
from mkfs.registry.settings import ClientSettings
from mkfs.service.doctor.gathering.artifact import examine_artifact
from mkfs.service.doctor.judging.artifact import Resolved
from mkfs.service.doctor.judging.registry import Answered, Clock, Login, Name, Ranges, Trips
from mkfs.service.doctor.situation import Situation

TellFacts = Callable[[str, object], None]  # the id of a check, and what was found for it

DNS_SECONDS: Final = 5.0  # a resolver that needs more makes every mount wait for it
_TRIPS: Final = 3
# Of the middle of the largest blob: a cache that has only its beginning is found out, and nobody minds a page of bytes.
_ASKED_BYTES: Final = 4096


async def examine_registry(situation: Situation, tell: TellFacts) -> None:
    """Everything about `situation.source.reference`, in a registry or a layout directory."""
    reference = Reference.parse_source(situation.source.reference)
    if reference.is_layout:
        await examine_artifact(situation, None, reference, tell)
        return
    client = situation.source.client
    routes = Routes(client.hosts, plain_http=client.plain_http).of(reference.registry, reference.repository)
    tell("registry.dns", await names(client, routes))
    credentials = Credentials.load(*map(Path, client.credential_files))
    ear = Ear()
    async with RegistryClient(client, credentials, ear=ear) as registries:
        repository = registries.repository(reference)
        said = await _resolve(repository, reference)
        answered = answered_by(reference, routes, ear.heard)
        await _tell_of_manifest(said, answered, partial(_login, reference, ear.heard, credentials), tell)
        if isinstance(said, MkfsError):
            return
        tell("registry.clock", clock(ear.heard))
        tell("registry.round_trip", await _trips(repository, reference, ear))

        async def ranges(blobs: Sequence[Descriptor]) -> Ranges:
            return await _ranges(repository, blobs, ear)

        await examine_artifact(situation, registries, reference, tell, ranges)


async def names(client: ClientSettings, routes: Sequence[Route]) -> tuple[Name, ...]:
    """All hosts at once."""
    found: dict[Route, Name] = {}

    async def look_up(route: Route, is_mirror: bool) -> None:  # noqa: FBT001 - a nursery hands arguments on by place
        origin = route.origin
        if client.proxies.for_origin(origin):
            found[route] = Name(origin.host, is_mirror, proxied=True)
            return
        addresses: tuple[str, ...] = ()
        trouble = f"no answer from the resolver within {DNS_SECONDS:g} s"
        with trio.move_on_after(DNS_SECONDS):
            try:
                answers = await trio.socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
                addresses, trouble = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers)), ""
            except OSError as error:
                trouble = f"the name cannot be looked up ({(error.strerror or type(error).__name__).lower()})"
        found[route] = Name(origin.host, is_mirror, addresses, trouble)

    async with trio.open_nursery() as nursery:
        for route in routes:
            nursery.start_soon(look_up, route, route is not routes[-1])
    return tuple(dict.fromkeys(found[route] for route in routes))


async def _resolve(repository: Repository, reference: Reference) -> ResolvedManifest | MkfsError:
    try:
        return await repository.resolve(reference)
    except MkfsError as error:
        return error


async def _tell_of_manifest(
    said: ResolvedManifest | MkfsError, answered: Answered, login: Callable[[], Awaitable[Login]], tell: TellFacts
) -> None:
    """An error belongs to who answers, to the login, or to the manifest."""
    if isinstance(said, Unreachable):
        tell("registry.answer", Answered(answered.registry, error=said))
        return
    tell("registry.answer", answered)
    if isinstance(said, NotAuthorised):
        tell("registry.login", Login(error=said))
        return
    tell("registry.login", await login())
    tell("artifact.manifest", Resolved(error=said) if isinstance(said, MkfsError) else Resolved(str(said.digest)))


def answered_by(reference: Reference, routes: Sequence[Route], heard: Sequence[Heard]) -> Answered:
    """By the last answer about a manifest. Mirrors that were asked, or should have been, and did not give it were passed over."""
    asked = [each for each in heard if each.kind == "manifests"]
    last = asked[-1].origin if asked else origin_of(reference.registry, plain_http=None)
    own = routes[-1].origin
    by_tag = reference.digest is None
    before = [route.origin for route in routes[:-1] if (route.tags if by_tag else route.digests)]
    passed_over = before[: before.index(last)] if last in before else before
    return Answered(
        reference.registry,
        last.authority,
        is_mirror=last in before and last != own,
        passed_over=tuple(dict.fromkeys(origin.authority for origin in passed_over if origin != last)),
    )


async def _login(reference: Reference, heard: Sequence[Heard], credentials: Credentials) -> Login:
    shown = next((each.shown for each in reversed(heard) if each.kind == "manifests"), "")
    if not shown:
        return Login()
    found = await credentials.lookup(reference.registry, reference.repository)
    return Login(shown, credentials.describe(reference.registry, reference.repository) if found else "")


def clock(heard: Sequence[Heard]) -> Clock:
    """By the answer that came fastest: a Date header has whole seconds, and is as old as the way back."""
    for each in sorted((each for each in heard if each.date), key=lambda each: each.seconds):
        with suppress(ValueError, TypeError, OverflowError):
            return Clock(each.local_seconds - parsedate_to_datetime(each.date).timestamp())
    return Clock(None)


async def _trips(repository: Repository, reference: Reference, ear: Ear) -> Trips:
    """A HEAD of the manifest counts against no limit of pulls."""
    for _ in range(_TRIPS):
        try:
            await repository.digest_of(reference)
        except MkfsError:  # who refuses HEAD has answered all the same
            break
    asked = [each for each in ear.heard if each.kind == "manifests"]
    host = asked[-1].origin
    times = [each.seconds for each in asked if each.origin == host]
    return Trips(host.authority, min(times), len(times))


async def _ranges(repository: Repository, blobs: Sequence[Descriptor], ear: Ear) -> Ranges:
    """Asks for a part of the largest of `blobs`."""
    largest = max((blob for blob in blobs if blob.data is None), key=lambda blob: blob.size_bytes, default=None)
    if largest is None or largest.size_bytes <= 1:
        return Ranges()
    start = largest.size_bytes // 2
    wanted = ByteRange(start, min(largest.size_bytes, start + _ASKED_BYTES))
    before = len(ear.heard)
    try:
        async with repository.open_range(largest, wanted) as body:
            whole = body.range != wanted
            if not whole:
                async for _ in body:
                    pass
    except MkfsError as error:
        return Ranges(largest.size_bytes, error=error)
    heard = [each for each in ear.heard[before:] if each.kind == "blobs" or not each.kind]
    last = heard[-1]
    sent_on = tuple(dict.fromkeys(each.origin.authority for each in heard if each.redirects and each.origin != last.origin))
    return Ranges(largest.size_bytes, last.status, last.origin.authority, sent_on, whole, last.seconds)
