"""The table of what is fuzzed. A target takes bytes, returns None, and raises for a defect: what its docstring says it checks.

Its corpus, tests/fuzz/corpus/NAME, holds an example of everything the format has (`seed-…`) and what was found (by the start of its
sha256), and is replayed by the suite.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz import archives, documents, headers, machine

CORPUS: Final = Path(__file__).resolve().parent / "corpus"


@dataclass(frozen=True)
class Target:
    """`words` help a fuzzer to speak the format. `repair` makes an input right again where a checksum or a length would keep it
    from what lies behind; a fuzzer applies it to most inputs, not to all.
    """

    name: str
    check: Callable[[bytes], None]
    words: tuple[bytes, ...] = ()
    repair: Callable[[bytes], bytes] | None = None
    longest_bytes: int = 4096

    @property
    def corpus(self) -> list[Path]:
        """The kept inputs."""
        return sorted((CORPUS / self.name).iterdir())


_JSON: Final = (
    b'{"',
    b'":',
    b"null",
    b"true",
    b"1e999",
    b"NaN",
    b'"\\ud800"',
    b"[[[[",
    b"{}",
    b"[]",
    b'""',
    b"-1",
    b"18446744073709551616",
)
_DESCRIPTOR: Final = (
    b'"mediaType"',
    b'"digest"',
    b'"size"',
    b'"annotations"',
    b'"layers"',
    b'"manifests"',
    b'"config"',
    b'"subject"',
    b'"data"',
)

_ALL: Final = (
    Target(
        "tar",
        archives.check_tar,
        (b"ustar\x0000", b"ustar  \0", b"path=", b"size=", b"GNU.sparse.", b"\x80"),
        archives.seal_tar,
        8192,
    ),
    Target("gzip", archives.check_gzip, (b"\x1f\x8b\x08",)),
    Target("zstd", archives.check_zstd, (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")),
    Target(
        "safetensors",
        archives.check_tensors,
        (*_JSON, b'"data_offsets"', b'"__metadata__"', b'"dtype"', b'"shape"'),
        archives.fit_safetensors,
    ),
    Target("gguf", archives.check_tensors, (b"GGUF", b"general.alignment", b"\xff" * 8)),
    Target("json", documents.check_json, _JSON),
    Target("manifest", documents.check_manifest, (*_JSON, *_DESCRIPTOR)),
    Target("artifact", documents.check_artifact, (*_JSON, *_DESCRIPTOR, b"\0{", b"..", b"org.cncf.model.filepath", b'"name"')),
    Target(
        "kitfile", documents.check_kitfile, (*_JSON, b'"model"', b'"path"', b'"parts"', b'"parameters"', b'"docs"', b'"authors"')
    ),
    Target("own-index", documents.check_own_index, (b"digests", b"segments", b"\xcf" + b"\xff" * 8)),
    Target("artifact-index", documents.check_artifact_index, (b"segments", b"table", b"\xc0", b"\xcf" + b"\xff" * 8, b"\x91" * 64)),
    Target("signatures", documents.check_signatures, (*_JSON, b'"dsseEnvelope"', b'"messageSignature"', b'"hint"', b'"critical"')),
    Target("statement", documents.check_statement, (*_JSON, b'"subject"', b'"predicate"', b'"expires"', b'"sha256"')),
    Target("keys", documents.check_keys, (b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----")),
    Target("challenge", headers.check_challenge, (b"Bearer ", b"Basic ", b'realm="', b'\\"', b"=,", b"==")),
    Target(
        "content-range", headers.check_content_range, (b"bytes ", b"/*", b"\nContent-Range: bytes 100-199/1000", b"\nRetry-After: ")
    ),
    Target("link", headers.check_link, (b'>; rel="next"', b"</v2/", b"https://", b"[::1]", b"0x7f.1", b"\\", b"%2f")),
    Target(
        "reference",
        headers.check_reference,
        (b"@sha256:", b"oci:", b"ghcr.io/", b":latest", b"localhost:5000/", b"[::1]:", b"alias/", b"__"),
    ),
    Target(
        "toml",
        machine.check_toml,
        (b"[[registry]]", b"[host.", b"[trust]", b"prefix", b"location", b"= [[[[", b"= {", b'"""', b"1979-05-27", b"0x"),
    ),
    Target(
        "docker-config",
        machine.check_docker_config,
        (*_JSON, b'"auths"', b'"auth"', b'"credHelpers"', b'"credsStore"', b'"https://'),
    ),
    Target(
        "control-request",
        machine.check_control_request,
        (*_JSON, b'"request"', b'"status"', b'"watch"', b'"period_seconds"', b'"protocol"'),
    ),
    Target("mountinfo", machine.check_mountinfo, (b" - ", b"\\040", b"\\777", b"\r", b"fuse.kitfs", b"\xff")),
    Target("mount-words", machine.check_mount_words, (b"-o\0", b"env.MKFS_", b"x-", b"cache_dir=", b"-s\0", b'\\"', b"remount")),
)
TARGETS: Final = {target.name: target for target in _ALL}
