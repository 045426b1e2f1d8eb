"""Artifacts mounted by the real mount(8), from its command line and from lines of fstab, and unmounted by the real umount(8)."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mkfs.testing.access import Basic
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kit_layers import File
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.documents import ROOT
from tests.support.mount8 import Mount8, mount8
from tests.support.mounting import Shell, ended
from tests.support.namespaces import NOBODY

pytestmark = pytest.mark.fuse

KIT = (
    KitBuilder("kit", seed=9)
    .model("weights.bin", 2 * MIB)
    .docs("README.md", b"# hi\n")
    .code("run.sh", File(b"#!/bin/sh\necho ran\n", mode=0o755))
    .build()
)
PASSWORD = "pl4nted horse"
USAGE, SYSTEM, INTERRUPTED, FAILED = 1, 2, 8, 32  # mount(8), "EXIT STATUS"


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("team/kit", "1", KIT.manifest, KIT.blobs)
    return f"{server.host}/team/kit:1"


@pytest.fixture
def bare(shell: Shell) -> Iterator[Mount8]:
    """A machine without the helper."""
    with mount8(shell) as system:
        yield system


@pytest.fixture
def system(bare: Mount8) -> Mount8:
    """A machine with the helper, installed as anybody would."""
    ran = bare.run(*bare.shell.words("install-helper"))
    assert (ran.exit_code, len(ran.stdout.splitlines())) == (0, 2), ran
    return bare


def line(reference: str, place: Path, options: str, kind: str = "fuse.kitfs") -> str:
    """A line of fstab."""
    return f"{reference} {str(place).replace(' ', chr(92) + '040')} {kind} {options} 0 0\n"


def test_a_line_of_fstab_is_mounted_and_unmounted(system: Mount8, reference: str) -> None:
    place = system.shell.new_place("with space")
    log = system.shell.home / "daemon.log"
    options = f"ro,_netdev,nofail,x-systemd.automount,cache_size=20GiB,tag-ttl=5min,log_file={log}"
    system.fstab.write_text(line(reference, place, options))
    ran = system.run("mount", place)
    assert (ran.exit_code, ran.stdout) == (0, ""), ran
    name = f"{reference}@{KIT.manifest_digest}"
    assert ran.lines == [f"{name} mounted at {place}"]
    source, kind, flags = system.find(place)
    assert (source, kind) == (name, "fuse.kitfs")
    assert {"ro", "nosuid", "nodev", "allow_other"} <= set(flags.split(","))
    assert system.read(place / "README.md") == "# hi\n"
    assert "mounted" in log.read_text()
    system.umount(place)


@pytest.mark.parametrize("written", [r"filter=docs\,kitfile", 'filter="docs,kitfile"', r"filter=docs\134,kitfile"])
def test_a_comma_in_an_option_of_fstab_is_kept(system: Mount8, reference: str, written: str) -> None:
    place = system.shell.new_place()
    table = system.shell.home / "another"
    table.write_text(line(reference, place, f"{written},nofail"))
    assert system.run("mount", "-T", table, place).exit_code == 0
    assert system.run("ls", place).stdout.split() == ["Kitfile", "README.md"]
    system.umount(place)


def test_all_of_fstab_can_be_mounted_again_and_again(system: Mount8, reference: str) -> None:
    one, two = system.shell.new_place("one"), system.shell.new_place("two")
    config = system.shell.home / "of the line.toml"
    config.write_text(f'[alias]\nhome = "{reference.partition("/")[0]}"\n')
    pinned = f"{reference}@{KIT.manifest_digest}"
    named = f"defaults,config={str(config).replace(' ', chr(92) + '040')}"
    system.fstab.write_text(line("home/team/kit:1", one, named) + line(pinned, two, "ro,_netdev", "kitfs"))
    assert system.run("mount", "-a").exit_code == 0
    daemons = system.daemons()
    assert len(daemons) == 2
    again = system.run("mount", "-a")
    assert (again.exit_code, system.daemons()) == (0, daemons), again
    assert again.lines == [f"{pinned} is mounted at {one} already"]  # the other one, mount(8) sees by itself
    assert [system.find(place)[1] for place in (one, two)] == ["fuse.kitfs", "fuse.kitfs"]
    system.umount(one, two)


def test_a_place_where_something_else_is_mounted_is_not_covered(system: Mount8, reference: str, registry: MemoryRegistry) -> None:
    registry.push("team/kit", "2", KIT.manifest, KIT.blobs)
    place = system.shell.new_place()
    assert system.run("mount", "-t", "fuse.kitfs", reference, place).exit_code == 0
    ran = system.run("mount", "-t", "fuse.kitfs", reference.replace(":1", ":2"), place)
    assert (ran.exit_code, "already a mount point" in ran.stderr) == (FAILED, True), ran
    system.umount(place)
    assert system.run("mount", "-t", "tmpfs", "none", place).exit_code == 0
    assert system.run("mount", "-t", "fuse.kitfs", reference, place).exit_code == FAILED
    assert system.run("umount", place).exit_code == 0


def test_what_a_dead_daemon_left_is_mounted_anew(system: Mount8, reference: str) -> None:
    place = system.shell.new_place()
    system.fstab.write_text(line(reference, place, "ro"))
    assert system.run("mount", "-a").exit_code == 0
    [daemon] = system.daemons()
    os.kill(daemon, signal.SIGKILL)
    assert ended(daemon)
    assert system.run("mount", "-a").exit_code == 0
    assert system.read(place / "README.md") == "# hi\n"
    system.umount(place)


def test_remounting_is_refused_and_changes_nothing(system: Mount8, reference: str) -> None:
    place = system.shell.new_place()
    system.fstab.write_text(line(reference, place, "ro"))
    assert system.run("mount", place).exit_code == 0
    before = system.find(place)
    for words in (("mount", "-o", "remount,ro", place), ("mount", "-o", "remount,rw,xattr", place)):
        ran = system.run(*words)
        assert (ran.exit_code, ran.lines[0]) == (USAGE, "Error: option 'remount' is not possible"), ran
    assert system.find(place) == before
    system.umount(place)


def test_a_line_for_users_runs_no_program_unless_it_says_so(system: Mount8, reference: str) -> None:
    for options, runs in (("user", False), ("user,exec", True), ("noexec", False), ("defaults", True)):
        place = system.shell.new_place(options)
        system.fstab.write_text(line(reference, place, f"ro,{options}"))
        assert system.run("mount", place).exit_code == 0
        assert ("noexec" in system.find(place)[2].split(",")) is not runs
        ran = system.run(place / "run.sh")
        assert (ran.exit_code == 0, "ran\n" in ran.stdout) == (runs, runs), ran
        system.umount(place)


def test_where_the_registry_is_gone_mount_says_so_and_nofail_does_not_hide_it(system: Mount8, registry: MemoryRegistry) -> None:
    place = system.shell.new_place()
    system.fstab.write_text(line("127.0.0.1:1/team/kit:1", place, "ro,_netdev,nofail"))
    ran = system.run("mount", "-a")
    assert (ran.exit_code, len(ran.lines) <= 3, ran.stderr.startswith("Error: ")) == (FAILED, True, True), ran
    assert system.find(place) == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("cache_sise=1GiB", USAGE, "unknown option 'cache_sise' (did you mean 'cache_size'?)"),
        ("cache_size=lots", USAGE, "'--cache-size': not a size: 'lots'"),
        ("foreground", USAGE, "option 'foreground' is not possible"),
        ("env.LD_PRELOAD=/evil.so", USAGE, "env.LD_PRELOAD cannot be set"),
        ("config=/nowhere/config.toml", USAGE, "config file cannot be read"),
        ("filter=none", USAGE, "none"),
    ],
)
def test_what_is_off_in_a_line_is_named_in_three_lines(
    system: Mount8, reference: str, registry: MemoryRegistry, options: str, code: int, said: str
) -> None:
    place = system.shell.new_place()
    system.fstab.write_text(line(reference, place, options))
    ran = system.run("mount", place)
    assert (ran.exit_code, said in ran.lines[0], len(ran.lines) <= 3) == (code, True, True), ran
    assert (registry.requests(), system.ended()) == ((), True)


def test_sloppy_passes_over_what_nobody_knows(system: Mount8, reference: str) -> None:
    place = system.shell.new_place()
    assert system.run("mount", "-s", "-t", "fuse.kitfs", "-o", "qqqq=1", reference, place).exit_code == 0
    system.umount(place)


def test_a_missing_artifact_or_place_has_failed(system: Mount8, reference: str) -> None:
    place = system.shell.new_place()
    ran = system.run("mount", "-t", "kitfs", f"{reference}.missing", place)
    assert (ran.exit_code, len(ran.lines) <= 3) == (FAILED, True), ran
    ran = system.run("mount", "-t", "kitfs", reference, place / "missing")
    assert (ran.exit_code, "No such file" in ran.lines[0]) == (FAILED, True), ran


def test_without_the_device_it_is_the_systems_fault(system: Mount8, reference: str) -> None:
    place = system.shell.new_place()
    devices = system.shell.new_place("dev")
    (devices / "null").touch()
    hide = 'mount --bind /dev/null "$1/null"; mount --rbind "$1" /dev; exec mount -t fuse.kitfs "$2" "$3"'
    ran = system.run("sh", "-euc", hide, "sh", devices, reference, place)
    assert (ran.exit_code, "/dev/fuse" in ran.lines[0], len(ran.lines)) == (SYSTEM, True, 3), ran


def test_a_fake_mount_checks_the_line_and_asks_nobody(system: Mount8, reference: str, registry: MemoryRegistry) -> None:
    place = system.shell.new_place()
    fake = ("mount", "-f", "-t", "fuse.kitfs")
    assert system.run(*fake, "-o", "cache_size=1GiB", reference, place).exit_code == 0
    assert (registry.requests(), system.find(place), system.daemons()) == ((), [], [])
    for words in (("-o", "cache_size=lots", reference), ("-o", "qqqq", reference), ("no reference",)):
        ran = system.run(*fake, *words, place)
        assert (ran.exit_code, 1 <= len(ran.lines) <= 3) == (USAGE, True), ran


def test_a_verbose_mount_shows_the_command_it_comes_to(system: Mount8, reference: str) -> None:
    place = system.shell.new_place("a b")
    options = "ro,xattr,filter=docs,env.MKFS_TAG_TTL=1h"
    ran = system.run("mount", "-v", "-f", "-t", "fuse.kitfs", "-o", options, reference, place)
    assert ran.lines == [f"kitfs mount --xattr --filter=docs -- {reference} '{place}'"]


def test_variables_of_a_line_reach_the_mount(system: Mount8, reference: str, registry: MemoryRegistry) -> None:
    place, cache = system.shell.new_place(), system.shell.home / "another cache"
    options = rf"env.MKFS_CACHE_DIR={str(cache).replace(' ', chr(92) + '040')},env.MKFS_TAG_TTL=1h"
    system.fstab.write_text(line(reference, place, options))
    assert system.run("mount", place).exit_code == 0
    assert cache.is_dir()
    system.umount(place)


def test_without_home_and_path_as_systemd_runs_it_everything_has_its_place(system: Mount8, reference: str) -> None:
    place = system.shell.new_place()
    for directory in ("/var/cache", "/var/log"):
        assert system.run("mount", "-t", "tmpfs", "none", directory).exit_code == 0
    system.fstab.write_text(line(reference, place, "ro,_netdev"))
    ran = system.run("/usr/bin/env", "-i", shutil.which("mount") or "mount", place, environment={})
    assert ran.exit_code == 0, ran
    assert system.read(place / "README.md") == "# hi\n"
    assert system.run("ls", "/var/cache", "/var/log").stdout.split() == ["/var/cache:", "mkfs", "/var/log:", "mkfs"]
    [log] = system.run("sh", "-c", "ls /var/log/mkfs/*").stdout.split()
    daemon = int(system.read(Path(log)).rpartition(" pid ")[2].split()[0])
    assert system.run("umount", place).exit_code == 0
    assert ended(daemon)


@pytest.mark.parametrize("kind", [("-t", "fuse.kitfs"), ("-t", "kitfs"), ()])
def test_without_helper_or_type_mount_says_what_the_page_says(bare: Mount8, kind: tuple[str, ...]) -> None:
    page = (ROOT / "docs" / "SYSTEMD.md").read_text().partition("## When it does not work")[2]
    ran = bare.run("mount", *kind, "ghcr.io/acme/llama:7b", bare.shell.new_place(), environment={"LC_ALL": "C"})
    assert ran.exit_code == FAILED
    assert any(words in ran.stderr for words in re.findall(r"`([^`]+)`", page)), ran


_FOR_NOBODY = """
mount -t tmpfs -o mode=1777 none /mnt
mknod -m 666 /mnt/fuse c 10 229
mount --bind /mnt/fuse /dev/fuse
for closed; do
    room=$(mktemp -d -p /mnt)
    mkdir "$room/upper" "$room/work"
    mount -t overlay -o "lowerdir=$closed,upperdir=$room/upper,workdir=$room/work" none "$closed"
    chmod o+x "$closed"
done
"""


def closed_on_the_way(*paths: Path) -> list[Path]:
    """The directories on the way to `paths` that others may not pass, the outermost first."""
    ways = {parent for path in paths for parent in path.parents}
    return sorted(parent for parent in ways if not parent.stat().st_mode & 0o001)


def test_a_line_for_users_is_mounted_and_unmounted_by_one(system: Mount8, reference: str) -> None:
    closed = closed_on_the_way(Path(sys.executable), Path(sys.executable).resolve(), Path(__file__))
    assert system.run("sh", "-euc", _FOR_NOBODY, "sh", *closed).exit_code == 0
    place, log = Path("/mnt/place"), Path("/mnt/nobody.log")
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")
    assert system.run(*user, "mkdir", place).exit_code == 0
    system.fstab.chmod(0o644)
    system.fstab.write_text(line(reference, place, f"noauto,user,cache_dir=/mnt/cache,log_file={log}"))
    ran = system.run(*user, "mount", place, environment={"PATH": "/usr/bin:/bin"})
    assert ran.exit_code == 0, ran
    assert {f"user_id={NOBODY}", "ro", "noexec"} <= set(system.find(place)[2].split(","))
    assert system.run(*user, "cat", place / "README.md").stdout == "# hi\n"
    assert system.run("cat", place / "README.md").exit_code, "not even root, without allow_other"
    daemon = int(system.read(log).rpartition(" pid ")[2].split()[0])
    assert system.run(*user, "umount", place).exit_code == 0
    assert ended(daemon)


def test_a_helper_for_credentials_is_found_though_nobody_says_a_path(
    system: Mount8, reference: str, registry: MemoryRegistry
) -> None:
    registry.access = Basic({"ada": PASSWORD})
    programs, place = system.shell.new_place("bin"), system.shell.new_place()
    ring = programs / "docker-credential-ring"
    ring.write_text(f'#!/bin/sh\necho \'{{"Username": "ada", "Secret": "{PASSWORD}"}}\'\n')
    ring.chmod(0o755)
    assert system.run("mount", "--bind", programs, "/usr/local/bin").exit_code == 0
    system.shell.docker_config.write_text('{"credsStore": "ring"}')
    system.fstab.write_text(line(reference, place, f"plain_http,env.DOCKER_CONFIG={system.shell.docker_config.parent}"))
    ran = system.run("mount", place, environment={"MKFS_CONFIG": str(system.shell.config)})
    assert (ran.exit_code, PASSWORD in ran.stderr) == (0, False), ran
    system.umount(place)


def test_where_only_libfuses_helper_is_installed_it_finds_kitfs_where_everybody_does(bare: Mount8, reference: str) -> None:
    libfuse = shutil.which("mount.fuse3") or shutil.which("mount.fuse", path="/sbin:/usr/sbin")
    assert libfuse, "fuse3 is not installed"
    shutil.copy(libfuse, bare.sbin / "mount.fuse")
    programs, place = bare.shell.new_place("bin"), bare.shell.new_place("a b")
    (programs / "kitfs").symlink_to(Path(sys.executable).with_name("kitfs"))
    assert bare.run("mount", "--bind", programs, "/usr/local/bin").exit_code == 0
    ran = bare.run("mount", "-t", "fuse.kitfs", "-o", 'nofail,filter="docs,kitfile"', reference, place)
    assert ran.exit_code == 0, ran
    assert bare.run("ls", place).stdout.split() == ["Kitfile", "README.md"]
    bare.umount(place)
    ran = bare.run("mount", "-t", "fuse.kitfs", "-o", "qqqq", reference, place)
    assert (ran.exit_code, ran.lines[0]) == (USAGE, "Error: unknown option 'qqqq'"), ran


def test_interrupted_it_leaves_nothing_and_says_so(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    withhold = Withhold()
    registry.faults.install(Fault(Match(path="/manifests/"), withhold))
    words = [sys.executable, "-I", "-m", "mkfs.cli.mount_helper", reference, shell.new_place()]
    with subprocess.Popen(words, env=shell.variables(), stderr=subprocess.PIPE, text=True) as helper:
        assert withhold.gate.wait_until_held()
        helper.send_signal(signal.SIGINT)
        _, said = helper.communicate(timeout=20)
        assert (helper.returncode, "Traceback" in said) == (INTERRUPTED, False), said
    withhold.release()
    assert shell.is_tidy()
