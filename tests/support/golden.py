"""Golden artifacts: what real tools packed, and what the same tools unpacked.

`tests/golden/layout` is an OCI layout directory, one name per artifact (`kit-<version>-<project>-<form>`, `modctl-…`, `oras-…`);
`tests/golden/expected` holds for each name the listing of the directory its own tool wrote, and for ModelKits the Kitfile byte for
byte. Everything here is read from disk when asked for; nothing is believed about it but that the tools made it.
"""

import hashlib
import json
from pathlib import Path
from typing import Final, Literal, NotRequired, TypedDict, cast

GOLDEN: Final = Path(__file__).resolve().parent.parent / "golden"
LAYOUT: Final = GOLDEN / "layout"
EXPECTED: Final = GOLDEN / "expected"

_NAME: Final = "org.opencontainers.image.ref.name"


class ExpectedEntry(TypedDict):
    """One path the tool wrote, relative to where it unpacked. `mode` is octal text ("0644"); size and sha256 only for files."""

    path: str
    mode: str
    type: Literal["file", "dir"]
    size: NotRequired[int]
    sha256: NotRequired[str]


def _index() -> dict[str, str]:
    index = json.loads((LAYOUT / "index.json").read_bytes())
    return {entry["annotations"][_NAME]: entry["digest"] for entry in index["manifests"]}


def names(prefix: str = "", suffix: str = "") -> list[str]:
    """Every artifact whose name starts and ends so, sorted: `names("kit-", "-tar")` are the uncompressed ModelKits."""
    return sorted(name for name in _index() if name.startswith(prefix) and name.endswith(suffix))


def tar_kits() -> list[str]:
    """The ModelKits that stand alone: uncompressed tars, without the one whose model is a reference to another kit."""
    return [name for name in names("kit-", "-tar") if "-child-" not in name]


def manifest_digest(name: str) -> str:
    """The digest of the manifest of `name`, as text."""
    return _index()[name]


def manifest_bytes(name: str) -> bytes:
    """The manifest of `name` as its registry would send it."""
    return blob(manifest_digest(name))


def blob(digest: str) -> bytes:
    """The bytes named `digest` (text, or anything whose `str` is the digest)."""
    algorithm, _, value = str(digest).partition(":")
    return (LAYOUT / "blobs" / algorithm / value).read_bytes()


def blobs(name: str) -> dict[str, bytes]:
    """Manifest, config and layers of `name` by digest: all a registry needs to serve it."""
    manifest = json.loads(manifest_bytes(name))
    digests = [manifest_digest(name), manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"] or ())]
    return {digest: blob(digest) for digest in digests}


def expected(name: str) -> list[ExpectedEntry]:
    """What the tool wrote, sorted by path; the Kitfile, where there is one, is in it."""
    return cast("list[ExpectedEntry]", json.loads((EXPECTED / f"{name}.json").read_bytes()))


def kitfile(name: str) -> bytes | None:
    """The Kitfile as kit wrote it, byte for byte; None where the tool writes none."""
    path = EXPECTED / f"{name}.Kitfile"
    return path.read_bytes() if path.exists() else None


def sha256(data: bytes) -> str:
    """Hex digits, as `expected` has them."""
    return hashlib.sha256(data).hexdigest()
