"""Targets: files of the machine, and the words of mount(8). Who writes them is no enemy, but anybody may mount something."""

import os
import re
from pathlib import Path
from typing import Final
from unittest.mock import patch

import msgspec

from mkfs.cli.config import Config, load_config
from mkfs.cli.mount_words import Option, arguments, environment, parse_words, split_options
from mkfs.errors import BadDocument, UsageError
from mkfs.fuse.mountinfo import Mount, parse_mountinfo, spelled, unspelled
from mkfs.oci.toml import decode_toml
from mkfs.proof.trust_settings import read_trust
from mkfs.registry.docker_config import DockerConfig
from mkfs.registry.hosts_toml import decode_hosts_toml
from mkfs.registry.registries_conf import best_entry, decode_registries_conf
from mkfs.service.control_wire import PING, STATUS, WATCH, Refusal, decode_request, encode
from tests.fuzz.oracles import answer
from tests.support.golden import GOLDEN

NAME: Final = "ghcr.io/acme/model"
OPTIONS: Final = {
    "cache-dir": Option("--cache-dir", takes_value=True),
    "allow-other": Option("--allow-other", takes_value=False),
    "verify": Option("--verify", takes_value=True),
}
_KEY: Final = (GOLDEN / "cosign" / "p256.pub").read_text()
_SPECIAL: Final = re.compile(r'([\\",])')
_UNPRINTABLE: Final = re.compile(rb"[ \t\n\\#]")


def check_toml(data: bytes) -> None:
    """hosts.toml, registries.conf, and our own config file."""
    for host in answer(UsageError, decode_hosts_toml, data) or ():
        assert not host.path or host.path.startswith("/")
        assert host.dial_seconds is None or host.dial_seconds > 0
    entry = best_entry(answer(UsageError, decode_registries_conf, data) or (), NAME)
    if entry is not None:
        assert all(place.name for place in entry.places(NAME))
    answer(UsageError, _load_config, data)
    document = answer(UsageError, decode_toml, data) or {}
    trust = document.get("trust")
    settings = answer(UsageError, read_trust, trust, lambda _: _KEY, "config.toml") if isinstance(trust, dict) else None
    if settings is not None:
        answer(UsageError, settings.policy)


def _load_config(data: bytes) -> Config:
    """The config file that holds `data`. Whatever files of keys it names, none is read."""
    descriptor = os.memfd_create("config.toml")
    try:
        os.pwrite(descriptor, data, 0)
        with patch("mkfs.cli.config.read_key_file", lambda _: _KEY):
            return load_config(Path(f"/proc/self/fd/{descriptor}"), ())
    finally:
        os.close(descriptor)


def check_docker_config(data: bytes) -> None:
    """Credentials that can be sent, and shown by no `repr`."""
    config = answer(BadDocument, DockerConfig.parse, data)
    if config is None:
        return
    for key in (*config.auths, *config.helpers, "docker.io"):
        host, _, repository = key.partition("/")
        config.helper(host)
        credential = config.credential(host, repository)
        if credential is not None:
            assert credential.basic().isascii()
            assert "password" not in repr(credential)


def check_mountinfo(data: bytes) -> None:
    """One mount for a line at most, in their order, and the same one from the line as the kernel would write it."""
    mounts = parse_mountinfo(data)
    assert len(mounts) <= len(data.split(b"\n"))
    for mount in mounts:
        assert isinstance(mount.label, str)
    assert parse_mountinfo(b"\n".join(map(_line, mounts))) == mounts
    text = data.decode("utf-8", "surrogateescape")
    name = spelled(text)
    assert name.isascii()
    assert not {"\n", "\r", "\0"} & set(name)
    assert unspelled(name) == text


def check_control_request(data: bytes) -> None:
    """A request or a refusal in words of ours; both can be written down, and a request comes back."""
    found = decode_request(data)
    if isinstance(found, Refusal):
        assert found.what.isprintable()
        assert len(found.what) < 300
        assert encode(error=found).endswith(b"\n")
    else:
        assert found.request in {STATUS, WATCH, PING}
        assert decode_request(msgspec.json.encode(found)) == found


def _line(mount: Mount) -> bytes:
    kind, source, options = (
        each.encode("utf-8", "surrogateescape") for each in (mount.file_system, mount.source, ",".join(mount.options))
    )
    fields = (mount.root, mount.place, kind, source, options)
    root, place, kind, source, options = (_UNPRINTABLE.sub(lambda match: b"\\%03o" % match[0][0], each) for each in fields)
    device = mount.device.encode("utf-8", "surrogateescape")
    return b"1 2 %b %b %b rw - %b %b %b" % (device, root, place, kind, source, options)


def check_mount_words(data: bytes) -> None:
    """Words with NULs between them: options that are escaped come back, and none is passed over that is refused."""
    given = data.decode("utf-8", "surrogateescape").split("\0")
    words = answer(UsageError, parse_words, given)
    options = answer(UsageError, split_options, given[-1] if words is None else words.options)
    if options is None:
        return
    assert split_options(",".join(_SPECIAL.sub(r"\\\1", option) for option in options)) == options
    answer(UsageError, environment, options)
    strict = answer(UsageError, arguments, options, OPTIONS)
    sloppy = answer(UsageError, arguments, options, OPTIONS, sloppy=True)
    assert strict is None or strict == sloppy
    assert all(each.startswith("--") for each in sloppy or ())
