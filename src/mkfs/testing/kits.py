"""ModelKits from a seed, packed as kit packs them, and what `kit unpack` would write of them.

    kit = KitBuilder("llama", seed=7).model("weights", Directory({"a.safetensors": GIB})).docs("README.md", b"hello").build()
    registry.push("team/llama", "7b", kit.manifest, kit.blobs)

Tar layers, config and manifest are byte for byte those of kit 1.11 (the tests pack its own examples again). Raw layers, which 1.11
does not know, are as kit packs them since 2026; a kit that has one gets the newer manifest.

A layer holds what its own content says. kit looks everything up in one directory, so contents that overlap should agree. As there,
what belongs to a layer further down (`model/lora` below `model`) is carved out of the one above, and a Kitfile is never packed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, final

from mkfs.archive.entry import EntryKind
from mkfs.formats.kitfile import read_kitfile
from mkfs.oci.digest import Digest
from mkfs.testing import kit_documents
from mkfs.testing.bodies import BlobBody, MemoryBody, digest_of
from mkfs.testing.kit_layers import PARENT_MODE, Content, Directory, File, Layer, Member, Node, Wanted, pack, parents
from mkfs.testing.tensors import Tensor, safetensors_file, seeded_tensor

__all__ = [
    "Directory",
    "File",
    "Kit",
    "KitBuilder",
    "Tensor",
    "TreeEntry",
    "expected_tree",
    "safetensors_file",
    "seeded_tensor",
]

_UNPACKED: Final = ("model", "parts", "datasets", "code", "docs", "prompts", "mcpServers")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Kit:
    """A packed ModelKit. `blobs` are its config and layers; `layers` stand as in the manifest, where a digest may stand twice."""

    manifest: bytes
    manifest_digest: Digest
    config: bytes
    layers: tuple[Layer, ...]
    blobs: Mapping[Digest, BlobBody]


class TreeEntry(NamedTuple):
    """One path that `kit unpack` writes. A directory has no size and no sum."""

    path: bytes
    kind: EntryKind
    mode: int
    size_bytes: int
    sha256: str


@final
class KitBuilder:
    """Collects what a ModelKit shall hold. Every method but `build` answers the builder itself.

    `package` are fields of the Kitfile's package (version, description, license, authors); `fields` those of the entry (name,
    description, license, framework, parameters …). The seed makes every content that is given as a number of bytes. `compression`
    (gzip, zstd) is that of all layers but MCP servers, as `kit pack --compression`. The methods raise `ValueError` for what no kit
    can hold.
    """

    def __init__(self, name: str = "", *, seed: int = 0, compression: str = "", **package: object) -> None:
        self._package = {"name": name, **package} if name else package
        self._seed, self._compression = seed, compression
        self._wanted: list[Wanted] = []

    def model(self, path: str, content: Node, *, raw: bool = False, **fields: object) -> Self:
        """The model; a kit has one."""
        return self._add("model", path, content, fields, raw=raw)

    def part(self, path: str, content: Node, *, raw: bool = False, **fields: object) -> Self:
        """A part of the model (tokenizer, adapter)."""
        return self._add("parts", path, content, fields, raw=raw)

    def dataset(self, path: str, content: Node, *, raw: bool = False, **fields: object) -> Self:
        """A data set."""
        return self._add("datasets", path, content, fields, raw=raw)

    def code(self, path: str, content: Node, *, raw: bool = False, **fields: object) -> Self:
        """Code."""
        return self._add("code", path, content, fields, raw=raw)

    def docs(self, path: str, content: Node, *, raw: bool = False, **fields: object) -> Self:
        """A document."""
        return self._add("docs", path, content, fields, raw=raw)

    def prompt(self, path: str, content: Node, *, raw: bool = False, **fields: object) -> Self:
        """A prompt: a layer of code with a mark."""
        return self._add("prompts", path, content, fields, raw=raw)

    def mcp_server(self, path: str, content: File | Content, **fields: object) -> Self:
        """A bundle of an MCP server: one file, never compressed."""
        return self._add("mcpServers", path, content, fields, raw=True)

    def raw(self, path: str, content: File | Content, **fields: object) -> Self:
        """A file stored as it is: the model, or a part of it where there is one already."""
        return self._add("parts" if self._has_model() else "model", path, content, fields, raw=True)

    def _has_model(self) -> bool:
        return any(wanted.element == "model" for wanted in self._wanted)

    def _add(self, element: str, path: str, content: Node, fields: Mapping[str, object], *, raw: bool) -> Self:
        if element == "model" and self._has_model():
            raise ValueError("a ModelKit has one model; the others are parts of it")
        if unknown := fields.keys() - set(kit_documents.ELEMENTS[element].fields):
            raise ValueError(f"{element} has no field {', '.join(sorted(unknown))}")
        if raw and isinstance(content, Directory):
            raise ValueError(f"a raw layer is one file, and {path} is a directory")
        self._wanted.append(Wanted(element, path, content, raw, fields))
        return self

    def build(self) -> Kit:
        """Packs. Reads every content once, for its digest; what was given as a size or a body is not kept in memory."""
        order = list(kit_documents.ELEMENTS)
        layers = pack(sorted(self._wanted, key=lambda wanted: order.index(wanted.element)), self._seed, self._compression)
        config = kit_documents.config(self._package, layers)
        manifest = kit_documents.manifest(config, layers)
        blobs = {Digest.of(config): MemoryBody(config)} | {layer.digest: layer.body for layer in layers}
        return Kit(manifest, Digest.of(manifest), config, layers, blobs)


def expected_tree(kit: Kit, *, umask: int = 0o022) -> list[TreeEntry]:
    """What `kit unpack` writes into an empty directory, sorted by path, the Kitfile included.

    The first mention of a directory gives its mode. Raises `ValueError` where two layers hold the same file: kit fails there.
    """
    kitfile = Member(b"Kitfile", EntryKind.FILE, 0o644, MemoryBody(read_kitfile(kit.config).text()))
    layers = sorted(kit.layers, key=lambda layer: _UNPACKED.index(layer.wanted.element))
    tree: dict[bytes, TreeEntry] = {}
    for path, kind, mode, body in (kitfile, *(member for layer in layers for member in layer.members)):
        for above in parents(path):
            tree.setdefault(above, TreeEntry(above, EntryKind.DIRECTORY, PARENT_MODE & ~umask, 0, ""))
        if body is None:
            tree.setdefault(path, TreeEntry(path, kind, mode & 0o777 & ~umask, 0, ""))
        elif path in tree:
            raise ValueError(f"two layers hold {path!r}")
        else:
            tree[path] = TreeEntry(path, kind, mode & 0o777 & ~umask, body.size_bytes, digest_of(body).hex)
    return [tree[path] for path in sorted(tree)]
