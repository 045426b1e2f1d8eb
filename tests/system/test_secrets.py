"""A registry full of secrets, asked by every verb, wordily: `tests.plugins.leaks` looks at what they write and leave behind."""

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest

from mkfs.testing import faults, planted
from mkfs.testing.access import Bearer
from mkfs.testing.faults import Fault, Match
from mkfs.testing.kits import Kit, KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer, serve
from mkfs.testing.tokens import TokenIssuer
from mkfs.units import MIB
from tests.support.mounting import Shell

ADA = "ada"
FAILURES = {
    "a signed address is refused": faults.Status(403, body=planted.SIGNATURE.encode()),
    "the storage breaks off": faults.Reset(10),
    "the storage holds other bytes": faults.Flip(20),
    "the storage repeats what it was shown": faults.Status(
        404, body=f'{{"errors":[{{"code":"NO","message":"not for {planted.SIGNATURE}"}}]}}'.encode()
    ),
}


@pytest.fixture
def storage() -> Iterator[RegistryServer]:
    with serve(MemoryRegistry()) as server:
        yield server


@pytest.fixture
def closed(registry: MemoryRegistry, server: RegistryServer, storage: RegistryServer, shell: Shell) -> str:
    """A kit behind a password, with blobs behind signed addresses, for somebody who logged in."""
    kit: Kit = KitBuilder("closed", seed=17).model("weights.bin", 2 * MIB).docs("README.md", b"# closed\n").build()
    registry.push("team/closed", "1", kit.manifest, kit.blobs)
    storage.registry.push("any", None, kit.manifest, kit.blobs)
    registry.access = Bearer(TokenIssuer({ADA: planted.PASSWORD}))
    signed = f"{storage.url}/storage/{{digest}}?X-Amz-Credential={planted.MARK}&X-Amz-Signature={planted.SIGNATURE}"
    registry.faults.install(Fault(Match("GET", path="/blobs/"), faults.Redirect(signed)))
    shell.log_in(server.host, ADA, planted.PASSWORD)
    return f"{server.host}/team/closed:1"


@pytest.mark.fuse
def test_no_verb_gives_a_secret_away(closed: str, shell: Shell) -> None:
    place, index = shell.new_place(), shell.home / "index"
    for words in (
        ("resolve", closed),
        ("tags", closed),
        ("inspect", closed),
        ("inspect", closed, "--format", "json", "--lint"),
        ("ls", closed),
        ("warmup", closed),
        ("verify", closed),
        ("index", "build", closed, "--output", index),
        ("index", "push", closed),
        ("doctor", closed),
        ("mount", closed, place),
    ):
        ran = shell.run(*words, "--plain-http", "-vv")
        assert ran.exit_code in (0, 14 if "--lint" in words else 0), ran
    assert (place / "README.md").read_bytes() == b"# closed\n"
    for form in ("text", "json"):
        assert shell.run("status", place, "--format", form, "-vv").exit_code == 0
    assert shell.run("umount", place).exit_code == 0


@pytest.mark.fuse
@pytest.mark.parametrize("failure", FAILURES)
def test_no_error_that_status_tells_gives_a_secret_away(storage: RegistryServer, closed: str, shell: Shell, failure: str) -> None:
    with shell.mounted(closed, "--plain-http", "-vv") as mount:
        fault = storage.registry.faults.install(Fault(Match(), FAILURES[failure], times=2))
        with suppress(OSError):
            mount.path("weights.bin").read_bytes()
        storage.registry.faults.mend(fault)
        ran = shell.run("status", mount.place, "--format", "json", "-vv")
        assert ran.exit_code == 0, ran
        report = json.loads(ran.stdout)["report"]
        assert report["errors"] or report["registry"]["redirects"]


@pytest.mark.parametrize("failure", FAILURES)
def test_no_traceback_gives_a_secret_away(storage: RegistryServer, closed: str, shell: Shell, failure: str) -> None:
    storage.registry.faults.install(Fault(Match(), FAILURES[failure]))
    ran = shell.run("ls", closed, "--plain-http", "-vv")
    assert (ran.exit_code != 0, "Traceback" in ran.stderr) == (True, True), ran
