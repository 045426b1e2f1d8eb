"""What is a descriptor to be served, and what is none. That one is served, tests/system shows."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.errors import Busy, FuseUnavailable, MountpointUnusable
from mkfs.fuse.handover import Handed, check_descriptor, descriptor_of, device_of, mount_to_hand_over
from mkfs.fuse.kernel import unmount
from mkfs.fuse.mountinfo import mount_at
from tests.support.mounting import wait_for


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/dev/fd/3", 3),
        ("/dev/fd/65536", 65536),
        ("/dev/fd/", None),
        ("/dev/fd/x", None),
        ("/dev/fd/-1", None),
        ("/dev/fd/3/4", None),
        ("/dev/fd/9999999999", None),
        ("/dev/fd/٣", None),
        ("dev/fd/3", None),
        ("/mnt/dev/fd/3", None),
    ],
)
def test_a_place_is_a_descriptor_only_in_the_form_that_libfuse_knows(path: str, number: int | None) -> None:
    assert descriptor_of(Path(path)) == number


@contextmanager
def handed(place: Path, **others: object) -> Iterator[int]:
    """A mount at `place` that nobody serves."""
    descriptor = mount_to_hand_over(Handed(place, 1234, 5678, **others))
    try:
        yield descriptor
    finally:
        os.close(descriptor)
        if mount_at(place) is not None:
            unmount(place, lazy=True)


def state_of(descriptor: int) -> int:
    """What poll(2) says of it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return dict(poll.poll(0)).get(descriptor, 0)


@pytest.mark.fuse
def test_a_mount_is_made_as_a_mount_of_ours_is(tmp_path: Path) -> None:
    with handed(tmp_path, name="host/llama:7b, of ours@sha256:0") as descriptor:
        mount = mount_at(tmp_path)
        assert mount is not None
        assert mount.ours
        assert mount.source == "host/llama:7b, of ours@sha256:0"
        assert {"ro", "user_id=1234", "group_id=5678", "default_permissions", "allow_other"} <= set(mount.options)
        assert device_of(descriptor) in (mount.device, "")
        assert not os.get_inheritable(descriptor)


@pytest.mark.fuse
def test_a_mount_for_one_user_is_for_nobody_else(tmp_path: Path) -> None:
    with handed(tmp_path, allow_other=False):
        mount = mount_at(tmp_path)
        assert mount is not None
        assert "allow_other" not in mount.options


@pytest.mark.fuse
def test_a_descriptor_can_be_served_from_mount_to_unmount_once(tmp_path: Path) -> None:
    with handed(tmp_path) as descriptor:
        check_descriptor(descriptor)
        check_descriptor(descriptor)  # looking takes nothing
        os.read(descriptor, 1 << 20)  # the greeting
        with pytest.raises(MountpointUnusable, match="another process has served"):
            check_descriptor(descriptor)
        unmount(tmp_path)
        wait_for(lambda: bool(state_of(descriptor) & select.POLLERR))  # the namespace of a test beside this one may show it still
        with pytest.raises(MountpointUnusable, match="nothing is mounted"):
            check_descriptor(descriptor)


@pytest.mark.fuse
def test_a_device_that_nothing_was_mounted_with_is_no_mount() -> None:
    with open("/dev/fuse", "r+b", buffering=0) as device:
        assert device_of(device.fileno()) == ""
        with pytest.raises(MountpointUnusable, match="nothing is mounted"):
            check_descriptor(device.fileno())


def test_other_descriptors_are_named(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(MountpointUnusable, match=f"got {tmp_path}/file"):
        check_descriptor(file.fileno())
    with pytest.raises(MountpointUnusable, match="not open"):
        check_descriptor(65535)


@pytest.mark.fuse
def test_what_cannot_be_mounted_on_leaves_no_descriptor(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))  # of which garbage of earlier tests may be closed meanwhile
    (tmp_path / "file").touch()
    for place, error in ((tmp_path, MountpointUnusable), (tmp_path / "none", MountpointUnusable), (Path("/proc"), Busy)):
        with pytest.raises(error):
            mount_to_hand_over(Handed(place, 0, 0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FuseUnavailable, match="Invalid argument"):
        mount_to_hand_over(Handed(tmp_path / "empty", 2**32 - 1, 0))  # no user has that number
    assert set(os.listdir("/proc/self/fd")) <= before
