"""The ways to unmount, and what each of them tells: in order, lazily, by force, several at once, and who is in the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mkfs.fuse.mountinfo import mount_at
from mkfs.testing.faults import Fault, Match, Withhold
from mkfs.testing.kits import Directory, File, Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support import namespaces
from tests.support.kit_parts import layer_at, wrong_files
from tests.support.leftovers import left_behind
from tests.support.mounting import Mount, Shell, ended, name_of, state_of, wait_for

pytestmark = pytest.mark.fuse

USAGE, MOUNTPOINT, BUSY = 2, 20, 22
WAIT_SECONDS = 30
KIT = (
    KitBuilder("umount", seed=9)
    .model("weights.bin", 3 * MIB + 1)
    .docs("README.md", b"# umount\n")
    .code("src", Directory({"run.sh": File(b"x")}))
    .build()
)


@pytest.fixture
def kit() -> Kit:
    return KIT


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer) -> str:
    registry.push("life/umount", "1", KIT.manifest, KIT.blobs)
    return f"{server.host}/life/umount:1"


@contextmanager
def using(program: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `program` (Python), which says a line when it uses what it is there to use, and then waits."""
    words = [sys.executable, "-c", f"import os, sys, mmap, signal\n{program}\nprint(flush=True)\nsignal.pause()", *arguments]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "\n"
            yield process
        finally:
            process.kill()


def test_umount_returns_when_the_daemon_is_gone(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        ran = shell.run("umount", mount.place)
        assert ended(mount.pid, 0)
        assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "")
    assert left_behind(shell) == []


def test_a_namespace_that_another_test_makes_keeps_no_daemon(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        words = [*namespaces.without_fuse(), "sh", "-c", "echo; exec sleep 600"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as namespace:
            try:
                assert namespace.stdout is not None
                assert namespace.stdout.readline() == "\n"
                ran = shell.run("umount", mount.place)
                assert (ran.exit_code, ran.stderr) == (0, "")
                assert ended(mount.pid, 0)
            finally:
                namespace.kill()


def test_several_are_unmounted_though_one_of_them_is_not_there(reference: str, shell: Shell) -> None:
    one, other = shell.new_place("one"), shell.new_place("other")
    with shell.mounted(reference, place=one), shell.mounted(reference, place=other):
        ran = shell.run("umount", one, shell.home / "nothing", other)
        assert ran.exit_code == MOUNTPOINT
        assert ran.lines == [f"Error: {shell.home}/nothing is not mounted"]
        assert shell.mounts() == []


@pytest.mark.parametrize("words", [[], ["--all", "/mnt"], ["--lazy", "--force", "/mnt"]])
def test_what_makes_no_sense_touches_nothing(shell: Shell, words: list[str]) -> None:
    assert shell.run("umount", *words).exit_code == USAGE


ALL = """
for place in one two; do "$1" -P -m mkfs mount "$2" "$3/$place" --log-file "$3/log"; done
mount --bind "$3/two" "$3/one"
"$1" -P -m mkfs umount --all
grep -c "$3" /proc/self/mountinfo || true
pgrep -c -x kitfs || true
"""


def test_all_of_ones_own_are_unmounted_one_on_top_of_another_too(reference: str, shell: Shell) -> None:
    """In a namespace without the mounts of others: other tests run beside this one."""
    for name in ("one", "two"):
        shell.new_place(name)
    script = namespaces.shell_script(ALL, sys.executable, reference, shell.home)
    command = [*namespaces.with_fuse_for(0o666), *script]
    done = subprocess.run(command, env=shell.variables(), capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n0\n"), done


MAPS = """
file = os.open(sys.argv[1], os.O_RDONLY)
mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ)
os.close(file)
"""
USES: dict[str, str] = {
    "open": "file = open(sys.argv[1], 'rb')",
    "standing": "os.chdir(os.path.dirname(sys.argv[1]))",
    "mapped": MAPS,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_who_keeps_a_mount_busy_is_named(reference: str, kit: Kit, shell: Shell, use: str) -> None:
    with shell.mounted(reference) as mount, using(use, mount.path("README.md")) as user:
        ran = shell.run("umount", mount.place)
        assert ran.exit_code == BUSY
        assert ran.lines == [
            f"Error: {mount.place} is in use",
            f"  a file or working directory there is open in pid {user.pid} ({name_of(user.pid)})",
            "  end them first, or: --lazy",
        ]
        assert wrong_files(mount.place, kit) == []


def test_who_only_asks_for_its_size_does_not_keep_it(reference: str, shell: Shell) -> None:
    """A daemon that is stopped does not answer; the question is given up while it is unmounted."""
    with shell.mounted(reference) as mount, mount.stopped():
        words = ["timeout", "--signal=KILL", "2", "stat", "--file-system", mount.place]
        asking = subprocess.Popen(words)
        wait_for(lambda: waits_in_the_kernel(asking))
        ran = shell.run("umount", mount.place)
        assert (ran.exit_code, "is stopped" in ran.stderr) == (0, True), ran
        assert asking.wait(WAIT_SECONDS) == -signal.SIGKILL  # as its child did


def waits_in_the_kernel(timeout: subprocess.Popen[bytes]) -> bool:
    """Whether the command that timeout(1) started sleeps: `stat` does only until a file system answers."""
    children = Path(f"/proc/{timeout.pid}/task/{timeout.pid}/children")
    with suppress(FileNotFoundError):  # it was given up
        return any(name_of(int(pid)) == "stat" and state_of(int(pid)) in "SD" for pid in children.read_text().split())
    return True


def test_of_many_who_keep_it_busy_some_are_named(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        holders = [subprocess.Popen(["sleep", "600"], cwd=mount.place) for _ in range(8)]
        try:
            ran = shell.run("umount", mount.place)
            named = [holder.pid for holder in holders if f" {holder.pid} (" in ran.stderr]
            assert (ran.exit_code, len(named), len(ran.lines)) == (BUSY, 5, 3), ran
            assert "and others" in ran.stderr
        finally:
            for holder in holders:
                holder.kill()
                holder.wait()


def test_a_mount_inside_is_named_and_goes_with_it_lazily(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        inside = mount.path("src")
        subprocess.run(["mount", "-t", "tmpfs", "none", inside], check=True)
        ran = shell.run("umount", mount.place)
        assert ran.exit_code == BUSY
        assert ran.lines[1] == f"  mounted inside it: {inside} (tmpfs)"
        assert shell.run("umount", "--lazy", mount.place).exit_code == 0
        assert shell.mounts() == []
        assert ended(mount.pid)


READS = """
import errno, os, sys
file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
print(flush=True)
try:
    os.preadv(file, [__import__('mmap').mmap(-1, 1 << 20)], 0)
    print('read')
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.fault("F")
def test_force_frees_readers_that_no_signal_ends_from_a_daemon_that_is_stopped(
    reference: str, registry: MemoryRegistry, shell: Shell
) -> None:
    other = shell.mount(reference, place=shell.new_place("other"))
    with shell.mounted(reference) as mount:
        withhold = Withhold()
        registry.faults.install(Fault(Match("GET", digest=layer_at(KIT, "weights.bin").digest), withhold))
        words = [sys.executable, "-c", READS, mount.path("weights.bin")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as reader:
            assert withhold.gate.wait_until_held()
            os.kill(mount.pid, signal.SIGSTOP)
            reader.kill()
            wait_for(lambda: state_of(reader.pid) == "D")
            ran = shell.run("umount", "--force", mount.place)
            assert (ran.exit_code, ran.stderr) == (0, "")
            assert reader.wait(WAIT_SECONDS) == -signal.SIGKILL
        assert not mount.is_mounted()
        assert ended(mount.pid, 0)
        withhold.release()
    assert wrong_files(other.place, KIT) == []  # nobody else was touched
    other.umount()
    assert left_behind(shell) == []


def test_force_tells_readers_that_the_mount_is_gone(reference: str, registry: MemoryRegistry, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        withhold = Withhold()
        registry.faults.install(Fault(Match("GET", digest=layer_at(KIT, "weights.bin").digest), withhold))
        words = [sys.executable, "-c", READS, mount.path("weights.bin")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as reader:
            assert withhold.gate.wait_until_held()
            assert shell.run("umount", "--force", mount.place).exit_code == 0
            assert reader.communicate(timeout=WAIT_SECONDS)[0] in ("\nECONNABORTED\n", "\nENOTCONN\n")
        withhold.release()
        assert ended(mount.pid, 0)


def dead(mount: Mount) -> None:
    os.kill(mount.pid, signal.SIGKILL)
    assert ended(mount.pid)


@pytest.mark.parametrize("damage", [lambda mount: None, dead], ids=["alive", "dead"])
def test_force_ends_a_mount_in_use_alive_or_dead(reference: str, shell: Shell, damage: Callable[[Mount], None]) -> None:
    with shell.mounted(reference) as mount, using(USES["open"], mount.path("README.md")):
        damage(mount)
        ran = shell.run("umount", "--force", mount.place)
        assert (ran.exit_code, ran.stderr) == (0, "")
        assert ended(mount.pid, 0)
        assert not mount.is_mounted()


def test_force_touches_nothing_that_is_not_ours(shell: Shell) -> None:
    place = shell.new_place()
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    ran = shell.run("umount", "--force", place)
    assert (ran.exit_code, ran.lines[0]) == (MOUNTPOINT, f"Error: {place} is not a mount of mkfs")
    assert mount_at(place) is not None
    subprocess.run(["umount", place], check=True)


def test_a_stopped_daemon_is_told_of_when_its_mount_is_gone(reference: str, shell: Shell) -> None:
    with shell.mounted(reference) as mount, mount.stopped():
        ran = shell.run("umount", mount.place)
        assert ran.exit_code == 0
        assert ran.lines == [f"its daemon, pid {mount.pid}, is stopped, and ends when it is continued: kill -CONT {mount.pid}"]


def test_a_stopped_daemon_is_not_taken_for_dead(reference: str, kit: Kit, shell: Shell) -> None:
    with shell.mounted(reference) as mount:
        with mount.stopped():
            ran = shell.run("mount", reference, mount.place)
            assert ran.exit_code == BUSY
        assert wrong_files(mount.place, kit) == []


USER = """
readonly reference=$1 python=$2 setpriv=$3
unset MKFS_CONFIG MKFS_CACHE_DIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_STATE_HOME
export HOME=/mnt/home
as_nobody() { $setpriv "$@"; }
kitfs() { as_nobody "$python" -P -m mkfs "$@"; }
as_nobody mkdir /mnt/home /mnt/place
kitfs mount "$reference" /mnt/place
as_nobody sh -c 'exec 3</mnt/place/README.md; touch /mnt/holding; exec sleep 600' &
while ! test -e /mnt/holding; do :; done
kitfs umount /mnt/place || echo "busy: $?"
pkill -KILL -x kitfs
while pgrep -x kitfs >/dev/null; do :; done
as_nobody ls /mnt/place 2>/dev/null || echo "dead"
kitfs mount "$reference" /mnt/place
as_nobody cat /mnt/place/README.md
kill -STOP "$(pgrep -x kitfs)"
kitfs umount --force /mnt/place
pgrep -x kitfs || echo "ended"
mountpoint -q /mnt/place || echo "unmounted"
kitfs mount "$reference" /mnt/place
kitfs umount --all
mountpoint -q /mnt/place || echo "unmounted"
"""


def test_a_user_who_is_not_root_clears_and_forces_their_own(reference: str, shell: Shell) -> None:
    """Where fusectl is not there for them the daemon's end closes the connection."""
    script = namespaces.shell_script(USER, reference, sys.executable, " ".join(namespaces.as_nobody()))
    command = [*namespaces.with_fuse_for(0o666), *script]
    done = subprocess.run(command, env=shell.variables(), capture_output=True, text=True, timeout=WAIT_SECONDS * 2, check=False)
    assert done.stdout.splitlines() == ["busy: 22", "dead", "# umount", "ended", "unmounted", "unmounted"], done
    assert "(sleep)" in done.stderr


def test_a_daemon_that_was_unmounted_leaves_alone_who_got_its_device_number(reference: str, kit: Kit, shell: Shell) -> None:
    for attempt in range(9):  # another program's mount may get it before ours
        place, spare = shell.new_place(f"mnt{attempt}"), shell.new_place(f"spare{attempt}")
        with shell.mounted(reference, place=place) as mount, shell.mounted(reference, place=spare):
            device = mount.entry.device
            with mount.stopped():
                subprocess.run(["umount", "--lazy", mount.place], check=True)
                follower = shell.mount(reference, place=shell.new_place(f"follower{attempt}"))
                got_it = follower.entry.device == device
            assert ended(mount.pid)
            assert wrong_files(follower.place, kit) == []
            follower.umount()
        if got_it:
            return
    pytest.fail("no mount of ours got the number")
