"""What systemd makes of our line in fstab, and of our units: judged by systemd's own programs, without systemd running."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from mkfs import errors
from mkfs.cli.mount import command
from mkfs.cli.mount_helper import known_options
from mkfs.cli.mount_words import arguments, split_options
from mkfs.testing.kits import KitBuilder
from mkfs.testing.registry import MemoryRegistry
from mkfs.testing.serving import RegistryServer
from tests.support.documents import ROOT, our_commands, wrong_in
from tests.support.mount8 import Mount8, mount8
from tests.support.mounting import Shell

UNITS: Final = ROOT / "deploy" / "systemd"
SYSTEM_UNITS: Final = sorted(path for path in UNITS.iterdir() if path.suffix in (".service", ".mount", ".automount"))
USER_UNITS: Final = sorted((UNITS / "user").iterdir())
GENERATOR: Final = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")
KIT: Final = KitBuilder("kit", seed=4).model("weights.bin", 5000).docs("README.md", b"# hi\n").build()
_WAIT_SECONDS: Final = 20

# systemd.exec(5): each gives a unit a mount namespace of its own, and what it mounts is seen by nobody else; or hides /dev/fuse.
_OWN_NAMESPACE: Final = re.compile(
    r"(?:Private(?:Mounts|Tmp|Devices|Users|IPC)|Protect(?:System|Home|Proc|ControlGroups|Hostname|Kernel\w+)|"
    r"(?:ReadWrite|ReadOnly|Inaccessible|Exec|NoExec)(?:Paths|Directories)|Bind(?:ReadOnly)?Paths|TemporaryFileSystem|"
    r"Root(?:Directory|Image|Ephemeral)|(?:Mount|Extension)(?:Images|Directories|Flags|APIVFS)|ProcSubset|DynamicUser|LogNamespace|"
    r"NetworkNamespacePath|PrivateNetwork|DevicePolicy|DeviceAllow|ProtectClock)"
)


def settings(unit: Path) -> list[tuple[str, str]]:
    """The lines `Key=value` of a unit."""
    lines = [line for line in unit.read_text().splitlines() if line and line[0] not in "#;["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def value_of(unit: Path, key: str) -> str:
    [value] = [value for name, value in settings(unit) if name == key]
    return value


@pytest.fixture
def machine(shell: Shell) -> Iterator[Mount8]:
    """One with kitfs where systemd looks for programs."""
    programs = shell.new_place("bin")
    (programs / "kitfs").symlink_to(Path(sys.executable).with_name("kitfs"))
    with mount8(shell) as system:
        assert system.run("mount", "--bind", programs, "/usr/local/bin").exit_code == 0
        yield system


def verify(machine: Mount8, unit: Path, *options: str) -> tuple[int, str]:
    """What `systemd-analyze verify` thinks of a unit; of a template, with an instance."""
    environment = {**machine.shell.variables(), "SYSTEMD_UNIT_PATH": f"{unit.parent}:", "XDG_RUNTIME_DIR": str(machine.shell.home)}
    ran = machine.run("systemd-analyze", "--man=no", *options, "verify", unit, environment=environment)
    return ran.exit_code, ran.stdout + ran.stderr


@pytest.mark.fuse
@pytest.mark.systemd
@pytest.mark.parametrize("unit", [*SYSTEM_UNITS, *USER_UNITS], ids=lambda unit: str(unit.relative_to(UNITS)))
def test_systemd_has_nothing_to_say_against_our_units(machine: Mount8, unit: Path) -> None:
    assert verify(machine, unit, *(["--user"] if unit in USER_UNITS else [])) == (0, "")


@pytest.mark.fuse
@pytest.mark.systemd
def test_systemd_would_say_what_is_off(machine: Mount8) -> None:
    unit = machine.shell.home / "kitfs@.service"
    good = (UNITS / "kitfs@.service").read_text()
    for wrong, right in (("KillModus=", "KillMode="), ("Type=notified", "Type=notify"), ("ExecStart=kitfz", "ExecStart=kitfs")):
        assert right in good
        unit.write_text(good.replace(right, wrong))
        assert verify(machine, unit)[1] != ""


@pytest.mark.parametrize("unit", [*SYSTEM_UNITS, *USER_UNITS], ids=lambda unit: str(unit.relative_to(UNITS)))
def test_every_command_and_option_in_a_unit_exists(unit: Path) -> None:
    commands = [value.lstrip("-+!:@") for key, value in settings(unit) if key.startswith("Exec")]
    called = [words for each in commands for words in our_commands(each.replace("$KITFS_OPTIONS", ""))]
    assert len(called) == (2 if unit.suffix == ".service" else 0)
    assert [wrong for words in called if (wrong := wrong_in(words))] == []
    for key, value in settings(unit):
        if key == "Options":
            parse(arguments(split_options(value), known_options()))


def parse(words: list[str]) -> None:
    command.make_context("mount", [*words, "--", "registry.test/kit:1", "/mnt"])  # raises what is off


def test_the_options_of_the_example_exist() -> None:
    parse(shlex.split(value_of(UNITS / "mounts" / "mnt-models-llama.env", "KITFS_OPTIONS")))
    with pytest.raises(click.UsageError):
        parse(["--no-such"])


@pytest.mark.systemd
def test_units_are_named_after_their_directories() -> None:
    for unit in SYSTEM_UNITS:
        if unit.suffix != ".service":
            words = ["systemd-escape", "--path", f"--suffix={unit.suffix[1:]}", value_of(unit, "Where")]
            assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == unit.name
    [example] = (UNITS / "mounts").iterdir()
    drop_in = (UNITS / "vllm.service.d" / "10-model.conf").read_text()
    assert f"kitfs@{example.stem}.service" in drop_in
    assert f"RequiresMountsFor={value_of(UNITS / f'{example.stem}.mount', 'Where')}\n" in drop_in


@pytest.mark.parametrize("unit", [UNITS / "kitfs@.service", *USER_UNITS], ids=lambda unit: str(unit.relative_to(UNITS)))
def test_nothing_hides_the_mount_in_a_namespace_of_the_unit(unit: Path) -> None:
    assert [key for key, _ in settings(unit) if _OWN_NAMESPACE.fullmatch(key)] == []


def test_a_users_unit_leaves_fusermount_its_right() -> None:
    """In a user's manager these bring NoNewPrivileges= with them (systemd.exec(5)), and fusermount3 is set-user-id."""
    [unit] = USER_UNITS
    assert [
        key for key, _ in settings(unit) if key.startswith(("NoNew", "Restrict", "Lock", "Protect", "Private", "SystemCall"))
    ] == []


def test_what_no_second_try_mends_is_not_tried_again() -> None:
    hopeless = {errors.UsageError, errors.IntegrityError, errors.Unsupported}
    for unit in (UNITS / "kitfs@.service", *USER_UNITS):
        assert value_of(unit, "RestartPreventExitStatus").split() == [
            str(code) for code in sorted(kind.exit_code for kind in hopeless)
        ]


def words_of(line: str, place: Path, environment: dict[str, str]) -> list[str]:
    """A command line as systemd cuts it: words first, then specifiers and `${…}` within one, `$…` alone into many."""
    words = []
    for word in shlex.split(line.lstrip("-")):
        if word == "$KITFS_OPTIONS":
            words += shlex.split(environment["KITFS_OPTIONS"])
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], word.replace("%f", str(place))))
    return words


@pytest.mark.fuse
@pytest.mark.parametrize("unit", [UNITS / "kitfs@.service", *USER_UNITS], ids=lambda unit: str(unit.relative_to(UNITS)))
@pytest.mark.parametrize("end", ["ExecStop", "signal"])
def test_the_lines_of_the_template_mount_and_unmount(
    registry: MemoryRegistry, server: RegistryServer, shell: Shell, unit: Path, end: str
) -> None:
    registry.push("team/kit", "1", KIT.manifest, KIT.blobs)
    place = shell.home / "not there yet" / "my model"
    said = {"KITFS_REFERENCE": f"{server.host}/team/kit:1", "KITFS_OPTIONS": "--cache-size 1GiB --filter docs"}
    subprocess.run(words_of(value_of(unit, "ExecStartPre"), place, said), check=True)
    program, *words = words_of(value_of(unit, "ExecStart"), place, said)
    assert program == "kitfs"
    with shell.start(*words) as process:
        try:
            assert process.stderr
            assert any("mounted at" in line for line in process.stderr)
            assert os.listdir(place) == ["README.md"]
            if end == "signal":  # KillMode=mixed: the main process alone gets it
                process.send_signal(signal.SIGTERM)
            else:
                _, *words = words_of(value_of(unit, "ExecStop"), place, said)
                assert shell.run(*words).exit_code == 0
            assert process.wait(_WAIT_SECONDS) == 0
        finally:
            process.kill()
    assert shell.is_tidy()


def generated(tmp_path: Path, *lines: str) -> Path:
    """Where systemd's generator puts what it makes of an fstab of `lines`."""
    table, *into = tmp_path / "fstab", *(tmp_path / name for name in ("normal", "early", "late"))
    table.write_text("".join(f"{line}\n" for line in lines))
    for directory in into:
        directory.mkdir()
    environment = {"SYSTEMD_FSTAB": str(table), "SYSTEMD_LOG_TARGET": "console", "PATH": os.environ["PATH"]}
    done = subprocess.run([GENERATOR, *into], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return into[0]


@pytest.mark.systemd
def test_a_line_with_automount_becomes_a_pair_of_units_that_say_what_the_line_says(tmp_path: Path) -> None:
    options = 'ro,_netdev,nofail,x-systemd.automount,x-systemd.mount-timeout=10min,cache_size=20GiB,filter="docs,model"'
    units = generated(tmp_path, rf"ghcr.io/acme/llama:7b /mnt/models/llama\0407b fuse.kitfs {options} 0 0")
    name = r"mnt-models-llama\x207b"
    mount, automount = units / f"{name}.mount", units / f"{name}.automount"
    assert value_of(mount, "What") == "ghcr.io/acme/llama:7b"
    assert value_of(mount, "Where") == value_of(automount, "Where") == "/mnt/models/llama 7b"
    assert (value_of(mount, "Type"), value_of(mount, "TimeoutSec")) == ("fuse.kitfs", "10min")
    assert arguments(split_options(value_of(mount, "Options")), known_options()) == ["--cache-size=20GiB", "--filter=docs,model"]
    assert wanted_by(units) == {"remote-fs.target.wants": [automount.name]}


@pytest.mark.systemd
def test_only_netdev_makes_it_wait_for_the_network(tmp_path: Path) -> None:
    units = generated(
        tmp_path,
        "oci:/srv/kits:7b /mnt/remote kitfs _netdev 0 0",
        "ghcr.io/acme/llama:7b /mnt/nofail fuse.kitfs _netdev,nofail 0 0",
        "ghcr.io/acme/llama:7b /mnt/local fuse.kitfs defaults 0 0",
        "ghcr.io/acme/llama:7b /mnt/never fuse.kitfs noauto,_netdev 0 0",
    )
    assert wanted_by(units) == {
        "remote-fs.target.requires": ["mnt-remote.mount"],
        "remote-fs.target.wants": ["mnt-nofail.mount"],
        "local-fs.target.requires": ["mnt-local.mount"],
    }


def wanted_by(units: Path) -> dict[str, list[str]]:
    """Which targets want or require which mounts."""
    found: dict[str, list[str]] = {}
    for link in sorted(units.glob("*.target.*/mnt-*")):
        found.setdefault(link.parent.name, []).append(link.name)
    return found


@pytest.mark.fuse
@pytest.mark.systemd
def test_what_the_generator_makes_is_what_mount_mounts(
    machine: Mount8, registry: MemoryRegistry, server: RegistryServer, tmp_path: Path
) -> None:
    """For a mount unit, systemd runs `mount WHAT WHERE -t TYPE -o OPTIONS` (its src/core/mount.c)."""
    registry.push("team/kit", "1", KIT.manifest, KIT.blobs)
    assert machine.run(*machine.shell.words("install-helper")).exit_code == 0
    place = machine.shell.new_place("my model")
    there = str(place).replace(" ", r"\040")
    options = (
        rf'ro,_netdev,nofail,x-systemd.automount,x-systemd.idle-timeout=5min,cache_dir={machine.shell.cache},filter="docs,kitfile"'
    )
    units = generated(tmp_path, f"{server.host}/team/kit:1 {there} fuse.kitfs {options} 0 0")
    [unit] = units.glob("*.mount")
    words = [value_of(unit, "What"), value_of(unit, "Where"), "-t", value_of(unit, "Type"), "-o", value_of(unit, "Options")]
    mount = shutil.which("mount") or "mount"
    variables = {"PATH": "/usr/bin:/bin", "MKFS_CONFIG": str(machine.shell.config)}  # no HOME
    assert machine.run(mount, *words, environment=variables).exit_code == 0
    assert machine.run("ls", place).stdout.split() == ["Kitfile", "README.md"]
    machine.umount(place)
