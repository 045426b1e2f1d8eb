"""What is said of disks, proxies, certificates, logins and services. A row for each branch of each judge."""

from collections.abc import Callable
from typing import Any

import pytest

from mkfs.cache.eviction import Disk, Limits
from mkfs.errors import CacheUnusable
from mkfs.service.doctor.finding import Finding, Status
from mkfs.service.doctor.judging.storage import (
    Abilities,
    CacheDirectory,
    Directory,
    FileSystem,
    Room,
    Space,
    State,
    judge_abilities,
    judge_directory,
    judge_file_system,
    judge_own_directory,
    judge_room,
    judge_space,
)
from mkfs.service.doctor.judging.surroundings import (
    LoginFile,
    Manager,
    ProxiesInForce,
    Tls,
    judge_logins,
    judge_manager,
    judge_proxies,
    judge_tls,
    redacted,
)
from mkfs.testing import planted
from mkfs.units import GIB, MIB

OK, WARN, FAIL = Status.OK, Status.WARN, Status.FAIL
PROGRAM = "docker-credential-x"
CACHE = "/var/cache/mkfs"
DISK = Disk(100 * GIB, 50 * GIB, 1000, 900)
FULL = Disk(100 * GIB, 10 * GIB, 1000, 900)
REFUSED = CacheUnusable("cache directory is a symbolic link", CACHE)
Row = tuple[Callable[[Any], Finding], object, Status, str, str, int]


def directory(state: State, may_write: bool = True, error: CacheUnusable | None = None) -> CacheDirectory:
    return CacheDirectory(CACHE, state, "/var/cache", may_write, error)


def abilities(tried: bool = True, direct: bool = True, page_cache: bool = True) -> Abilities:
    return Abilities(CACHE, tried=tried, direct=direct, page_cache=page_cache)


def room(size: int, largest: int, compressed: int = 0, used: int = 0, disk: Disk = DISK, limit: int | None = None) -> Room:
    return Room(size, largest, compressed, 3, used, disk, Limits(size_limit_bytes=limit))


def manager(
    systemd: str = "252", kubernetes: bool = False, root: bool = True, lingers: bool | None = None, is_unit: bool = False
) -> Manager:
    return Manager(systemd, is_unit=is_unit, kubernetes=kubernetes, root=root, lingers=lingers)


# judge, facts, status, words of the finding, words of the remedy, exit code
ROWS: list[Row] = [
    (judge_directory, directory(State.CACHE), OK, CACHE, "", 0),
    (judge_directory, directory(State.EMPTY), OK, "is empty", "", 0),
    (judge_directory, directory(State.MISSING), OK, "made by the first mount", "", 0),
    (judge_directory, directory(State.MISSING, may_write=False), FAIL, "no write permission in /var", "install -d -m 700", 23),
    (judge_directory, directory(State.UNUSABLE, error=REFUSED), FAIL, "symbolic link", "--cache-dir", 23),
    (judge_file_system, FileSystem(CACHE, "ext4"), OK, "on ext4", "", 0),
    (judge_file_system, FileSystem(CACHE, ""), OK, "does not name", "", 0),
    (judge_file_system, FileSystem(CACHE, "tmpfs"), WARN, "in memory", "--cache-dir", 0),
    (judge_file_system, FileSystem(CACHE, "overlay"), WARN, "gone with the container", "-v /var/cache/mkfs", 0),
    (judge_file_system, FileSystem(CACHE, "nfs4"), WARN, "network or user-space", "--cache-dir", 0),
    (judge_file_system, FileSystem(CACHE, "fuse.sshfs"), WARN, "fuse.sshfs", "--cache-dir", 0),
    (judge_abilities, abilities(), OK, "O_DIRECT and RWF_NOWAIT work", "", 0),
    (judge_abilities, abilities(page_cache=False), WARN, "no RWF_NOWAIT", "--cache-dir", 0),
    (judge_abilities, abilities(direct=False), WARN, "no O_DIRECT", "--cache-dir", 0),
    (judge_abilities, abilities(tried=False), WARN, "was not tried", "--cache-dir", 0),
    (judge_space, Space(CACHE, DISK, Limits()), OK, "room for 40.0 GiB (50.0 GiB free, 10.0 GiB stay free), 900 in", "", 0),
    (judge_space, Space(CACHE, DISK, Limits(size_limit_bytes=GIB)), OK, "room for 1.0 GiB", "", 0),
    (judge_space, Space(CACHE, Disk(100 * GIB, 50 * GIB, 0, 0), Limits()), OK, "stay free)", "", 0),
    (judge_space, Space(CACHE, FULL, Limits()), WARN, "10.0 GiB free, 10.0 GiB stay free", "kitfs cache prune", 0),
    (judge_space, Space(CACHE, Disk(100 * GIB, 50 * GIB, 1000, 100), Limits()), WARN, "100 inodes free", "kitfs cache prune", 0),
    (judge_space, Space(CACHE, DISK, Limits(size_limit_bytes=MIB)), FAIL, "too small", "--cache-size", 23),
    (judge_own_directory, Directory("logs", "/l", exists=True, trouble="", option=""), OK, "logs: /l", "", 0),
    (judge_own_directory, Directory("logs", "/l", exists=False, trouble="", option=""), OK, "made when it is needed", "", 0),
    (judge_own_directory, Directory("logs", "/l", exists=False, trouble="no", option="--log-file"), WARN, "no", "--log-file", 0),
    (judge_room, room(30 * GIB, 20 * GIB), OK, "all of it (30.0 GiB) fits", "", 0),
    (judge_room, room(45 * GIB, 20 * GIB), WARN, "push one another out", "make room", 0),
    (judge_room, room(45 * GIB, 20 * GIB, used=10 * GIB), OK, "fits", "", 0),
    (judge_room, room(45 * GIB, 42 * GIB), WARN, "a layer of 42.0 GiB", "--cache-dir", 0),
    (judge_room, room(45 * GIB, 42 * GIB, compressed=41 * GIB), FAIL, "cannot be mounted", "make room", 23),
    (judge_room, room(3 * GIB, GIB, limit=2 * GIB), WARN, "push one another out", "--cache-size", 0),
    (judge_proxies, ProxiesInForce("", "", ()), OK, "no proxy", "", 0),
    (judge_proxies, ProxiesInForce("http://p:3128", "", ("a.test", "b.test")), OK, "http://p:3128; not for a.test, b.test", "", 0),
    (judge_proxies, ProxiesInForce("", f"http://u:{planted.PASSWORD}@p:3128", ()), OK, "https through http://***@p:3128", "", 0),
    (judge_proxies, ProxiesInForce("", f"http://u:{planted.PASSWORD}@:x", ()), FAIL, "HTTPS_PROXY", "export HTTPS_PROXY", 2),
    (judge_proxies, ProxiesInForce("socks5://p:1080", "", ()), FAIL, "HTTP_PROXY is not", "http://HOST:PORT", 2),
    (judge_tls, Tls(True, 144, "/etc/ssl", ""), OK, "144 certificate authorities, from /etc/ssl", "", 0),
    (judge_tls, Tls(True, 0, "/etc/ssl", ""), WARN, "no certificate authorities in /etc/ssl", "ca-certificates", 0),
    (judge_tls, Tls(False, 0, "/etc/ssl", ""), WARN, "not verified", "--ca-file", 0),
    (judge_tls, Tls(True, 0, "/c.pem", "certificates cannot be used"), FAIL, "cannot be used", "SSL_CERT_FILE", 2),
    (judge_logins, (LoginFile("/a"), LoginFile("/b")), OK, "no logins (looked in 2 places)", "", 0),
    (judge_logins, (LoginFile("/a", ("ghcr.io", "h.test/team")),), OK, "/a: ghcr.io, h.test/team", "", 0),
    (judge_logins, (LoginFile("/a", tuple("abcdefghij")),), OK, "h and 2 more", "", 0),
    (judge_logins, (LoginFile("/a", (), (PROGRAM,)),), OK, f"helper {PROGRAM}", "", 0),
    (judge_logins, (LoginFile("/a", (), (PROGRAM,), (PROGRAM,)),), WARN, f"not installed: {PROGRAM}", f"install {PROGRAM}", 0),
    (judge_logins, (LoginFile("/a", trouble="is not JSON"),), WARN, "/a is not JSON", "mend or remove /a", 0),
    (judge_logins, (LoginFile("/a", ("h.test",), open_to_others=True),), WARN, "others may read /a", "chmod 600 /a", 0),
    (judge_manager, manager(""), OK, "no systemd", "", 0),
    (judge_manager, manager(kubernetes=True), OK, "deploy/kubernetes", "", 0),
    (judge_manager, manager(is_unit=True), OK, "systemd 252, and we are a unit", "", 0),
    (judge_manager, manager(root=False, lingers=True), OK, "systemd 252", "", 0),
    (judge_manager, manager(root=False, lingers=False), WARN, "end with the last login", "loginctl enable-linger", 0),
]  # fmt: skip


@pytest.mark.parametrize(("judge", "facts", "status", "words", "remedy", "exit_code"), ROWS)
def test_what_is_found_is_told(
    judge: Callable[[object], Finding], facts: object, status: Status, words: str, remedy: str, exit_code: int
) -> None:
    finding = judge(facts)
    assert (finding.status, words in finding.text, remedy in finding.remedy) == (status, True, True), finding
    assert bool(finding.remedy) is (status is not OK)
    assert finding.exit_code == exit_code
    assert not planted.is_in(f"{finding!r} {facts!r}".encode())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://p:3128", "http://p:3128"),
        ("p:3128", "http://p:3128"),
        ("https://u@p", "https://***@p"),
        ("http://u:w@[::1]:8080/path?query", "http://***@[::1]:8080"),
        ("http://u:w/slash@p:1", "not a URL"),
        ("http://", "not a URL"),
        ("http://p:port", "not a URL"),
    ],
)
def test_a_proxys_password_is_not_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown
