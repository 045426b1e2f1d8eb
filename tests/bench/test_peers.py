"""The field of peers in `scripts/bench`: who fails is left out and named, and holds up nobody."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bench.payload import Payload
from bench.peers import Field, Peer, kits
from bench.processes import Cpu
from bench.report import Row
from bench.routes import Route
from bench.scene import Scene

PAYLOAD = Payload("kit", "artifact", "repository", 3, {"a": "sum"}, {"a": 3})
ROUTE = Route("loopback", "host:1")


@contextmanager
def good(_scene: Any, _payload: Any, _route: Any, place: Path) -> Iterator[Path]:
    assert not list(place.iterdir())
    (place / "a").write_bytes(b"abc")
    yield place


@contextmanager
def short(_scene: Any, _payload: Any, _route: Any, place: Path) -> Iterator[Path]:
    (place / "a").write_bytes(b"ab")
    yield place


def broken(*_: Any) -> Any:
    raise subprocess.CalledProcessError(7, ["peer", "/a/path/of/this/machine"])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return cast(Scene, SimpleNamespace(directory=tmp_path, settle=lambda: None, registry_cpu=lambda: Cpu(0.0, 0.0)))


def test_who_fails_or_brings_too_little_is_left_out_and_named(scene: Scene) -> None:
    field = Field(scene, PAYLOAD, ROUTE, [Peer("broken", broken), Peer("short", short), Peer("good", good)])
    field.turn()
    field.turn()
    ours = Row("ours", "s", [1.0, 1.0])
    assert [(row.what, row.peer, row.theirs) for row in field.rows(ours, {})] == [("good + read", ours, True)]
    assert [len(turns) for turns in field.turns.values()] == [2]
    assert field.remarks == ["broken: failed (exit code 7)", "short: failed (Failed)"]


def test_nothing_of_a_turn_stays(scene: Scene) -> None:
    Field(scene, PAYLOAD, ROUTE, [Peer("good", good)]).turn()
    assert not list(scene.directory.iterdir())


def test_kits_take_part_where_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KIT", "MODCTL"):
        monkeypatch.delenv(name, raising=False)
    assert kits(lambda: pytest.fail("pushed for nobody")) == (
        [],
        ["kit: left out (KIT= gives one)", "modctl: left out (MODCTL= gives one)"],
    )
    monkeypatch.setenv("KIT", "kit")
    peers, remarks = kits(lambda: "reference")
    assert [peer.name for peer in peers] == ["kit pull + unpack", "kit unpack from remote, unproven"]
    assert remarks == ["modctl: left out (MODCTL= gives one)"]
