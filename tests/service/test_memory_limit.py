"""How much memory we may use, from files as machines have them."""

import pytest

from mkfs.service.memory_limit import limit_files, memory_limit
from mkfs.units import GIB, MIB

Files = dict[str, str]
TOTAL = {"/proc/meminfo": "MemTotal:       24684084 kB\nMemFree:         1134116 kB\n"}
TOTAL_BYTES = 24684084 * 1024

# A service of systemd on a machine with version 2 alone.
UNIFIED = {
    "/proc/self/cgroup": "0::/system.slice/kitfs@llama.service\n",
    "/proc/self/mountinfo": "34 25 0:29 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
    "/sys/fs/cgroup/system.slice/memory.max": "max\n",
    "/sys/fs/cgroup/system.slice/memory.high": "max\n",
    "/sys/fs/cgroup/system.slice/kitfs@llama.service/memory.max": "2147483648\n",
    "/sys/fs/cgroup/system.slice/kitfs@llama.service/memory.high": "max\n",
}
# A pod under version 2, in its own cgroup namespace: it sees itself as the root.
POD = {
    "/proc/self/cgroup": "0::/\n",
    "/proc/self/mountinfo": "1554 1553 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n",
    "/sys/fs/cgroup/memory.max": "536870912\n",
    "/sys/fs/cgroup/memory.high": "268435456\n",
}
# A container of docker under version 1, without a cgroup namespace: the mount shows a part, the path is the host's.
OLD_CONTAINER = {
    "/proc/self/cgroup": (
        "12:cpu,cpuacct:/docker/0f1e\n11:memory:/docker/0f1e\n2:freezer:/docker/0f1e\n1:name=systemd:/docker/0f1e\n0::/system.slice\n"
    ),
    "/proc/self/mountinfo": (
        "690 689 0:30 /docker/0f1e /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
        "691 689 0:33 /docker/0f1e /sys/fs/cgroup/memory ro,nosuid master:18 - cgroup cgroup rw,memory\n"
    ),
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
}
# Version 1 beside an empty version 2, nested cgroups, nothing limited: as large as a number of pages gets.
HYBRID = {
    "/proc/self/cgroup": "9:name=systemd:/\n4:memory:/process_api/433d\n1:cpu:/\n0::/\n",
    "/proc/self/mountinfo": (
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    ),
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "/sys/fs/cgroup/memory/process_api/memory.limit_in_bytes": "9223372036854771712\n",
    "/sys/fs/cgroup/memory/process_api/433d/memory.limit_in_bytes": "9223372036854771712\n",
}


def limit_of(files: Files) -> int | None:
    def read(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    return memory_limit(read)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (UNIFIED, 2 * GIB),
        (UNIFIED | {"/sys/fs/cgroup/system.slice/memory.max": "1073741824\n"}, GIB),
        (POD, 256 * MIB),
        (OLD_CONTAINER, GIB),
        (HYBRID, TOTAL_BYTES),
        (HYBRID | {"/sys/fs/cgroup/memory/process_api/memory.limit_in_bytes": "4194304\n"}, 4 * MIB),
        (UNIFIED | {"/proc/self/cgroup": "0::/../elsewhere\n", "/sys/fs/cgroup/memory.max": "1024\n"}, 1024),
        ({}, TOTAL_BYTES),
        ({"/proc/self/cgroup": "nonsense\n::\n5:memory\n", "/proc/self/mountinfo": "\n"}, TOTAL_BYTES),
        (POD | {"/sys/fs/cgroup/memory.high": "many\n", "/sys/fs/cgroup/memory.max": ""}, TOTAL_BYTES),
    ],
)
def test_the_least_limit_of_the_cgroup_those_above_it_and_the_machine_holds(files: Files, expected: int) -> None:
    assert limit_of(TOTAL | files) == expected


def test_without_any_file_nothing_is_known() -> None:
    assert limit_of({}) is None


def test_own_limits_are_looked_at_before_those_above() -> None:
    files = list(limit_files(UNIFIED["/proc/self/cgroup"], UNIFIED["/proc/self/mountinfo"].encode()))
    assert files[0] == "/sys/fs/cgroup/system.slice/kitfs@llama.service/memory.max"
    assert files[-1] == "/sys/fs/cgroup/memory.high"


def test_this_machine_has_a_limit_of_some_kind() -> None:
    assert (memory_limit() or 0) > MIB
