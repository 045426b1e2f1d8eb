"""A mount made by a process that may mount and served by one that may nothing: another user, no capability, no way to /dev/fuse."""

import subprocess
import sys
from hashlib import sha256

import pytest

from mkfs.ranges import ByteRange
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support import namespaces
from tests.support.kit_parts import content_of
from tests.support.mounting import Ran, Shell
from tests.support.namespaces import NOBODY

pytestmark = pytest.mark.fuse

_SECONDS = 90
README = b"# handed over\n"

COMMON = """
readonly reference=$1 python=$2 nobody=$3
unset MKFS_CONFIG DOCKER_CONFIG
mkdir -m 700 -p /mnt/root/config
export HOME=/mnt/root XDG_CONFIG_HOME=/mnt/root/config # closed to others, as a home of root's is
chmod 700 /mnt/root
mkdir /mnt/own /mnt/place /mnt/run && chown "$nobody:$nobody" /mnt/own && chmod 755 /mnt/run
kitfs="$python -P -m mkfs"  # no function: what runs one in the background has the number of a shell
serve="$kitfs mount $reference /dev/fd/3 --foreground"
# one question, of whoever serves: a look at the mount table before it could be about another mount
export MKFS_CACHE_DIR=/mnt/own/cache
until_mounted() { until test "$(stat -f -c %t /mnt/place 2>&1)" = 65735546; do kill -0 "$1"; done; }
"""


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("handed", seed=9).model("weights.bin", 3 * MIB + 7).docs("README.md", README).build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("handed/kit", "1", kit.manifest, kit.blobs)
    return f"{server.host}/handed/kit:1"


def run(script: str, reference: str, shell: Shell) -> Ran:
    """Runs a script where only root may open /dev/fuse; everything in it ends with it."""
    words = namespaces.shell_script(COMMON + script, reference, sys.executable, str(NOBODY))
    command = [*namespaces.with_fuse_for_root_alone(), *words]
    done = subprocess.run(command, env=shell.variables(), capture_output=True, text=True, timeout=_SECONDS, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def digest_of(kit: Kit, name: str) -> str:
    body = content_of(kit, name)
    return sha256(body.read(ByteRange(0, body.size_bytes))).hexdigest()


EXEC = """
$kitfs handover exec /mnt/place --user "$nobody" --name "$reference" -- sh -c \
    'id -u; grep -E "^(Cap|NoNew|Groups)" /proc/self/status; ls /proc/self/fd; exec '"$serve" > /mnt/said &
until_mounted $!
findmnt -no FSTYPE,SOURCE /mnt/place
findmnt -no OPTIONS /mnt/place | tr , '\\n' | grep -E '^(ro|nosuid|nodev|default_permissions|allow_other|user_id=.*)$' | sort -u
stat -c '%u %g %a' /mnt/place/README.md
sha256sum < /mnt/place/weights.bin
setpriv --reuid=65533 --clear-groups cat /mnt/place/README.md
umount /mnt/place
wait $! && echo "ended 0"
mountpoint -q /mnt/place && echo "still mounted"
tr '\\t' ' ' < /mnt/said
"""


def test_a_process_without_any_privilege_serves_what_another_mounted(reference: str, kit: Kit, shell: Shell) -> None:
    ran = run(EXEC, reference, shell)
    capabilities = [f"Cap{which}: {0:016x}" for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")]
    assert ran.stdout.splitlines() == [
        f"fuse.kitfs {reference}",
        *("allow_other", "default_permissions", "nodev", "nosuid", "ro", f"user_id={NOBODY}"),
        f"{NOBODY} {NOBODY} 444",
        f"{digest_of(kit, 'weights.bin')}  -",
        README.decode().strip(),
        "ended 0",
        *(str(NOBODY), "Groups:  ", *capabilities, "NoNewPrivs: 1"),
        *("0", "1", "2", "3", "4"),  # the last is what ls reads them with
    ], ran


STOPPED = """
$kitfs handover exec /mnt/place --user "$nobody" -- $serve &
until_mounted $!
exec 9< /mnt/place/README.md
kill -TERM $!
wait $! && echo "ended 0"
mountpoint -q /mnt/place && echo "still mounted"
ls -A /mnt/place
cat <&9 2>&1 | sed 's/.*: //'
"""


def test_who_mounted_unmounts_when_told_to_stop_though_files_are_open(reference: str, shell: Shell) -> None:
    ran = run(STOPPED, reference, shell)
    assert ran.stdout.splitlines()[0] == "ended 0", ran
    assert "still mounted" not in ran.stdout


CRASHED = """
$kitfs handover exec /mnt/place --user "$nobody" -- sh -c 'echo $$ > /mnt/pid; exec '"$serve" &
until_mounted $!
kill -KILL "$(cat /mnt/pid)"
wait $! || echo "ended $?"
ls /mnt/place 2>&1 | sed 's/.*: //'
$kitfs handover exec /mnt/place --user "$nobody" -- $serve &
until_mounted $!
cat /mnt/place/README.md
umount /mnt/place
wait $!
$kitfs handover exec /mnt/place --user "$nobody" -- $serve-of-another || echo "ended $?"
mountpoint -q /mnt/place || echo "nothing mounted"
$kitfs handover exec /mnt/place --user "$nobody" -- no-such-program || echo "ended $?"
"""


def test_a_crash_leaves_no_empty_directory_and_the_next_start_takes_the_place(reference: str, shell: Shell) -> None:
    ran = run(CRASHED, reference, shell)
    expected = [
        "ended 137",
        "Transport endpoint is not connected",
        README.decode().strip(),
        "ended 2",
        "nothing mounted",
        "ended 127",
    ]
    assert ran.stdout.splitlines() == expected, ran


OFFERED = """
$kitfs handover offer /mnt/place /mnt/run/socket --user "$nobody" 2> /mnt/offer.log &
offer=$!
until grep -q offering /mnt/offer.log; do kill -0 $offer; done
stat -c '%u %a' /mnt/run/socket
export HOME=/mnt/own && unset XDG_CACHE_HOME XDG_CONFIG_HOME XDG_STATE_HOME TMPDIR
as_nobody="setpriv --reuid=$nobody --regid=$nobody --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
for round in 1 2; do
    $as_nobody $kitfs handover take /mnt/run/socket -- $serve &
    taken=$!
    until cat /mnt/place/README.md 2>/dev/null; do kill -0 $taken; done
    sha256sum < /mnt/place/weights.bin
    kill -TERM $taken
    wait $taken && echo "ended 0"
done
until grep -c 'ended: it answers ENOTCONN' /mnt/offer.log | grep -q 2; do kill -0 $offer; done
ls /mnt/place 2>&1 | sed 's/.*: //'
setpriv --reuid=65533 --clear-groups $kitfs handover take /mnt/run/socket -- true || echo "ended $?"
kill -TERM $offer
wait $offer && echo "offer ended 0"
mountpoint -q /mnt/place || echo "nothing mounted"
ls /mnt/run
$as_nobody $kitfs handover take /mnt/run/socket -- true || echo "ended $?"
"""


def test_a_descriptor_goes_over_a_socket_to_each_who_comes_for_it(reference: str, kit: Kit, shell: Shell) -> None:
    ran = run(OFFERED, reference, shell)
    each = [README.decode().strip(), f"{digest_of(kit, 'weights.bin')}  -", "ended 0"]
    assert ran.stdout.splitlines() == [
        f"{NOBODY} 600",
        *each,
        *each,
        "Transport endpoint is not connected",
        "ended 21",
        "offer ended 0",
        "nothing mounted",
        "ended 21",
    ], ran
    assert "nobody offers a mount at /mnt/run/socket: Permission denied" in ran.stderr
    assert "nobody offers a mount at /mnt/run/socket: No such file or directory" in ran.stderr


REFUSED = """
serve() { $kitfs mount "$reference" "$@" 2>&1 | head -1; }
serve /dev/fd/3
serve /dev/fd/77 --foreground
serve /dev/fd/x --foreground
serve /dev/fd/7 --foreground 7</dev/null
serve /dev/fd/7 --foreground 7<>/dev/fuse
$kitfs handover exec /mnt/place --user 0 -- sh -c "dd bs=1M count=1 of=/dev/null <&3 2>/dev/null; exec $serve" 2>&1 | head -1
setpriv --inh-caps=+sys_admin $kitfs handover exec /mnt/place --user 0 -- grep CapEff /proc/self/status
$kitfs handover exec /mnt/missing --user 0 -- true 2>&1 | head -1
setpriv --reuid=65533 --clear-groups $kitfs handover exec /mnt/place --user 0 -- true 2>&1 | head -1
"""


def test_what_is_no_mounted_descriptor_is_refused_in_words(reference: str, shell: Shell) -> None:
    ran = run(REFUSED, reference, shell)
    expected = "(expected a mounted descriptor of /dev/fuse)"
    assert ran.stdout.splitlines() == [
        "Error: /dev/fd/3 needs --foreground",
        f"Error: cannot serve /dev/fd/77: not open {expected}",
        "Error: cannot mount on /dev/fd/x: No such file or directory",
        f"Error: cannot serve /dev/fd/7: got /dev/null {expected}",
        "Error: cannot serve /dev/fd/7: nothing is mounted with it, or not any more",
        "Error: cannot serve /dev/fd/3: another process has served this mount",
        "CapEff:\t0000000000000000",  # root without its powers
        "Error: cannot mount on /mnt/missing: No such file or directory",
        "Error: cannot open /dev/fuse: Permission denied",
    ], ran
