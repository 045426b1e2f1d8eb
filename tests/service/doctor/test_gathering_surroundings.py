"""Facts of disks, logins and certificates, and that looking changes nothing."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mkfs.cache.mounts import OUR_FILE_SYSTEM
from mkfs.cache.store import Cache
from mkfs.registry.proxies import Proxies
from mkfs.registry.settings import ClientSettings, TlsSettings
from mkfs.service.doctor.gathering import storage, surroundings
from mkfs.service.doctor.judging.storage import State, judge_directory
from mkfs.service.doctor.judging.surroundings import LoginFile
from mkfs.service.doctor.situation import Situation
from mkfs.service.settings import SourceSettings
from mkfs.testing import planted


def at(cache: Path, client: ClientSettings | None = None, **variables: str) -> Situation:
    return Situation(
        source=SourceSettings(reference="", cache_dir=str(cache), client=client or ClientSettings()),
        log_dir=str(cache / "log"),
        runtime_dir=str(cache / "run"),
        read_timeout_seconds=300.0,
        uid=os.geteuid(),
        variables=variables,
    )


def everything(directory: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in [directory, *directory.rglob("*")]}


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tmpfs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    Cache.open(tmp_path / "there").close()
    (tmp_path / "empty").mkdir(mode=0o700)
    for name in ("there", "empty", "missing"):
        situation = at(tmp_path / name)
        before = {path: mode for path, (mode, _) in everything(tmp_path).items()}
        states = {"there": State.CACHE, "empty": State.EMPTY, "missing": State.MISSING}
        assert storage.cache_directory(situation).state is states[name]
        assert storage.file_system(situation).type
        assert storage.abilities(situation).tried
        assert storage.space(situation).disk.total_bytes
        assert storage.used_bytes(tmp_path / name) == 0 or name == "there"
        assert storage.log_directory(situation).trouble == ""
        assert storage.runtime_directory(situation).exists is False
        assert {path: mode for path, (mode, _) in everything(tmp_path).items()} == before


def test_a_directory_that_a_mount_would_refuse_is_refused_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "somebody's").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to("full")
    (tmp_path / "file").touch()
    for name, words in (("full", "holds no cache"), ("open", "written by others"), ("link", "symbolic link"), ("file", "Not a")):
        finding = judge_directory(storage.cache_directory(at(tmp_path / name)))
        assert (words in finding.text, finding.exit_code, bool(finding.remedy)) == (True, 23, True), finding
    assert list((tmp_path / "open").iterdir()) == []


def test_a_place_on_a_mount_of_ours_is_refused_and_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mkfs.cache.layout.file_system_above", lambda _path: OUR_FILE_SYSTEM)
    monkeypatch.setattr(storage, "nearest", lambda _path: pytest.fail("asked"))
    assert "on a mount of ours" in judge_directory(storage.cache_directory(at(tmp_path / "missing"))).text


def test_a_cache_of_another_user_is_refused(tmp_path: Path) -> None:
    Cache.open(tmp_path / "theirs").close()
    os.chown(tmp_path / "theirs", 1234, 1234)
    assert "belongs to another user" in judge_directory(storage.cache_directory(at(tmp_path / "theirs"))).text


def test_the_disk_is_that_of_what_is_above(tmp_path: Path, tmpfs: Path) -> None:
    situation = at(tmpfs / "a" / "b")
    assert storage.file_system(situation).type == "tmpfs"
    assert storage.space(situation).disk.total_bytes == 1 << 20
    found = storage.abilities(situation)
    assert (found.tried, found.page_cache) == (True, False)
    assert storage.nearest(tmpfs / "a" / "b") == tmpfs


def test_a_disk_that_takes_no_byte_was_not_tried(tmpfs: Path) -> None:
    (tmpfs / "all of it").write_bytes(bytes((1 << 20) - (8 << 10)))
    with suppress(OSError), (tmpfs / "the rest").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert not storage.abilities(at(tmpfs / "cache")).tried
    (tmpfs / "cache").mkdir(mode=0o700)
    assert not storage.abilities(at(tmpfs / "cache")).tried


def test_a_disk_that_takes_no_file_was_not_tried(tmpfs: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
    assert not storage.abilities(at(tmpfs / "cache")).tried


def test_a_log_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert storage.log_directory(at(tmp_path)).trouble == "it is no directory"


def test_logins_are_told_by_names_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker-credential-there").write_text("#!/bin/sh\n")
    (programs / "docker-credential-there").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    document = {
        "auths": {
            "h.test": {"username": "ada", "password": planted.PASSWORD},
            f"https://u:{planted.PASSWORD}@x.test/v2/": {"username": "ada", "password": "word"},
        },
        "credHelpers": {"ghcr.io": "there", "quay.io": "gone", "z.test": "../escape"},
    }
    (tmp_path / "config.json").write_text(json.dumps(document))
    (tmp_path / "config.json").chmod(0o644)
    (tmp_path / "bad.json").write_text("{")
    files = tuple(str(tmp_path / name) for name in ("config.json", "missing.json", "bad.json"))
    found = surroundings.logins(at(tmp_path, ClientSettings(credential_files=files)))
    helpers = ("docker-credential-there", "docker-credential-gone")
    assert found == (
        LoginFile(files[0], ("h.test", "ghcr.io", "quay.io", "z.test"), helpers, helpers[1:], open_to_others=True),
        LoginFile(files[1]),
        LoginFile(files[2], trouble="is not JSON that makes sense"),
    )


def test_certificates_are_counted(tmp_path: Path) -> None:
    assert surroundings.tls(at(tmp_path)).authorities > 10
    (tmp_path / "no.pem").write_text("no certificate")
    unusable = ClientSettings(tls=TlsSettings(ca_file=str(tmp_path / "no.pem")))
    assert "no certificate in PEM form" in surroundings.tls(at(tmp_path, unusable)).trouble
    assert surroundings.tls(at(tmp_path, ClientSettings(tls=TlsSettings(verify=False)))).verify is False


def test_a_certificate_file_of_the_environment_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no.pem"))
    found = surroundings.tls(at(tmp_path, SSL_CERT_FILE=str(tmp_path / "no.pem")))
    assert str(tmp_path / "no.pem") in found.trouble or found.authorities == 0


def test_proxies_are_those_of_the_client(tmp_path: Path) -> None:
    client = ClientSettings(proxies=Proxies(http="http://p:1", exceptions=("a.test",)))
    found = surroundings.proxies(at(tmp_path, client))
    assert (found.http, found.https, found.exceptions) == ("http://p:1", "", ("a.test",))
