"""A mount that is asked over HTTP, as Prometheus, a kubelet and a person ask."""

import random
import re
import socket
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mkfs.service.metrics.metric import Kind
from mkfs.service.metrics.table import ALL
from mkfs.testing import faults
from mkfs.testing.faults import Fault, Match
from mkfs.testing.gates import Gate
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from mkfs.units import MIB
from tests.support.mounting import Mount, Shell, refusal_of

pytestmark = pytest.mark.fuse

SECONDS = 10
TEXT = "text/plain; charset=utf-8"


def address_of(mount: Mount) -> str:
    """Where it said it may be asked."""
    found = re.search(r"metrics at (http://\S+)/metrics", mount.ran.stderr)
    assert found, mount.ran
    assert found[0] in mount.log_file.read_text()
    return found[1]


def ask(url: str, accept: str = "", method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and text."""
    try:
        with urlopen(Request(url, headers={"Accept": accept}, method=method), timeout=SECONDS) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def numbers(families: list[Family]) -> dict[str, float]:
    """Every sample, by `name` or `name{value,…}`."""
    found = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(value for _, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def numbers_of(mount: Mount) -> dict[str, float]:
    return numbers(list(parse_text(ask(f"{address_of(mount)}/metrics")[2])))


def port_of_nobody() -> int:
    """A port that is free, and stays so: the kernel gives it to nobody who takes any (ip(7), ip_local_port_range)."""
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [port for port in range(1024, 65536) if not lowest <= port <= highest]
    for port in random.sample(others or range(1024, 65536), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


def seen_by(registry: MemoryRegistry) -> Counter[tuple[str, str]]:
    """What it answered, by method and class."""
    return Counter((served.method, f"{served.status // 100}xx") for served in registry.log)


@pytest.fixture
def kit() -> Kit:
    return KitBuilder("llama", seed=5).model("model.bin", 3 * MIB).docs("README.md", b"hello").build()


@pytest.fixture
def reference(registry: MemoryRegistry, server: RegistryServer, kit: Kit) -> str:
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)
    return f"{server.host}/team/llama:7b"


def test_the_numbers_are_those_that_the_registry_and_the_reader_counted(
    shell: Shell, registry: MemoryRegistry, reference: str, kit: Kit
) -> None:
    with shell.mounted(reference, "--metrics-address", "0", "--prefetch", "none") as mount:
        read = sum(len(mount.path(name).read_bytes()) for name in ("model.bin", "README.md"))
        with pytest.raises(FileNotFoundError):
            mount.path("nothing").stat()
        told = numbers_of(mount)

    seen = seen_by(registry)
    requests = {name: count for name, count in told.items() if name.startswith("mkfs_registry_requests_total") and count}
    assert requests == {f"mkfs_registry_requests_total{{{method},{outcome}}}": count for (method, outcome), count in seen.items()}
    assert told["mkfs_registry_received_bytes_total"] == sum(served.sent_bytes for served in registry.log)
    layers = sum(registry.bytes_sent(layer.digest) for layer in kit.layers)
    assert told["mkfs_layer_fetched_bytes_total"] == layers > 0
    assert told["mkfs_prefetch_fetched_bytes_total"] == told["mkfs_prefetch_used_bytes_total"] == 0
    for histogram in ("first_byte", "request"):
        assert told[f"mkfs_registry_{histogram}_seconds_count"] == len(registry.log)

    assert told["mkfs_fuse_served_bytes_total"] == told["mkfs_fuse_read_size_bytes_sum"] == read
    assert told["mkfs_fuse_requests_total{read,ok}"] == told["mkfs_fuse_read_size_bytes_count"] > 0
    assert told["mkfs_fuse_requests_total{read,ok}"] == told["mkfs_fuse_reads_total{now}"] + told["mkfs_fuse_reads_total{waited}"]
    assert told["mkfs_fuse_read_wait_seconds_count"] == told["mkfs_fuse_reads_total{waited}"] > 0
    assert told["mkfs_fuse_requests_total{lookup,ENOENT}"] == 1
    assert told["mkfs_fuse_requests_total{open,ok}"] == told["mkfs_fuse_opened_files_total"] == 2
    assert told["mkfs_cache_published_layers_total"] == told["mkfs_layers_published"] == 2
    assert told["mkfs_layers{own}"] == 2
    assert told["mkfs_cache_size_bytes"] > read
    assert told["mkfs_mount_ready"] == 1
    assert told["process_open_fds"] > 0


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"])
def test_what_is_exported_is_what_is_documented(shell: Shell, reference: str, accept: str) -> None:
    with shell.mounted(reference, "--metrics-address", "0") as mount:
        mount.path("model.bin").read_bytes()
        status, content_type, text = ask(f"{address_of(mount)}/metrics", accept)
    assert status == 200
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain; version=0.0.4")
    families = list((parse_openmetrics if accept else parse_text)(text))
    assert len({family.name for family in families}) == len(families)
    exported = {family.name: family for family in families}

    expected = {}
    for metric in ALL:
        name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
        kind = metric.kind.value
        if metric.kind is Kind.INFO:
            name, kind = (name.removesuffix("_info"), "info") if accept else (name, "gauge")
        expected[name] = (kind, metric.help)
        values = {label.name: set(label.values) for label in metric.labels}
        for sample in exported[name].samples:
            assert set(sample.labels) - {"le"} == set(values), sample
            assert all(not values[label] or value in values[label] for label, value in sample.labels.items() if label != "le")
        assert exported[name].samples
        assert not accept or exported[name].unit in {metric.unit, ""}
    assert {name: (family.type, family.documentation) for name, family in exported.items()} == expected


def test_probes_are_answered_and_nothing_else(shell: Shell, reference: str) -> None:
    with shell.mounted(reference, "--metrics-address", "0") as mount:
        address = address_of(mount)
        for path in ("healthz", "readyz"):
            assert ask(f"{address}/{path}") == (200, TEXT, "ok\n")
        assert ask(f"{address}/metrics", method="HEAD")[::2] == (200, "")
        assert ask(f"{address}/")[0] == 404
        assert ask(f"{address}/metrics", method="POST")[0] == 405
        assert ask(f"{address}/metrics", accept="application/openmetrics-text; version=x")[0] == 200
        assert "127.0.0.1:" in address
    with pytest.raises(OSError, match="refused"):
        ask(f"{address}/healthz")


def test_errors_of_readers_are_counted(shell: Shell, registry: MemoryRegistry, reference: str, kit: Kit) -> None:
    big = max(kit.blobs, key=lambda digest: kit.blobs[digest].size_bytes)
    with shell.mounted(reference, "--metrics-address", "0", "--prefetch", "none") as mount:
        registry.faults.install(Fault(Match(digest=big), faults.Flip(MIB)))
        assert refusal_of(mount.path("model.bin").read_bytes) == "EIO"
        told = numbers_of(mount)
    assert told["mkfs_fuse_requests_total{read,EIO}"] > 0
    assert told["mkfs_cache_misses_total"] > 0
    assert (told["mkfs_mismatches_total{layer}"], told["mkfs_mismatches_total{chunk}"]) == (2, 0)
    assert told["mkfs_fuse_served_bytes_total"] == 0


def test_before_it_is_mounted_it_says_so(shell: Shell, registry: MemoryRegistry, reference: str) -> None:
    gate = Gate()
    registry.faults.install(Fault(Match(), faults.Withhold(gate)))
    port = port_of_nobody()
    place, address = shell.new_place(), f"http://127.0.0.1:{port}"
    starting = shell.start("mount", reference, place, "--metrics-address", f":{port}")
    assert gate.wait_until_held()
    assert ask(f"{address}/healthz") == (503, TEXT, "not mounted yet\n")
    told = numbers(list(parse_text(ask(f"{address}/metrics")[2])))
    assert told["mkfs_mount_ready"] == 0
    assert "mkfs_fuse_reads_waiting" not in told
    gate.release()
    assert starting.communicate(timeout=60)[0] == ""
    assert starting.returncode == 0
    assert ask(f"{address}/healthz")[0] == 200
    assert shell.run("umount", place).exit_code == 0


def test_a_directory_that_somebody_else_unmounted_is_not_healthy(shell: Shell, reference: str) -> None:
    with shell.mounted(reference, "--metrics-address", "0") as mount, mount.path("model.bin").open("rb"):
        address = address_of(mount)
        subprocess.run(["umount", "--lazy", mount.place], check=True)
        status, _, words = ask(f"{address}/healthz")
        assert (status, "unmounted" in words) == (503, True)
        assert numbers(list(parse_text(ask(f"{address}/metrics")[2])))["mkfs_mount_ready"] == 0


def test_an_address_that_is_taken_is_an_error_before_anything_is_asked(
    shell: Shell, registry: MemoryRegistry, reference: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = shell.run("mount", reference, shell.new_place(), "--metrics-address", address)
    assert ran.exit_code == 2
    assert address in ran.lines[0]
    assert "another port" in ran.lines[-1]
    assert len(registry.log) == 0
    assert shell.mounts() == []


def test_words_that_are_no_address_are_refused_at_once(shell: Shell, reference: str) -> None:
    ran = shell.run("mount", reference, shell.new_place(), "--metrics-address", "node7:9400")
    assert ran.exit_code == 2
    assert "--metrics-address" in ran.stderr


def test_a_repository_tells_of_all_that_was_looked_into(shell: Shell, registry: MemoryRegistry, reference: str) -> None:
    repository = reference.removesuffix(":7b")
    with shell.mounted(repository, "--metrics-address", "0", "--prefetch", "none") as mount:
        assert sum(value for name, value in numbers_of(mount).items() if name.startswith("mkfs_layers{")) == 0
        read = len(mount.path("tags/7b/model.bin").read_bytes())
        before, told, after = seen_by(registry), numbers_of(mount), seen_by(registry)
    assert told["mkfs_layers{own}"] == told["mkfs_layers_published"] == 2
    assert told["mkfs_fuse_served_bytes_total"] == read
    for method, outcome in before:
        count = told[f"mkfs_registry_requests_total{{{method},{outcome}}}"]
        assert before[method, outcome] <= count <= after[method, outcome]
