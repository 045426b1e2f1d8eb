"""What somebody wants of an artifact: said once, on the command line, and needed wherever it is planned."""

from dataclasses import dataclass
from typing import Final, final

from mkfs.formats.filters import Filter


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """The filters of `--filter`: what any of them wants; everything where there is none."""

    filters: tuple[Filter, ...] = ()


EVERYTHING: Final = Choice()
