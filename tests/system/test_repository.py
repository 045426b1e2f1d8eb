"""A repository as a directory, mounted: `tags/` and `digests/`, what looking at them costs, and tags that move under readers."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from mkfs.oci.digest import Digest
from mkfs.ranges import ByteRange
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Kit, KitBuilder, expected_tree
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.units import KIB, MIB
from tests.support import golden
from tests.support.docker_registry import DockerRegistry
from tests.support.mounting import Mount, Shell, ended, refusal_of, wait_for
from tests.support.pushing import Pusher

NAME = "shelf/llama"  # in registries that others push to as well
MANY = 40  # tags: more than are asked for at once, and few enough for a test
READERS, MOVES = 8, 50
POLLS = 10_000  # looks at a link until it shows a move: one that is not seen must fail the test, not hang it


def kit_of(name: str, seed: int) -> Kit:
    builder = KitBuilder(name, seed=seed).model("weights/a.bin", 2 * MIB + 5).part("weights/b.bin", 300 * KIB)
    return builder.docs("README.md", f"this is {name}\n".encode()).build()


@pytest.fixture(scope="module")
def kits() -> tuple[Kit, Kit]:
    return kit_of("one", 1), kit_of("two", 2)


def link_to(digest: Digest | str) -> str:
    return f"../digests/{str(digest).replace(':', '-')}"


def sums_of(kit: Kit) -> dict[str, str]:
    """What each file of it reads as."""
    return {entry.path.decode(): entry.sha256 for entry in expected_tree(kit) if entry.sha256}


def sums_in(directory: Path) -> dict[str, str]:
    """The same of a directory."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): golden.sha256(path.read_bytes()) for path in paths}


@contextmanager
def repository(shell: Shell, host: str, *options: str) -> Iterator[Mount]:
    with shell.mounted(f"{host}/{NAME}", "--no-allow-other", *options) as mount:
        yield mount


def command(mount: Mount, *words: str) -> list[str]:
    """A command run in the mount; the lines it prints."""
    done = subprocess.run(words, cwd=mount.place, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"})
    assert done.stderr == ""
    return done.stdout.splitlines()


def asked(registry: MemoryRegistry) -> list[tuple[str, str]]:
    """Methods and what for, since the last call."""
    requests = [(served.method, served.path.removeprefix(f"/v2/{NAME}/")) for served in registry.log]
    registry.log.clear()
    return requests


# --- what looking costs


@pytest.mark.fuse
def test_looking_at_tags_costs_a_head_each_and_at_most_once(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    tags = [f"v{number}" for number in range(MANY)]
    digests = [registry.push(NAME, tag, kits[number % 2].manifest, kits[number % 2].blobs) for number, tag in enumerate(tags)]
    with repository(shell, server.host, "--tag-ttl", "1h") as mount:
        assert mount.entry.source == f"{server.host}/{NAME}"
        assert mount.ran.lines == [f"{server.host}/{NAME} mounted at {mount.place}"]
        assert asked(registry) == [("GET", "tags/list")]
        assert sorted(command(mount, "ls", ".")) == ["digests", "tags"]
        found = command(mount, "find", ".", "-maxdepth", "2")
        assert sorted(found) == sorted([".", "./tags", "./digests", *(f"./tags/{tag}" for tag in tags)])
        assert sorted(command(mount, "ls", "tags")) == sorted(tags)
        assert asked(registry) == []
        assert command(mount, "readlink", f"tags/{tags[0]}") == [link_to(digests[0])]
        assert asked(registry) == [("HEAD", f"manifests/{tags[0]}")]
        lines = command(mount, "ls", "-l", "tags")[1:]
        assert sorted(line.partition(" -> ")[2] for line in lines) == sorted(map(link_to, digests))
        assert sorted(asked(registry)) == sorted(("HEAD", f"manifests/{tag}") for tag in tags[1:])
        assert command(mount, "ls", "-l", "tags")[1:] == lines
        command(mount, "find", ".", "-maxdepth", "2", "-ls")
        command(mount, "stat", "--dereference", "--format=%F", *(f"tags/{tag}" for tag in tags))
        assert asked(registry) == []
        assert command(mount, "ls", "digests") == []


@pytest.mark.fuse
def test_what_somebody_goes_into_is_opened_once_and_read_right(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    one, two = (registry.push(NAME, tag, kit.manifest, kit.blobs) for tag, kit in zip(("7b", "production"), kits, strict=True))
    registry.push(NAME, "latest", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host) as mount:
        assert sums_in(mount.path("tags/7b/")) == sums_of(kits[0])
        assert sums_in(mount.path(f"digests/{link_to(two)[11:]}")) == sums_of(kits[1])
        assert sorted(command(mount, "ls", "digests")) == sorted(link_to(each)[11:] for each in (one, two))
        counts = asked(registry)
        assert sums_in(mount.path("tags/latest/")) == sums_of(kits[0])
        assert sums_in(mount.path("tags/production/")) == sums_of(kits[1])
        assert asked(registry) == [("HEAD", "manifests/latest"), ("HEAD", "manifests/production")]
        for digest in (one, two):
            assert counts.count(("GET", f"manifests/{digest}")) == 1
        assert os.path.samefile(mount.path("tags/7b"), mount.path("tags/latest"))
        assert not os.path.samefile(mount.path("tags/7b"), mount.path("tags/production"))


@pytest.mark.fuse
def test_the_same_with_a_real_registry(docker: DockerRegistry, pusher: Pusher, kits: tuple[Kit, Kit], shell: Shell) -> None:
    tags = [f"v{number}" for number in range(5)]
    for number, tag in enumerate(tags):
        pusher.push(NAME, tag, kits[number % 2].manifest, kits[number % 2].blobs)

    def answered() -> list[str]:
        """Methods and paths of what it answered since the mount."""
        fields = [dict(re.findall(r"http\.request\.(method|uri)=\"?([^\s\"]+)", line)) for line in docker.log[marked:]]
        return [f"{each['method']} {each['uri']}" for each in fields if "uri" in each]

    with repository(shell, docker.host, "--tag-ttl", "1h") as mount:
        marked = len(docker.log)
        assert sorted(command(mount, "ls", "tags")) == tags
        command(mount, "find", ".", "-maxdepth", "2")
        lines = command(mount, "ls", "-l", "tags")[1:]
        assert [line.partition(" -> ")[2] for line in lines] == [link_to(kits[number % 2].manifest_digest) for number in range(5)]
        command(mount, "ls", "-l", "tags")
        assert sums_in(mount.path("tags/v1/")) == sums_of(kits[1])
        pusher.get(f"/v2/{NAME}/manifests/last")  # when the log, which a thread reads, has told of that, it has of all before
        wait_for(lambda: any("manifests/last" in line for line in docker.log[marked:]))
        manifests = [line for line in answered() if "/manifests/v" in line]
        assert sorted(manifests) == [f"HEAD /v2/{NAME}/manifests/{tag}" for tag in tags]


# --- tags that move


@pytest.mark.fuse
def test_when_a_tag_moves_the_link_follows_and_whoever_is_inside_stays(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    one = registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host, "--tag-ttl", "0s") as mount:
        link = mount.path("tags/production")
        inside = os.open(link, os.O_RDONLY | os.O_DIRECTORY)
        file = os.open("weights/a.bin", os.O_RDONLY, dir_fd=inside)
        before, inode = os.pread(file, 4096, 0), os.lstat(link).st_ino
        two = registry.push(NAME, "production", kits[1].manifest, kits[1].blobs)
        assert os.readlink(link) == link_to(two)
        assert os.lstat(link).st_ino == inode
        assert sums_in(mount.path("tags/production/")) == sums_of(kits[1])
        assert (os.pread(file, 4096, 0), before) == (before, mount.path(f"tags/{link_to(one)}/weights/a.bin").read_bytes()[:4096])
        again = os.open("README.md", os.O_RDONLY, dir_fd=inside)
        assert os.read(again, 100) == b"this is one\n"
        assert os.listdir(inside) == sorted({path.partition("/")[0] for path in sums_of(kits[0])})
        for descriptor in (again, file, inside):
            os.close(descriptor)
        del registry.repositories[NAME].tags["production"]
        assert refusal_of(lambda: os.readlink(link)) == refusal_of(lambda: os.listdir(link)) == "ENOENT"
        assert (mount.path(f"tags/{link_to(one)}") / "README.md").read_bytes() == b"this is one\n"
        assert "the tag production means" in mount.log_file.read_text()


@pytest.mark.fuse
def test_a_link_is_believed_for_its_time(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    one = registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host, "--tag-ttl", "1h") as mount:
        link = mount.path("tags/production")
        assert os.readlink(link) == link_to(one)
        assert refusal_of(lambda: os.lstat(mount.path("tags/canary"))) == "ENOENT"
        for tag in ("production", "canary"):
            registry.push(NAME, tag, kits[1].manifest, kits[1].blobs)
        asked(registry)
        assert os.readlink(link) == link_to(one)
        assert refusal_of(lambda: os.lstat(mount.path("tags/canary"))) == "ENOENT"
        assert asked(registry) == []


def fresh(path: Path) -> bytes:
    """A file's bytes; the kernel is told to keep none of them, so that they come from us the next time, too."""
    with path.open("rb") as file:
        data = file.read()
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return data


class Reader(threading.Thread):
    """Reads all that a tag leads to, again and again: through one directory, and each file by its path."""

    def __init__(self, link: Path, wholes: list[dict[str, str]], stop: threading.Event, rounds: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self._link, self._wholes, self._stop_reading, self._rounds = link, wholes, stop, rounds
        self.seen: dict[int, set[int]] = {}  # which of `wholes`, by the directory's inode
        self.wrong: list[object] = []

    def run(self) -> None:
        while not (self._stop_reading.is_set() or self.wrong):
            try:
                self._round()
            except OSError as error:
                self.wrong.append(error)
            self._rounds.release()

    def _round(self) -> None:
        inside = os.open(self._link, os.O_RDONLY | os.O_DIRECTORY)
        try:
            directory = Path(f"/proc/self/fd/{inside}")
            found = {path: golden.sha256(fresh(directory / path)) for path in self._wholes[0]}
            if found in self._wholes and sorted(os.listdir(inside)) == sorted({path.partition("/")[0] for path in found}):
                self.seen.setdefault(os.fstat(inside).st_ino, set()).add(self._wholes.index(found))
            else:
                self.wrong.append(found)
        finally:
            os.close(inside)
        for path in self._wholes[0]:
            if golden.sha256(fresh(self._link / path)) not in [whole[path] for whole in self._wholes]:
                self.wrong.append(path)


@pytest.mark.fuse
def test_a_tag_that_moves_under_readers_mixes_nothing(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host, "--tag-ttl", "0s") as mount:
        link, stop, rounds = mount.path("tags/production"), threading.Event(), threading.Semaphore(0)
        readers = [Reader(link, [sums_of(kit) for kit in kits], stop, rounds) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        try:
            for move in range(1, MOVES + 1):
                kit = kits[move % 2]
                digest = registry.push(NAME, "production", kit.manifest, kit.blobs)
                # A look that joins one under way may still see what was; the next does not.
                assert any(os.readlink(link) == link_to(digest) for _ in range(POLLS))
                rounds.acquire()  # somebody was reading meanwhile, and the others are
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        assert [reader.wrong for reader in readers] == [[]] * READERS
        assert all(reader.seen for reader in readers)
        seen = {(inode, *which) for reader in readers for inode, which in reader.seen.items()}
        assert sorted(which for _, *which in seen) == [[0], [1]]  # a directory is one kit, for everybody and all the time


# --- when it is refused, or nobody answers


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key, with its public half beside it."""
    private = tmp_path / "key.pem"
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", private.with_suffix(".pub")], check=True)
    return private


@pytest.mark.fuse
def test_a_tag_that_moves_to_what_is_refused_does_not_move_here(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], key: Path, shell: Shell
) -> None:
    registry.referrers = ReferrersApi()
    one = registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    publisher = shell.home / "publisher"
    signed = shell.run("index", "push", f"{server.host}/{NAME}:production", "--sign-key", key, "--cache-dir", publisher)
    assert signed.exit_code == 0, signed
    shell.config.write_text(f'[trust]\nkeys = ["{key.with_suffix(".pub")}"]\nindex = "required"\n')
    with repository(shell, server.host, "--tag-ttl", "0s") as mount:
        assert os.readlink(mount.path("tags/production")) == link_to(one)
        two = registry.push(NAME, "production", kits[1].manifest, kits[1].blobs)
        registry.push(NAME, "canary", kits[1].manifest, kits[1].blobs)
        assert os.readlink(mount.path("tags/production")) == link_to(one)
        assert sums_in(mount.path("tags/production/")) == sums_of(kits[0])
        assert refusal_of(lambda: os.readlink(mount.path("tags/canary"))) == "EACCES"
        assert refusal_of(lambda: os.listdir(mount.path(f"tags/{link_to(two)}"))) == "EACCES"
        log = mount.log_file.read_text()
        assert f"the tag production means {two} now, which is refused, and stays at {one}" in log
        assert log.count(f"the tag production means {two}") == 1
        signed = shell.run("index", "push", f"{server.host}/{NAME}:production", "--sign-key", key, "--cache-dir", publisher)
        assert signed.exit_code == 0, signed
        assert os.readlink(mount.path("tags/production")) == link_to(two)
        assert sums_in(mount.path("tags/production/")) == sums_of(kits[1])


@pytest.mark.fuse
def test_when_the_registry_is_gone_what_was_known_stays(registry: MemoryRegistry, kits: tuple[Kit, Kit], shell: Shell) -> None:
    one = registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    registry.push(NAME, "other", kits[1].manifest, kits[1].blobs)
    with serve(registry) as server:
        mount = shell.mount(f"{server.host}/{NAME}", "--no-allow-other", "--tag-ttl", "0s")
        try:
            assert sums_in(mount.path("tags/production/")) == sums_of(kits[0])
            server.shutdown_now() if hasattr(server, "shutdown_now") else registry.faults.install(
                Fault(Match(), faults.Reset(None))
            )
            assert os.readlink(mount.path("tags/production")) == link_to(one)
            assert sums_in(mount.path("tags/production/")) == sums_of(kits[0])
            assert sorted(command(mount, "ls", "tags")) == ["other", "production"]
            assert refusal_of(lambda: os.readlink(mount.path("tags/other"))) == "EIO"
            log = mount.log_file.read_text()
            assert "what the tag production means is not known just now, it stays at" in log
            assert "a reader gets EIO" in log
        finally:
            mount.end()


@pytest.mark.fuse
def test_offline_a_tag_means_what_it_meant(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    one = registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host) as mount:
        sums_in(mount.path("tags/production/"))
    asked(registry)
    with shell.mounted(f"{server.host}/{NAME}", "--no-allow-other", "--offline", place=shell.new_place("later")) as mount:
        assert os.readlink(mount.path("tags/production")) == link_to(one)
        assert sums_in(mount.path("tags/production/")) == sums_of(kits[0])
        assert refusal_of(lambda: os.readlink(mount.path("tags/other"))) == "ENOENT"
    assert asked(registry) == []


@pytest.mark.fuse
def test_a_mount_ends_while_look_ups_wait(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    digest = registry.push(NAME, "production", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host) as mount, ThreadPoolExecutor(3) as pool:
        held = faults.Withhold()
        registry.faults.install(Fault(Match(path="/manifests/"), held))
        works = (
            lambda: os.readlink(mount.path("tags/production")),
            lambda: os.listdir(mount.path(f"tags/{link_to(digest)}")),
            lambda: os.stat(mount.path(f"digests/{link_to(digest)[11:]}/README.md")),
        )
        waiting = [pool.submit(refusal_of, work) for work in works]
        assert held.gate.wait_until_held(2)
        os.kill(mount.pid, signal.SIGTERM)
        assert {each.result() for each in waiting} <= {"ENOTCONN", "ECONNABORTED", "EIO", "ENOENT"}
        assert ended(mount.pid)
        assert not mount.is_mounted()
        held.release()


@pytest.mark.fuse
def test_wrong_bytes_of_a_deferred_layer_are_forgotten_in_every_artifact_that_has_it(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell
) -> None:
    shared = [KitBuilder(name, seed=9).raw("model.bin", 40 * MIB).docs("README.md", name.encode()).build() for name in ("a", "b")]
    for name, kit in zip("ab", shared, strict=True):
        registry.push(NAME, name, kit.manifest, kit.blobs)
    at, blob = 39 * MIB, shared[0].layers[0]  # in the second request of a whole fetch
    right = blob.body.read(ByteRange(at, at + 4096))
    held = faults.Stall(after_bytes=10)
    registry.faults.install(Fault(Match(digest=blob.digest, offset=0), held, times=1))
    wrong = registry.faults.install(Fault(Match(digest=blob.digest, offset=at), faults.Flip(at)))
    with repository(shell, server.host, "--verify", "deferred") as mount:

        def some_of(tag: str) -> bytes:
            with mount.path(f"tags/{tag}/model.bin").open("rb", buffering=0) as file:
                return os.pread(file.fileno(), 4096, at)

        assert some_of("a") != right
        assert some_of("b") != right
        registry.faults.mend(wrong)  # the proof has had the wrong byte by now, and asks again; or it gets the right one at once
        held.release()
        assert shell.run("verify", f"{server.host}/{NAME}:a").exit_code == 0  # waits for the daemon's proof
        wait_for(lambda: some_of("a") == some_of("b") == right)  # the daemon may be telling the kernel at this moment
        assert "the kernel is told to forget it" in mount.log_file.read_text()


# --- words


def test_who_names_no_repository_is_told_and_other_verbs_need_a_tag(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    registry.push(NAME, "7b", kits[0].manifest, kits[0].blobs)
    place = shell.new_place()
    ran = shell.run("mount", f"{server.host}/team/none", place)
    assert ran.exit_code == 10, ran
    for verb in ("ls", "inspect", "resolve", "verify", "warmup"):
        ran = shell.run(verb, f"{server.host}/{NAME}")
        assert (ran.exit_code, "names neither a tag nor a digest" in ran.stderr) == (2, True), ran


@pytest.mark.fuse
def test_a_layout_without_a_tag_is_its_only_artifact_or_all_of_them(shell: Shell, tmp_path: Path) -> None:
    with shell.mounted(f"oci:{golden.LAYOUT}", "--no-allow-other") as mount:
        assert mount.entry.source == f"oci:{golden.LAYOUT}"
        assert sorted(command(mount, "ls", "tags")) == golden.names()
        name = "kit-1.11-full-tar"
        assert os.readlink(mount.path(f"tags/{name}")) == link_to(golden.manifest_digest(name))
        assert mount.path(f"tags/{name}/Kitfile").read_bytes() == golden.kitfile(name)
        assert refusal_of(lambda: os.listdir(mount.path(f"tags/{link_to(Digest.of(b'none'))}"))) == "ENOENT"


@pytest.mark.fuse
def test_options_hold_for_each_artifact(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    registry.push(NAME, "7b", kits[0].manifest, kits[0].blobs)
    with repository(shell, server.host, "--filter", "docs", "--xattr", "--umask", "077") as mount:
        inside = mount.path("tags/7b/")
        assert os.listdir(inside) == ["README.md"]
        assert os.getxattr(inside, "user.mkfs.digest").decode() == str(kits[0].manifest_digest)
        assert (inside.stat().st_mode & 0o777, (inside / "README.md").stat().st_mode & 0o777) == (0o500, 0o400)
        assert refusal_of((inside / "new").touch) == "EROFS"
        assert refusal_of(lambda: os.symlink("7b", mount.path("tags/8b"))) == "EROFS"
        assert refusal_of(mount.path("tags/7b").unlink) == "EROFS"


@pytest.mark.fuse
def test_filling_fetches_what_was_opened_and_nothing_else(
    registry: MemoryRegistry, server: RegistryServer, kits: tuple[Kit, Kit], shell: Shell
) -> None:
    for tag, kit in zip(("7b", "8b"), kits, strict=True):
        registry.push(NAME, tag, kit.manifest, kit.blobs)
    with repository(shell, server.host, "--fill") as mount:
        os.listdir(mount.path("tags/7b"))
        weights = kits[0].layers[0].digest
        while "proved model weights/a.bin" not in mount.log_file.read_text():
            assert mount.is_mounted()
        assert registry.bytes_sent(weights) >= 2 * MIB
        assert registry.bytes_sent(kits[1].layers[0].digest) == 0
