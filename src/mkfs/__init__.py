"""mkfs: mount remote model artifacts, read-only, lazily, with every byte proven before it is served."""

from typing import Final

__version__: Final = "0.1.0"
__all__ = ["__version__"]
