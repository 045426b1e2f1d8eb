"""Everything together: the checks of this machine, each in a child of its own, and those of an artifact, in one child."""

import logging
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from mkfs.errors import CacheUnusable, FuseUnavailable, MkfsError, Unreachable
from mkfs.service.doctor.checks import CHECKS, Check
from mkfs.service.doctor.children import Job, Tell, Told, listened_to
from mkfs.service.doctor.finding import failed, warn
from mkfs.service.doctor.situation import Situation
from mkfs.service.failures import sole

# Of a check of this machine: it reads some files. A machine that swaps takes seconds to import pyfuse3.
MACHINE_SECONDS: Final = 10.0
# Of all that a registry is asked: one that is not there takes 30 s to be given up, and a slow one some ten round trips.
REGISTRY_SECONDS: Final = 90.0
_LINUX_ONLY: Final = ("kernel.", "confinement.", "fuse.helper", "fuse.libraries", "fuse.allow_other", "fuse.background")
_OF_MACHINE: Final = tuple(check for check in CHECKS if check.gather is not None)
_OF_ARTIFACT: Final = tuple(check for check in CHECKS if check.gather is None)


def examine(
    situation: Situation,
    *,
    traces: bool = False,
    machine_seconds: float = MACHINE_SECONDS,
    registry_seconds: float = REGISTRY_SECONDS,
) -> Iterator[Told]:
    """The findings, in the order of the list and as they come; last, if an artifact was named, the paths in it. Whatever needs an
    answer that never came is left out, and on other systems than Linux what only Linux has.
    """
    checks = [check for check in _OF_MACHINE if sys.platform == "linux" or not check.id.startswith(_LINUX_ONLY)]
    jobs = [Job((check.id,), machine_seconds, partial(_look, check, situation), _kind(check.id)) for check in checks]
    if situation.source.reference:
        jobs.append(Job(tuple(check.id for check in _OF_ARTIFACT), registry_seconds, partial(_ask, situation), Unreachable))
    return listened_to(jobs, traces=traces)


def _kind(check: str) -> type[MkfsError]:
    """What a mount would end with that hangs where this check does."""
    area = check.partition(".")[0]
    return {"fuse": FuseUnavailable, "cache": CacheUnusable}.get(area, MkfsError)


def _look(check: Check[Any], situation: Situation, tell: Tell) -> None:
    if check.gather is not None:
        try:
            finding = check.judge(check.gather(situation))
        except OSError as error:
            text = f"this could not be looked at: {(error.strerror or type(error).__name__).lower()}"
            finding = warn(text, "look again as a user who may: sudo kitfs doctor")
        tell(Told(check.id, finding))


def _ask(situation: Situation, tell: Tell) -> None:
    """In the child: what is found there is judged there, so that nothing but findings has to travel."""
    import trio

    from mkfs.service.doctor.gathering.artifact import FILES
    from mkfs.service.doctor.gathering.registry import examine_registry

    logging.disable()  # what the client would warn of is told by the checks
    owed = [check.id for check in _OF_ARTIFACT]
    judges = {check.id: check.judge for check in _OF_ARTIFACT}

    def tell_facts(check: str, facts: Any) -> None:  # noqa: ANN401 - each check has facts of its own
        if check == FILES:
            tell(Told(FILES, files=facts))
            return
        owed[: owed.index(check) + 1] = []
        tell(Told(check, judges[check](facts)))

    try:
        trio.run(examine_registry, situation, tell_facts)
    except BaseException as error:
        known: MkfsError | None = sole(error)
        if known is None or not owed:
            raise
        tell(Told(owed[0], failed(known)))
