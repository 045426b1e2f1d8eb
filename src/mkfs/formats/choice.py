"""What somebody wants of an artifact: said once, on the command line, and needed wherever it is planned."""

from typing import Final, final

from msgspec import Struct

from mkfs.formats.filters import Filter
from mkfs.formats.selection import Labels


@final
class Choice(Struct, frozen=True):
    """`filters`: what any of them wants; everything where there is none. `reference_hosts`: registries (`host[:port]`) to which
    an artifact may lead us though it is at another. `labels`: which artifact of an index; `architecture`: of this machine, as an
    index calls it, "" where it does not matter.
    """

    filters: tuple[Filter, ...] = ()
    reference_hosts: frozenset[str] = frozenset()
    labels: Labels = ()
    architecture: str = ""


EVERYTHING: Final = Choice()
