"""The start of a file as far as it is known: what the parsers read, and the two ways in which they end without an answer."""

from typing import Final, final

from mkfs.units import MIB

# A vocabulary of 256,000 tokens with twice as many merges comes to some 16 MiB of GGUF, 130,000 tensors to as much safetensors (its
# crate goes up to 100 MB). Whoever asks holds these bytes in memory, and one parser copies them.
HEADER_LIMIT_BYTES: Final = 32 * MIB
# Tensors, key-value pairs and arrays in arrays of one file: each costs a microsecond, a tensor up to 300 bytes while it is parsed.
# Kimi K2 (61 layers of 384 experts, three weights and their scales each) has 140,000 tensors in 61 files.
ITEMS_LIMIT: Final = 2**17


@final
class Short(Exception):
    """The file has to be known up to `stop`, exclusive. `whole`: that is all of the header; otherwise there is more behind."""

    def __init__(self, stop: int, *, whole: bool = False) -> None:
        super().__init__(stop)
        self.stop, self.whole = stop, whole


@final
class Senseless(Exception):
    """No file of this format says such a thing."""
