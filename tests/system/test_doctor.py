"""`mkfs doctor`: run as somebody would, beside registries in every state that it tells of."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mkfs.service.doctor.checks import CHECKS
from mkfs.testing import faults, planted
from mkfs.testing.access import Basic, Bearer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Directory, Kit, KitBuilder
from mkfs.testing.referrers import ReferrersApi
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.testing.tokens import TokenIssuer
from mkfs.units import KIB, MIB
from tests.support import golden
from tests.support.mounting import Shell
from tests.support.namespaces import as_nobody, with_fuse_for, without_fuse

ADA = "ada"
MACHINE = [check.id for check in CHECKS if check.gather is not None]
ARTIFACT = [check.id for check in CHECKS if check.gather is None]


@dataclass(frozen=True)
class Report:
    """What doctor said, as JSON."""

    exit_code: int
    document: Mapping[str, object]
    checks: Mapping[str, tuple[str, str, str]]  # status, finding, remedy
    loaders: Mapping[str, str]

    def status(self, check: str) -> str:
        return self.checks[check][0]

    def finding(self, check: str) -> str:
        return self.checks[check][1]


def doctor(shell: Shell, *words: str | Path, around: tuple[str, ...] = ()) -> Report:
    """Runs it. What holds for every report is asserted here."""
    ran = shell.run("doctor", *words, "--format", "json", around=around)
    assert ran.stderr == "", ran
    document = json.loads(ran.stdout)
    rows = document["checks"]
    order = [check.id for check in CHECKS]
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), key=order.index)
    assert (document["schema_version"], document["exit_code"]) == (1, ran.exit_code)
    for row in rows:
        assert set(row) == {"id", "status", "finding", "remedy"}
        assert row["finding"], row
        assert bool(row["remedy"]) is (row["status"] != "ok"), row
    assert (ran.exit_code != 0) is any(row["status"] == "fail" for row in rows)
    checks = {row["id"]: (row["status"], row["finding"], row["remedy"]) for row in rows}
    return Report(ran.exit_code, document, checks, {each["loader"]: each["command"] for each in document["loaders"]})


@pytest.fixture
def kit() -> Kit:
    weights = Directory({"a.safetensors": 64 * KIB, "b.safetensors": 32 * KIB})
    return KitBuilder("looked-at", seed=21).model("weights", weights).docs("README.md", b"# looked at\n").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/kit", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/kit:7b"


@pytest.fixture
def storage(kit: Kit) -> Iterator[RegistryServer]:
    registry = MemoryRegistry()
    registry.push("any", None, kit.manifest, kit.blobs)
    with serve(registry) as server:
        yield server


@pytest.mark.fuse
def test_a_machine_that_can_mount_has_no_failure(shell: Shell) -> None:
    before = set(shell.home.rglob("*"))
    report = doctor(shell)
    assert report.exit_code == 0
    assert list(report.checks) == MACHINE
    assert report.document["reference"] is None
    assert "llama.cpp" in report.loaders
    assert set(shell.home.rglob("*")) == before


def test_the_text_has_a_line_for_each_check_and_remedies_below(shell: Shell) -> None:
    ran = shell.run("doctor", "--tls-verify", "false")
    lines = ran.stdout.partition("\nLoaders")[0].splitlines()
    assert [line.split()[1] for line in lines if not line.startswith(" ")] == MACHINE
    (number,) = (number for number, line in enumerate(lines) if line.startswith("warn  network.tls"))
    assert lines[number + 1].strip().startswith("-> drop --tls-verify=false")
    assert "vLLM: HF_HUB_OFFLINE=1 vllm serve DIR --safetensors-load-strategy=prefetch" in ran.stdout


@pytest.mark.fuse
def test_a_machine_without_fuse_is_told_so_and_the_rest_is_looked_at(shell: Shell) -> None:
    report = doctor(shell, around=without_fuse())
    assert (report.exit_code, report.status("fuse.device")) == (21, "fail")
    assert list(report.checks) == MACHINE


@pytest.mark.fuse
def test_somebody_without_rights_gets_the_same_report(tmp_path: Path) -> None:
    theirs = {"HOME": "/mnt", "MKFS_CACHE_DIR": "/mnt/cache", "MKFS_CONFIG": "/dev/null", "DOCKER_CONFIG": "/mnt"}
    report = doctor(Shell(tmp_path / "home", theirs), around=(*with_fuse_for(0o666), *as_nobody()))
    assert list(report.checks) == MACHINE
    assert report.status("kernel.read_ahead") == "warn"
    assert report.status("fuse.allow_other") == "warn"
    assert report.finding("cache.directory") == "/mnt/cache is made by the first mount"
    assert report.status("cache.file_system") == "warn"


def test_a_cache_that_no_mount_would_take(shell: Shell) -> None:
    (shell.home / "taken").mkdir()
    (shell.home / "taken" / "thesis.tex").touch()
    report = doctor(shell, "--cache-dir", shell.home / "taken")
    assert (report.exit_code, report.status("cache.directory")) == (23, "fail")
    assert "thesis.tex" in report.finding("cache.directory")


def test_the_first_failure_gives_the_exit_code(reference: str, shell: Shell) -> None:
    (shell.home / "taken").mkdir()
    (shell.home / "taken" / "thesis.tex").touch()
    report = doctor(shell, reference.replace("7b", "8b"), "--cache-dir", shell.home / "taken")
    assert (report.exit_code, report.status("artifact.manifest")) == (23, "fail")


def test_an_artifact_in_a_registry_that_has_all_of_it(reference: str, kit: Kit, shell: Shell) -> None:
    report = doctor(shell, reference)
    assert report.exit_code == 0
    assert list(report.checks) == MACHINE + ARTIFACT
    assert {report.status(check) for check in ARTIFACT} == {"ok"}
    assert report.finding("artifact.manifest") == str(kit.manifest_digest)
    assert report.finding("registry.ranges").startswith("ranges work: 206 with the exact Content-Range")
    assert report.finding("artifact.format").startswith("KitOps ModelKit, 2 layers")
    assert report.finding("registry.login") == "anybody may read there: no login was asked for"
    assert "vllm serve DIR/weights" in report.loaders["vLLM"]
    assert "llama.cpp" not in report.loaders
    assert not shell.cache.exists()


def test_a_server_without_ranges(registry: MemoryRegistry, reference: str, shell: Shell) -> None:
    registry.faults.install(Fault(Match("GET", path="/blobs/"), faults.IgnoreRange()))
    report = doctor(shell, reference)
    assert (report.exit_code, report.status("registry.ranges")) == (0, "warn")
    assert "answered 200 with all" in report.finding("registry.ranges")


def test_a_server_whose_ranges_are_wrong(registry: MemoryRegistry, reference: str, shell: Shell) -> None:
    registry.faults.install(Fault(Match("GET", path="/blobs/", header="^range:"), faults.MissingContentRange()))
    report = doctor(shell, reference)
    assert (report.exit_code, report.status("registry.ranges")) == (12, "fail")
    assert "no Content-Range" in report.finding("registry.ranges")


def test_blobs_behind_a_redirect(registry: MemoryRegistry, storage: RegistryServer, reference: str, shell: Shell) -> None:
    signed = f"{storage.url}/storage/{{digest}}?X-Amz-Signature={planted.SIGNATURE}"
    registry.faults.install(Fault(Match("GET", path="/blobs/"), faults.Redirect(signed)))
    report = doctor(shell, reference)
    assert report.exit_code == 0
    assert f"from {storage.host}, where {reference.partition('/')[0]} sent us" in report.finding("registry.ranges")


def test_a_registry_that_knows_nobody_here(registry: MemoryRegistry, reference: str, shell: Shell) -> None:
    registry.access = Basic({ADA: planted.PASSWORD})
    report = doctor(shell, reference)
    assert (report.exit_code, report.status("registry.login")) == (11, "fail")
    assert report.status("registry.answer") == "ok"
    assert list(report.checks) == [*MACHINE, *ARTIFACT[:3]]


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_login_that_is_let_in(
    registry: MemoryRegistry, server: RegistryServer, reference: str, shell: Shell, scheme: str
) -> None:
    users = {ADA: planted.PASSWORD}
    registry.access = Basic(users) if scheme == "Basic" else Bearer(TokenIssuer(users))
    secret = shell.log_in(server.host, ADA, planted.PASSWORD)
    report = doctor(shell, reference, "--plain-http")
    assert report.exit_code == 0
    assert report.finding("registry.login").startswith(f"logged in ({scheme}): {shell.docker_config}")
    assert f"{shell.docker_config}: {server.host}" in report.finding("network.logins")
    assert secret not in json.dumps(report.document)


def test_an_unknown_tag(reference: str, shell: Shell) -> None:
    report = doctor(shell, reference.replace(":7b", ":8b"))
    assert (report.exit_code, report.status("artifact.manifest")) == (10, "fail")
    assert list(report.checks) == [*MACHINE, *ARTIFACT[: ARTIFACT.index("artifact.manifest") + 1]]


def test_a_registry_that_is_not_there(shell: Shell) -> None:
    report = doctor(shell, "127.0.0.1:1/team/kit:7b")
    assert (report.exit_code, report.status("registry.answer")) == (12, "fail")
    assert list(report.checks) == [*MACHINE, *ARTIFACT[:2]]


def test_an_artifact_that_nobody_can_show(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    registry.push("team/nothing", "1", b'{"schemaVersion":2,"manifests":[]}')
    report = doctor(shell, f"{server.host}/team/nothing:1")
    assert (report.exit_code, report.status("artifact.format")) == (14, "fail")


def test_a_mirror_answers_or_is_passed_over(
    registry: MemoryRegistry, server: RegistryServer, storage: RegistryServer, reference: str, kit: Kit, shell: Shell
) -> None:
    storage.registry.push("team/kit", "7b", kit.manifest, kit.blobs)
    directory = shell.home / "hosts" / server.host
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(f'[host."{storage.url}"]\n')
    words = (reference, "--hosts-dir", shell.home / "hosts")
    report = doctor(shell, *words)
    assert report.finding("registry.answer") == f"mirror {storage.host} answers for {server.host}"
    assert not [served for served in registry.requests() if "/manifests/7b" in served.path or "/blobs/" in served.path]
    storage.registry.faults.install(Fault(Match(), faults.Status(503)))
    report = doctor(shell, *words)
    assert (report.exit_code, report.status("registry.answer")) == (0, "warn")
    assert f"had nothing, or failed: {storage.host}" in report.finding("registry.answer")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    private = tmp_path / "key.pem"
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private]
    subprocess.run(make, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", private.with_suffix(".pub")], check=True)
    return private


@pytest.mark.parametrize("listing", [None, ReferrersApi()], ids=["fallback tag", "referrers API"])
def test_an_index_is_found_and_judged_by_the_policy(
    registry: MemoryRegistry, reference: str, key: Path, shell: Shell, listing: ReferrersApi | None
) -> None:
    registry.referrers = listing
    assert shell.run("index", "push", reference, "--sign-key", key, "--cache-dir", shell.home / "publisher").exit_code == 0
    report = doctor(shell, reference)
    assert (report.exit_code, report.status("artifact.index")) == (0, "warn")
    assert "1 found, not believed: nobody signed it" in report.finding("artifact.index")
    assert report.finding("artifact.signature") == "nobody signed it"
    report = doctor(shell, reference, "--trust-key", key.with_suffix(".pub"))
    assert report.status("artifact.index") == "ok"
    assert "believed for 2 of 2 layers (signed by" in report.finding("artifact.index")
    report = doctor(shell, reference, "--trust-index", "registry")
    assert "believed for 2 of 2 layers (registry's word)" in report.finding("artifact.index")


def test_what_the_policy_requires_and_is_missing(reference: str, key: Path, shell: Shell) -> None:
    shell.config.write_text(f'[trust]\nkeys = ["{key.with_suffix(".pub")}"]\nindex = "required"\n')
    report = doctor(shell, reference)
    assert (report.exit_code, report.status("artifact.index")) == (13, "fail")
    shell.config.write_text(f'[trust]\nkeys = ["{key.with_suffix(".pub")}"]\n')
    report = doctor(shell, reference, "--verify-signature")
    assert (report.exit_code, report.status("artifact.signature")) == (13, "fail")
    assert report.status("artifact.index") == "ok"


def test_compressed_layers_are_told_and_not_fetched(registry: MemoryRegistry, server: RegistryServer, shell: Shell) -> None:
    kit = KitBuilder("packed", seed=22, compression="gzip").model("weights.gguf", 2 * MIB).build()
    registry.push("team/packed", "1", kit.manifest, kit.blobs)
    report = doctor(shell, f"{server.host}/team/packed:1")
    assert (report.exit_code, report.status("artifact.compression")) == (0, "warn")
    assert registry.bytes_sent(kit.layers[0].digest) <= 4096
    assert report.loaders == {"llama.cpp": "llama-server -m DIR/weights.gguf --mmap"}


def test_what_does_not_fit_the_cache(reference: str, shell: Shell) -> None:
    report = doctor(shell, reference, "--cache-size", "1MiB")
    assert (report.exit_code, report.status("cache.space")) == (23, "fail")


def test_a_layout_directory_has_no_registry(shell: Shell) -> None:
    report = doctor(shell, f"oci:{golden.LAYOUT}:kit-1.11-full-tar")
    assert report.exit_code == 0
    assert list(report.checks) == MACHINE + [check for check in ARTIFACT if check.startswith("artifact.")]
    assert report.finding("artifact.manifest") == str(golden.manifest_digest("kit-1.11-full-tar"))
    assert doctor(shell, f"oci:{golden.LAYOUT}:none").exit_code == 10


def test_a_proxy_is_told_without_its_password(shell: Shell) -> None:
    proxy = f"http://ada:{planted.PASSWORD}@proxy.test:3128"
    with_proxy = Shell(shell.home, {"HTTPS_PROXY": proxy, "NO_PROXY": "intranet.test"})
    assert doctor(with_proxy).finding("network.proxies") == "https through http://***@proxy.test:3128; not for intranet.test"
    broken = Shell(shell.home, {"HTTPS_PROXY": f"http://ada:{planted.PASSWORD}@:x"})
    assert doctor(broken).exit_code == 2


def test_words_that_are_off_are_refused_before_anything_is_looked_at(shell: Shell) -> None:
    ran = shell.run("doctor", "no-registry")
    assert (ran.exit_code, ran.stdout) == (2, "")
