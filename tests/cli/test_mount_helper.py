"""The helper's edge: which options there are, and which numbers it ends with."""

import importlib
import tomllib

import click
import pytest

from mkfs import errors
from mkfs.cli.mount import command
from mkfs.cli.mount_helper import is_from_mount_fuse, known_options, number
from mkfs.cli.mount_words import arguments
from tests.support.documents import ROOT

OF_MOUNT = {0, 1, 2, 4, 8, 16, 32, 64}  # mount(8), "EXIT STATUS", and their sums


@pytest.mark.parametrize(
    ("exit_code", "mounts"),
    [
        (None, 0),
        (0, 0),
        (errors.UsageError.exit_code, 1),
        (errors.FuseUnavailable.exit_code, 2),
        (errors.MkfsError.exit_code, 4),
        (130, 8),
        (errors.NotFound.exit_code, 32),
        (errors.MountpointUnusable.exit_code, 32),
        (errors.Busy.exit_code, 32),
        ("a message", 4),
    ],
)
def test_the_numbers_are_those_of_mount(exit_code: object, mounts: int) -> None:
    assert number(exit_code) == mounts


def test_no_error_of_ours_ends_with_another_number() -> None:
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MkfsError)}
    assert {number(code) for code in codes} <= OF_MOUNT - {0}


def test_every_option_of_the_command_is_one_of_a_line_and_takes_its_value() -> None:
    known = known_options()
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.name in ("help", "foreground"):
            continue
        flag = max(parameter.opts, key=len)
        assert flag.startswith("--"), parameter.opts
        name = flag[2:].replace("-", "_")
        takes_value = not (parameter.is_flag or parameter.count)
        [word] = arguments([f"{name}=x" if takes_value else name], known)
        parsed, _, _ = command.make_parser(click.Context(command)).parse_args([word, "--", "REF", "DIR"])
        assert parameter.name in parsed, word


def test_what_makes_no_sense_in_a_line_is_no_option_of_it() -> None:
    assert not {"help", "foreground", "h", "f", "q", "v"} & set(known_options())
    assert {"no-allow-other", "allow-other", "cache-size", "tag-ttl", "trust-key", "config", "quiet"} <= set(known_options())


def test_every_script_of_the_package_leads_to_a_function() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert set(scripts) == {"mkfs", "kitfs", "mount.fuse.kitfs"}
    for target in scripts.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    ("line", "is_it"),
    [
        ("ghcr.io/acme/llama:7b /mnt -o rw,dev,suid", True),
        ("oci:/srv/kit /mnt -o ro", True),
        ("mount /mnt -o x", False),
        ("install-helper /mnt -o x", False),
        ("ghcr.io/acme/llama:7b mnt -o rw", False),
        ("ghcr.io/acme/llama:7b /mnt -o", False),
        ("index build registry/a:b -o out", False),
    ],
)
def test_a_line_of_libfuses_helper_is_recognised(line: str, is_it: bool) -> None:
    assert is_from_mount_fuse(line.split()) is is_it
