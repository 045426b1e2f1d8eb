"""What ended a process, as one error for a person."""

from mkfs.errors import MkfsError


def sole(error: BaseException) -> MkfsError | None:
    """The `MkfsError` in `error`: itself, or the first one in a group (trio's nurseries group what leaves them); None: a defect."""
    if isinstance(error, MkfsError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := sole(each)) is not None), None)
    return None
