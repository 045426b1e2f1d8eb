"""An unpacker of plans that shares no code with ours: Python's tarfile, gzip and a dictionary of paths, as a tool would write."""

import gzip
import io
import posixpath
import tarfile
from collections.abc import Callable, Iterator

from backports import zstd

from mkfs.formats.plan import Plan, PlannedLayer, RawLayer
from mkfs.oci.digest import Digest
from tests.support import golden
from tests.support.golden import ExpectedEntry

Listing = dict[str, ExpectedEntry]


def unpacked(plan: Plan, blob: Callable[[Digest], bytes]) -> list[ExpectedEntry]:
    """Every path the plan writes into an empty directory, sorted, as `golden.expected` lists them. `blob` gives a layer's bytes."""
    tree: Listing = {}
    for file in plan.files:
        _add_file(tree, file.path.decode(), file.mode, file.data)
    for layer in plan.layers:
        for path, mode, data in _members(layer, blob(layer.descriptor.digest)):
            if data is None:
                _add_directories(tree, posixpath.dirname(path))
                tree.setdefault(path, {"path": path, "mode": f"{mode:04o}", "type": "dir"})
            else:
                _add_file(tree, path, mode, data)
    return [tree[path] for path in sorted(tree)]


def _add_directories(tree: Listing, path: str) -> None:
    while path:
        tree.setdefault(path, {"path": path, "mode": "0755", "type": "dir"})
        path = posixpath.dirname(path)


def _add_file(tree: Listing, path: str, mode: int, data: bytes) -> None:
    assert path not in tree, f"{path} is claimed twice"
    _add_directories(tree, posixpath.dirname(path))
    tree[path] = {"path": path, "mode": f"{mode:04o}", "type": "file", "size": len(data), "sha256": golden.sha256(data)}


def uncompressed(layer: PlannedLayer, data: bytes) -> bytes:
    """The content of a layer that is stored as `data`."""
    return {"": bytes, "gzip": gzip.decompress, "zstd": _zstandard}[layer.reading.compression](data)


def _zstandard(data: bytes) -> bytes:
    """What it decompresses to. Go's writer makes nothing at all of nothing."""
    return zstd.decompress(data) if data else b""


def _members(layer: PlannedLayer, data: bytes) -> Iterator[tuple[str, int, bytes | None]]:
    """Path, mode and content (None for directories) of each thing in a layer."""
    data = uncompressed(layer, data)
    if isinstance(layer.reading, RawLayer):
        yield layer.reading.path.decode(), layer.reading.mode, data
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            path = posixpath.normpath(posixpath.join(layer.reading.prefix.decode(), member.name))
            if path != ".":
                yield path, member.mode, None if content is None else content.read()
