"""The ways in which model loaders read, each as a small program over a directory of model files: sizes, orders, calls and threads.

A way reads through a `Take`, which is told of every piece as it comes: where it stands in which file, and its bytes. So what is
timed counts bytes, and a test sees that each way reads what it says, and where.
"""

from bench.ways.catalogue import WAYS, Way
from bench.ways.common import Take

__all__ = ["WAYS", "Take", "Way"]
