"""An error for what a moment will not mend. By itself here, so that whoever decides need not import whoever waits."""

from typing import final

from mkfs.errors import Unreachable


@final
class Hopeless(Unreachable):
    """Unreachable for a reason that a moment will not mend: refused, no such host, a certificate nobody trusts, no HTTP at all."""
