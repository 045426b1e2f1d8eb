"""What ended a process, as one error for a person."""

from mkfs.errors import MkfsError


def is_interrupt(error: BaseException) -> bool:
    """Whether a person pressed Ctrl-C: a `KeyboardInterrupt`, or a group with one."""
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(KeyboardInterrupt) is not None
    return isinstance(error, KeyboardInterrupt)


def sole(error: BaseException) -> MkfsError | None:
    """The `MkfsError` in `error`: itself, or the first one in a group (trio's nurseries group what leaves them); None: a defect."""
    if isinstance(error, MkfsError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := sole(each)) is not None), None)
    return None
