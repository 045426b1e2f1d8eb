"""The pods of deploy/kubernetes, played in mount namespaces: a node, a container that mounts, one that serves, one that reads.

No kubelet runs here. What it sets up is: a directory of the node that is shared, the container that mounts in its peer group
(Bidirectional), the reader's a slave of it (HostToContainer). What containers run, and probes, are the manifests' own words.
"""

import os
import shlex
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from mkfs.ranges import ByteRange
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support import namespaces
from tests.support.kit_parts import content_of
from tests.support.mounting import Ran, Shell

pytestmark = pytest.mark.fuse

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
POD = {"/models/": "/mnt/models/", "/handover/": "/mnt/handover/"}  # the volumes of the pod, where a test may have them
_SECONDS = 60

NODE = """
mkdir /mnt/models /mnt/handover /mnt/own && chmod 777 /mnt/own
mount --bind /mnt/models /mnt/models && mount --make-rshared /mnt/models
slave="unshare --mount --propagation slave" # no functions: what runs one in the background has the number of a shell
peer="unshare --mount --propagation unchanged"
reader() { nsenter --target "$app" --mount "$@"; }
gone="Transport endpoint is not connected"
"""


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("pod", seed=12).model("weights.bin", 3 * MIB + 5).docs("README.md", b"# in a pod\n").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("pod/kit", "1", kit.manifest, kit.blobs)
    return f"{server.host}/pod/kit:1"


def words(manifest: str, container: str, reference: str) -> tuple[list[str], list[str]]:
    """What a container of the manifest runs, and what its readiness probe does."""
    for each in yaml.safe_load_all((MANIFESTS / f"{manifest}.yaml").read_text()):
        if each["kind"] in ("Deployment", "DaemonSet"):
            pod = each["spec"]["template"]["spec"]
            found = next(one for one in (*pod.get("initContainers", ()), *pod["containers"]) if one["name"] == container)
            probe = found.get("readinessProbe", found["startupProbe"])["exec"]["command"]
            return tuple(
                [_here(word, reference) for word in command]
                for command in ([*found.get("command", ["kitfs"]), *found["args"]], probe)
            )
    raise AssertionError(f"no {container} in {manifest}")


def _here(word: str, reference: str) -> str:
    for there, here in POD.items():
        word = word.replace(there, here)
    return word.replace("registry.example.com/acme/llama:7b", reference)


def run(script: str, shell: Shell, *arguments: list[str]) -> Ran:
    """Runs a script on a node of its own; each of `arguments`, a command line, is a program /mnt/a, b, c."""
    programs = "".join(
        f"cat > /mnt/{name} <<'END'\n#!/bin/sh\nexec {shlex.join(command)}\nEND\nchmod 755 /mnt/{name}\n"
        for name, command in zip("abc", arguments, strict=False)
    )
    whole = [*namespaces.with_fuse_for_root_alone(), "bash", "-euc", NODE + programs + script]
    variables = {**shell.variables(), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": "/mnt/own"}
    for name in ("MKFS_CONFIG", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "TMPDIR", "DOCKER_CONFIG"):
        del variables[name]  # they lie in a directory that is closed to others
    variables["MKFS_CACHE_DIR"] = "/mnt/own/cache"
    done = subprocess.run(whole, env=variables, capture_output=True, text=True, timeout=_SECONDS, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def digest(kit: Kit) -> str:
    body = content_of(kit, "weights.bin")
    return f"{sha256(body.read(ByteRange(0, body.size_bytes))).hexdigest()}  -"


SIDECAR = """
$slave sleep infinity & app=$!
until [ "$(readlink /proc/$app/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ]; do :; done
reader /mnt/b || echo "not yet"
$peer /mnt/a & kit=$!
until reader /mnt/b 2>/dev/null; do kill -0 $kit; done
reader sh -c 'sha256sum < /mnt/models/llama/weights.bin'

kill $app; wait $app || true # the reader is started again, kitfs is not
$slave sleep infinity & app=$!
until [ "$(readlink /proc/$app/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ]; do :; done
reader sh -c 'sha256sum < /mnt/models/llama/weights.bin'

kill -KILL $kit; wait $kit || echo "killed $?"
reader cat /mnt/models/llama/README.md 2>&1 | grep -o "$gone"
reader /mnt/b 2>/dev/null || echo "not ready"
$peer /mnt/a & kit=$! # the same reader sees what is mounted now
until reader /mnt/b 2>/dev/null; do kill -0 $kit; done
reader sh -c 'sha256sum < /mnt/models/llama/weights.bin'
kill -TERM $kit; wait $kit && echo "ended 0"
reader mountpoint -q /mnt/models/llama || echo "gone for the reader"
mountpoint -q /mnt/models/llama || echo "gone for the node"
"""


@pytest.mark.parametrize(("manifest", "place"), [("sidecar", True), ("daemonset", False)])
def test_a_reader_sees_the_mount_come_go_and_come_again(reference: str, kit: Kit, shell: Shell, manifest: str, place: bool) -> None:
    script = SIDECAR if place else f"mkdir /mnt/models/llama\n{SIDECAR}"  # another container of that pod makes it
    ran = run(script, shell, *words(manifest, "kitfs", reference))
    right = digest(kit)
    assert ran.stdout.splitlines() == [
        "not yet",
        right,
        right,
        "killed 137",
        "Transport endpoint is not connected",
        "not ready",
        right,
        "ended 0",
        "gone for the reader",
        "gone for the node",
    ], ran


HANDED = """
$slave sleep infinity & app=$!
until [ "$(readlink /proc/$app/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ]; do :; done
$peer /mnt/a & helper=$!
until test -S /mnt/handover/llama.sock; do kill -0 $helper; done
may_nothing="setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
$slave $may_nothing /mnt/b & kit=$!
until reader /mnt/c 2>/dev/null; do kill -0 $kit; done
reader setpriv --reuid=65533 --clear-groups sh -c 'sha256sum < /mnt/models/llama/weights.bin'
grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/$kit/status | tr -s '\\t' ' '
kill -TERM $kit; wait $kit && echo "kitfs ended 0"
kill -TERM $helper; wait $helper && echo "helper ended 0"
reader mountpoint -q /mnt/models/llama || echo "gone for the reader"
"""


def test_a_pod_is_served_by_a_container_without_privilege(reference: str, kit: Kit, shell: Shell) -> None:
    serving, probe = words("handover", "kitfs", reference)
    ran = run(HANDED, shell, words("handover", "fuse", reference)[0], serving, probe)
    assert ran.stdout.splitlines() == [
        digest(kit),
        "Uid: 65532 65532 65532 65532",
        "CapEff: 0000000000000000",
        "NoNewPrivs: 1",
        "kitfs ended 0",
        "helper ended 0",
        "gone for the reader",
    ], ran
