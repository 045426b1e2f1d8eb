"""What requests came to is counted."""

import errno

import pyfuse3
import pytest

from mkfs.errors import Mismatch
from mkfs.fuse.operations import Operations
from mkfs.fuse.requests import ERRORS, OPERATIONS, OTHER, Requests
from mkfs.vfs.attributes import Ownership
from mkfs.vfs.forest import Forest
from mkfs.vfs.model_fs import ModelFS
from tests.support.fake_layers import BrokenLayer, MemoryLayer
from tests.support.trees import Part, grow

CTX = pyfuse3.RequestContext()


@pytest.fixture
def operations() -> Operations:
    parts = {
        b"now": Part(9000, MemoryLayer(bytes(9000))),
        b"damaged": Part(100, BrokenLayer(Mismatch("content does not match its digest"))),
    }
    forest = Forest()
    forest.plant(*grow(parts))
    return Operations(ModelFS(forest, Ownership(1000, 100)), read_timeout_seconds=300)


async def open_file(operations: Operations, name: bytes) -> int:
    return (await operations.open((await operations.lookup(1, name, CTX)).st_ino, 0, CTX)).fh


def counts(operations: Operations) -> dict[str, int]:
    return {f"{name} {result}": count for (name, result), count in operations.requests.snapshot().answers.items() if count}


@pytest.mark.logs("a reader gets EIO")
async def test_each_request_is_counted_once_by_what_came_of_it(operations: Operations) -> None:
    handle = await open_file(operations, b"now")
    await operations.lookup(1, b"nothing", CTX)
    await operations.read(handle, 0, 4096)
    await operations.release(handle)
    for broken in (
        operations.read(await open_file(operations, b"damaged"), 0, 1),
        operations.getattr(2**41, CTX),
        operations.getxattr(1, b"user.x", CTX),
        operations.releasedir(99),
    ):
        with pytest.raises(pyfuse3.FUSEError):
            await broken
    assert counts(operations) == {
        "lookup ok": 2,
        "lookup ENOENT": 1,
        "open ok": 2,
        "read ok": 1,
        "read EIO": 1,
        "release ok": 1,
        "getattr ESTALE": 1,
        "getxattr ENOSYS": 1,
        "releasedir EBADF": 1,
    }


async def test_reads_are_counted_by_how_much_they_got(operations: Operations) -> None:
    handle = await open_file(operations, b"now")
    for offset, length in ((0, 4096), (0, 4097), (8999, 4096), (9000, 4096)):
        await operations.read(handle, offset, length)
    told = operations.requests.snapshot().read_size_bytes
    assert (told.counts[:2], told.total) == ((3, 1), 4096 + 4097 + 1)


def test_every_request_that_is_answered_has_a_name() -> None:
    answered = {name for name in vars(Operations) if hasattr(pyfuse3.Operations, name) and not name.startswith("_")}
    assert answered - {"init", "supports_dot_lookup", "enable_writeback_cache"} == set(OPERATIONS)


def test_an_error_nobody_thought_of_makes_no_label_of_its_own() -> None:
    requests = Requests()
    requests.refused("read", errno.EXDEV)
    requests.refused("read", 99999)
    assert requests.snapshot().answers[("read", OTHER)] == 2
    assert all(hasattr(errno, name) for name in ERRORS)
