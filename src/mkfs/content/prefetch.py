"""How far readahead goes: a word that commands, settings and layers share, so it imports nothing."""

from enum import Enum
from typing import final


@final
class Prefetch(Enum):
    """What is fetched before somebody asks for it."""

    NONE = "none"
    SEQUENTIAL = "sequential"  # where reads follow each other
    MODEL = "model"  # by the tensors of model files, and from shard to shard, too
