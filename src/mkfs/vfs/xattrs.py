"""Extended attributes: what an inode's bytes are and what they rest on, for whoever asks with `getfattr`.

user.mkfs.digest         the manifest's digest: of everything in the tree
user.mkfs.layer.digest   the layer that a file lies in; no such attribute where its content came with the config
user.mkfs.proof          what a read rests on: a value of `proof.policy.Trust`, such as `own` or `layer digest`
user.mkfs.proven_bytes   how many of the file's bytes are here, decimal
"""

import errno
from typing import Final

from mkfs.errors import FileSystemError
from mkfs.proof.policy import Trust
from mkfs.ranges import ByteRange
from mkfs.tree.nodes import File, Node
from mkfs.vfs.forest import Planted

DIGEST: Final = b"user.mkfs.digest"
LAYER_DIGEST: Final = b"user.mkfs.layer.digest"
PROOF: Final = b"user.mkfs.proof"
PROVEN_BYTES: Final = b"user.mkfs.proven_bytes"


def names(node: Node) -> tuple[bytes, ...]:
    """The attributes that `node` has."""
    if not isinstance(node, File):
        return (DIGEST,)
    return (DIGEST, PROOF, PROVEN_BYTES) if node.layer is None else (DIGEST, LAYER_DIGEST, PROOF, PROVEN_BYTES)


async def value(planted: Planted, node: Node, name: bytes) -> bytes:
    """The value of attribute `name`. Raises `FileSystemError` ENODATA for one that `node` does not have."""
    if name not in names(node):
        raise FileSystemError(errno.ENODATA, f"no attribute {name[:80]!r}")
    if name == DIGEST or not isinstance(node, File):
        return str(planted.digest).encode()
    if node.layer is None:  # the manifest's digest covers the config, which was checked at mount
        return Trust.OWN.value.encode() if name == PROOF else b"%d" % node.size_bytes
    layer = planted.layers[node.layer]
    ranges = [ByteRange(each.layer_offset, each.layer_offset + each.length) for each in node.extents] or [ByteRange(0, 0)]
    facts = [await layer.facts(wanted) for wanted in ranges]
    if name == PROVEN_BYTES:
        return b"%d" % sum(each.proven_bytes for each in facts)
    return (str(facts[0].layer) if name == LAYER_DIGEST else facts[0].trust.value).encode()
