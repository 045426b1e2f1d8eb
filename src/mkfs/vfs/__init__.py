"""A file system without FUSE: lookup, getattr, readdir, open, read over immutable trees. No FUSE types, no tasks, and
no clock but the one handed in, by which waits are measured.

Atomic between checkpoints: everything but `ModelFS.read`, which counts itself in before its first await and out after its last. A
handle is looked up before the first await and kept, so a release that overtakes a waiting read takes nothing from it.
"""
