"""The manifests of deploy/kubernetes: what a cluster would say of them, and what of them is ours. No cluster runs here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.documents import ROOT, our_commands, wrong_in

FILES = sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
VERSION = "1.34"

Object = dict[str, Any]


def objects(file: Path) -> list[Object]:
    return list(yaml.safe_load_all(file.read_text()))


OBJECTS = [pytest.param(each, id=f"{file.stem}-{each['kind']}") for file in FILES for each in objects(file)]
PODS = [
    pytest.param(each["spec"]["template"]["spec"] if "template" in each["spec"] else each["spec"], id=f"{file.stem}-{each['kind']}")
    for file in FILES
    for each in objects(file)
    if each["kind"] in ("DaemonSet", "Deployment", "Pod")
]


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def named(pod: Object, name: str) -> Object:
    return next(each for each in containers(pod) if each["name"] == name)


def commands(container: Object) -> Iterator[list[str]]:
    """The command lines of a container: its own, and those of its probes and hooks. Without `command` our image runs kitfs."""
    if "/kitfs:" in container["image"] or "command" in container:
        yield [*container.get("command", ["kitfs"]), *container.get("args", ())]
    probes = [container.get(name) for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    for probe in [*probes, *container.get("lifecycle", {}).values()]:
        if probe and "exec" in probe:
            yield probe["exec"]["command"]


def ours(words: list[str]) -> Iterator[list[str]]:
    """Each call of kitfs within a command line, that of a shell and what follows `--` included."""
    if words[:2] == ["sh", "-c"]:
        for call in our_commands(words[2]):
            yield from ours(["kitfs", *call])
    elif words[:1] == ["kitfs"]:
        yield words[1:]
        if "--" in words:
            yield from ours(words[words.index("--") + 1 :])


def test_there_are_three() -> None:
    assert [file.stem for file in FILES] == ["daemonset", "handover", "sidecar"]


@pytest.mark.parametrize("each", OBJECTS)
def test_the_schema_of_its_kind_accepts_it_and_knows_every_field(each: Object) -> None:
    kubernetes_validate.validate(each, VERSION, strict=True)


def test_the_schema_would_refuse_a_field_it_does_not_know() -> None:
    pod = next(each for each in objects(FILES[0]) if each["kind"] == "Pod")
    pod["spec"]["containers"][0]["mountPropagation"] = "Bidirectional"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, VERSION, strict=True)


@pytest.mark.parametrize("pod", PODS)
def test_every_verb_and_option_of_ours_exists(pod: Object) -> None:
    calls = [call for container in containers(pod) for words in commands(container) for call in ours(words)]
    assert [said for call in calls if (said := wrong_in(call))] == []
    if any("/kitfs:" in container["image"] for container in containers(pod)):
        assert any("mount" in call for call in calls)


@pytest.mark.parametrize("pod", PODS)
def test_every_volume_named_is_there_and_used(pod: Object) -> None:
    mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", ())}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("pod", PODS)
def test_nobody_gets_a_token_and_everybody_a_limit_of_memory(pod: Object) -> None:
    assert pod["automountServiceAccountToken"] is False
    for container in containers(pod):
        assert container["resources"]["limits"]["memory"], container["name"]
        assert container["resources"]["requests"], container["name"]


@pytest.mark.parametrize("pod", PODS)
def test_only_who_mounts_is_privileged_and_only_they_pass_mounts_on(pod: Object) -> None:
    for container in containers(pod):
        security, mounts = container["securityContext"], container["volumeMounts"]
        passing = [mount for mount in mounts if mount.get("mountPropagation") == "Bidirectional"]
        assert bool(security.get("privileged")) is bool(passing), container["name"]
        if not passing:
            assert security["allowPrivilegeEscalation"] is False, container["name"]
            assert all(mount["mountPropagation"] == "HostToContainer" for mount in mounts if mount["name"] == "models")


def test_what_serves_a_handed_over_mount_may_nothing() -> None:
    pod = next(each for each in objects(ROOT / "deploy/kubernetes/handover.yaml") if each["kind"] == "Deployment")["spec"][
        "template"
    ]
    security = named(pod["spec"], "kitfs")["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["capabilities"]) == (True, 65532, {"drop": ["ALL"]})
    assert "--user 65532" in " ".join(named(pod["spec"], "fuse")["args"])
    assert not {"registry", "cache"} & {mount["name"] for mount in named(pod["spec"], "fuse")["volumeMounts"]}


def test_an_upgrade_takes_no_mount_of_a_node_away() -> None:
    daemons = next(each for each in objects(ROOT / "deploy/kubernetes/daemonset.yaml") if each["kind"] == "DaemonSet")
    assert daemons["spec"]["updateStrategy"] == {"type": "OnDelete"}
