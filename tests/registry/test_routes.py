"""Which hosts are asked for a repository, out of the files of a node."""

from pathlib import Path

import pytest

from mkfs.errors import UsageError
from mkfs.registry.routes import Route, Routes
from mkfs.registry.settings import HostsSettings
from mkfs.registry.trust import HostTls


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "certs.d").mkdir()
    return tmp_path


def hosts_toml(etc: Path, directory: str, text: str) -> None:
    (etc / "certs.d" / directory).mkdir()
    (etc / "certs.d" / directory / "hosts.toml").write_text(text)


def routes(etc: Path, registry: str, repository: str = "team/model", *confs: str, plain_http: bool | None = None) -> list[Route]:
    paths = []
    for number, text in enumerate(confs):
        path = etc / f"{number}.conf"
        path.write_text(text)
        paths.append(str(path))
    settings = HostsSettings((str(etc / "certs.d"), str(etc / "missing")), tuple(paths))
    return list(Routes(settings, plain_http=plain_http).of(registry, repository))


def shown(found: list[Route]) -> list[str]:
    return [
        f"{route.origin}{route.root}/{route.repository}{f'?ns={route.namespace}' if route.namespace else ''}" for route in found
    ]


def test_without_a_word_it_is_the_registry_itself(etc: Path) -> None:
    assert shown(routes(etc, "ghcr.io")) == ["https://ghcr.io/v2/team/model"]
    assert shown(routes(etc, "localhost:5000")) == ["http://localhost:5000/v2/team/model"]


@pytest.mark.parametrize("directory", ["docker.io", "registry-1.docker.io", "_default"])
def test_containerds_mirrors_come_first_and_are_told_for_whom_they_stand(etc: Path, directory: str) -> None:
    hosts_toml(
        etc,
        directory,
        """
        [host."https://mirror.test/hub"]
          capabilities = ["pull"]
          ca = "ca.crt"
          client = [["/keys/a.cert", "a.key"]]
        [host."http://10.0.0.1:5000"]
          [host."http://10.0.0.1:5000".header]
            X-Team = "ml"
        [host."push.test"]
          capabilities = ["push"]
        """,
    )
    found = routes(etc, "docker.io")
    assert shown(found) == [
        "https://mirror.test/hub/v2/team/model?ns=docker.io",
        "http://10.0.0.1:5000/v2/team/model?ns=docker.io",
        "https://registry-1.docker.io/v2/team/model",
    ]
    here = etc / "certs.d" / directory
    assert found[0].tls == HostTls((str(here / "ca.crt"),), (("/keys/a.cert", str(here / "a.key")),))
    assert [route.tls for route in found[1:]] == [None, None]
    assert [(route.tags, route.digests) for route in found] == [(False, True), (True, True), (True, True)]
    assert [route.registry for route in found] == ["mirror.test", "10.0.0.1:5000", "docker.io"]
    assert [route.headers for route in found] == [(), (("X-Team", "ml"),), ()]
    assert [route.plain_http for route in found] == [False, True, False]


@pytest.mark.parametrize("directory", ["registry.test:5000", "registry.test_5000_"])
def test_a_server_may_be_another_one(etc: Path, directory: str) -> None:
    hosts_toml(etc, directory, 'server = "https://behind.test"\nskip_verify = true')
    (route,) = routes(etc, "registry.test:5000")
    assert shown([route]) == ["https://behind.test/v2/team/model?ns=registry.test:5000"]
    assert route.tls == HostTls(verify=False)


def test_this_machine_is_a_mirror_without_tls(etc: Path) -> None:
    hosts_toml(etc, "ghcr.io", '[host."localhost:5000"]\n[host."127.0.0.1:443"]\n[host."other.test"]')
    assert [str(route.origin) for route in routes(etc, "ghcr.io")] == [
        "http://localhost:5000",
        "https://127.0.0.1",
        "https://other.test",
        "https://ghcr.io",
    ]


PODMAN = """
[[registry]]
prefix = "ghcr.io/team"
location = "Harbor.test/ghcr/team"
[[registry.mirror]]
location = "mirror.test:5000/m"
insecure = true
pull-from-mirror = "digest-only"
"""


def test_podmans_mirrors_come_first_and_names_are_rewritten(etc: Path) -> None:
    found = routes(etc, "ghcr.io", "team/model", PODMAN)
    assert shown(found) == [
        "https://mirror.test:5000/v2/m/model",
        "http://mirror.test:5000/v2/m/model",
        "https://harbor.test/v2/ghcr/team/model",
    ]
    assert [route.tls for route in found] == [HostTls(verify=False), None, None]
    assert [(route.tags, route.plain_http) for route in found] == [(False, False), (False, True), (True, False)]
    assert shown(routes(etc, "ghcr.io", "others/model", PODMAN)) == ["https://ghcr.io/v2/others/model"]


def test_a_later_file_of_podman_counts(etc: Path) -> None:
    later = '[[registry]]\nprefix = "ghcr.io/team"\nlocation = "later.test/x"'
    assert shown(routes(etc, "ghcr.io", "team/model", PODMAN, later)) == ["https://later.test/v2/x/model"]


def test_containerds_word_comes_before_podmans(etc: Path) -> None:
    hosts_toml(etc, "ghcr.io", '[host."https://mirror.test"]')
    assert shown(routes(etc, "ghcr.io", "team/model", PODMAN))[0] == "https://mirror.test/v2/team/model?ns=ghcr.io"


def test_a_registry_may_be_blocked(etc: Path) -> None:
    with pytest.raises(UsageError, match=r"ghcr.io/team/model is blocked by registries.conf") as caught:
        routes(etc, "ghcr.io", "team/model", '[[registry]]\nlocation = "ghcr.io"\nblocked = true')
    assert caught.value.where == str(etc / "0.conf")


def test_a_file_that_makes_no_sense_is_named(etc: Path) -> None:
    hosts_toml(etc, "a.test", "server = ")
    hosts_toml(etc, "b.test", "#" * (257 * 1024))
    hosts_toml(etc, "c.test", '[host."http://exa mple.test"]')
    for registry, words in (("a.test", "not TOML"), ("b.test", "too large"), ("c.test", "is no host")):
        with pytest.raises(UsageError, match=words) as caught:
            routes(etc, registry)
        assert caught.value.where == str(etc / "certs.d" / registry / "hosts.toml")
    with pytest.raises(UsageError, match="names no repository"):
        routes(etc, "ghcr.io", "team", '[[registry]]\nprefix = "ghcr.io/team"\nlocation = "elsewhere.test"')
