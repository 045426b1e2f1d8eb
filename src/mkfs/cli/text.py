"""Text for a terminal."""

from mkfs.errors import printable

__all__ = ["printable"]
