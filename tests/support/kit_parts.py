"""Parts of a kit by the names a user sees, and a mounted directory compared with all of them."""

import os
from hashlib import sha256
from pathlib import Path

from mkfs.testing.bodies import BlobBody
from mkfs.testing.kit_layers import Layer
from mkfs.testing.kits import Kit, expected_tree


def layer_at(kit: Kit, path: str) -> Layer:
    """The layer that the Kitfile names with `path`."""
    return next(layer for layer in kit.layers if layer.wanted.path == path)


def content_of(kit: Kit, path: str) -> BlobBody:
    """The bytes of the file at `path`, as the builder packed them."""
    wanted = os.fsencode(path)
    return next(
        member.body for layer in kit.layers for member in layer.members if member.path == wanted and member.body is not None
    )


def names_of(kit: Kit) -> list[str]:
    """Every path that `kit unpack` writes, sorted."""
    return sorted(os.fsdecode(entry.path) for entry in expected_tree(kit))


def wrong_files(place: Path, kit: Kit) -> list[str]:
    """Reads every file of `kit` at `place` to its end; the paths with other bytes than were packed. Raises what the kernel says."""
    wrong = []
    for entry in expected_tree(kit):
        path = os.fsdecode(entry.path)
        if entry.sha256 and sha256((place / path).read_bytes()).hexdigest() != entry.sha256:
            wrong.append(path)
    return wrong
