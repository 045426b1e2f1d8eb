"""The kit builder against kit itself: what it packs, and what it says `kit unpack` would write, is what kit 1.11 did."""

import io
import json
import tarfile
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.archive.entry import EntryKind
from mkfs.formats import plan
from mkfs.formats.plan import Documents, Plan, RawLayer
from mkfs.oci.digest import Digest
from mkfs.oci.manifest import Manifest, decode_manifest
from mkfs.ranges import ByteRange
from mkfs.testing.bodies import MemoryBody
from mkfs.testing.kits import Directory, File, Kit, KitBuilder, expected_tree
from mkfs.testing.tars import JoinedBody, header
from mkfs.tree.nodes import File as Node
from mkfs.units import GIB, MIB
from tests.support import golden
from tests.support.growing import grown
from tests.support.planning import whole

PACKED_BY_1_11 = [name for name in golden.tar_kits() if name.startswith("kit-1.11-")]
FIELDS = {"digest", "diffId", "path", "parts"}  # what the builder adds by itself


def whole_context(manifest: dict[str, Any]) -> Directory:
    """The directory that kit packed, put together from all layers."""
    root: dict[str, Any] = {}
    modes: dict[str, int] = {}
    for layer in manifest["layers"] or ():
        with tarfile.open(fileobj=io.BytesIO(golden.blob(layer["digest"]))) as archive:
            for entry in archive:
                *above, name = entry.name.split("/")
                place = root
                for each in above:
                    place = place.setdefault(each, {})
                if entry.isdir():
                    place.setdefault(name, {})
                    modes[entry.name] = entry.mode
                else:
                    place[name] = File(archive.extractfile(entry).read(), entry.mode)
    return directory(root, "", modes)


def directory(entries: dict[str, Any], path: str, modes: dict[str, int]) -> Directory:
    made = {name: each if isinstance(each, File) else directory(each, f"{path}{name}/", modes) for name, each in entries.items()}
    return Directory(made, modes.get(path.rstrip("/"), 0o755))


def at(root: Directory, path: str) -> Any:
    node: Any = root
    for name in path.split("/"):
        node = node if name == "." else node.entries[name]
    return node


def packed_again(name: str) -> Kit:
    """The kit `name` from its own content, all of it given as found in one directory."""
    manifest = json.loads(golden.manifest_bytes(name))
    kitfile = json.loads(golden.blob(manifest["config"]["digest"]))
    root = whole_context(manifest)
    builder = KitBuilder(**kitfile["package"])
    model = kitfile.get("model", {})
    methods = {"code": builder.code, "datasets": builder.dataset, "docs": builder.docs, "prompts": builder.prompt}
    wanted = [(builder.model, model)] if model else []
    wanted += [(builder.part, part) for part in model.get("parts", ())]
    wanted += [(method, entry) for element, method in methods.items() for entry in kitfile.get(element, ())]
    for method, entry in wanted:
        method(entry["path"], at(root, entry["path"]), **{key: entry[key] for key in entry.keys() - FIELDS})
    return builder.build()


@pytest.mark.parametrize("name", PACKED_BY_1_11)
def test_a_kit_packed_again_is_the_same_kit_to_the_byte(name: str) -> None:
    kit = packed_again(name)
    assert kit.config.decode() == golden.blob(json.loads(golden.manifest_bytes(name))["config"]["digest"]).decode()
    assert kit.manifest.decode() == golden.manifest_bytes(name).decode()
    for digest, body in kit.blobs.items():
        assert body.read(ByteRange(0, body.size_bytes)) == golden.blob(str(digest))


@pytest.mark.parametrize("name", PACKED_BY_1_11)
def test_the_expected_tree_is_what_kit_unpacked(name: str) -> None:
    assert [
        {"path": path.decode(), "mode": f"{mode:04o}", "type": "dir"}
        if kind is EntryKind.DIRECTORY
        else {"path": path.decode(), "mode": f"{mode:04o}", "type": "file", "size": size, "sha256": sum_}
        for path, kind, mode, size, sum_ in expected_tree(packed_again(name))
    ] == sorted(golden.expected(name), key=lambda entry: entry["path"].encode())


def planned(kit: Kit) -> Plan:
    manifest = decode_manifest(kit.manifest)
    assert isinstance(manifest, Manifest)
    answer = plan(Documents(manifest, {manifest.config.digest: kit.config}))
    assert isinstance(answer, Plan)
    return answer


def test_raw_layers_are_planned_where_they_were_packed() -> None:
    same = b"same bytes"
    kit = KitBuilder("raw").raw("w/a.bin", same).raw("w/b.bin", File(same, 0o4750)).docs("./README.md", b"# hi").build()
    first, second, docs = planned(kit).layers
    assert (first.reading, second.reading) == (RawLayer(b"w/a.bin", 0o644), RawLayer(b"w/b.bin", 0o750))
    assert first.descriptor.digest == second.descriptor.digest == Digest.of(same)
    assert (first.element, second.element, docs.element, docs.name) == ("model", "parts", "docs", "./README.md")
    tree = {path: (kind, mode, size) for path, kind, mode, size, _ in expected_tree(kit)}
    assert tree[b"w"] == (EntryKind.DIRECTORY, 0o755, 0)
    assert tree[b"w/b.bin"] == (EntryKind.FILE, 0o750, len(same))
    assert set(tree) == {b"Kitfile", b"README.md", b"w", b"w/a.bin", b"w/b.bin"}


def test_compressed_layers_are_what_kit_unpacks_after_decompression() -> None:
    context = Directory({"w.bin": b"w" * 5000, "sub": Directory({"run": File(b"#!", 0o755)})})
    kit = KitBuilder("z", compression="gzip").model("m", context).raw("p.bin", b"p" * 3000).mcp_server("fs.mcpb", b"PK").build()
    answer = planned(kit)
    assert [layer.reading.compression for layer in answer.layers] == ["gzip", "gzip", ""]
    assert [layer.diff_id for layer in answer.layers] == [layer.diff_id for layer in kit.layers]
    of = grown(answer, lambda digest: whole(kit.blobs[digest]))
    assert {path: Digest.of(of.content(node)).hex for path, node in of.tree.walk() if isinstance(node, Node)} == {
        path: sum_ for path, _, _, _, sum_ in expected_tree(kit) if sum_
    }
    assert all(Digest.of(data) == layer.diff_id for data, layer in zip(of.layers, kit.layers, strict=True))


def test_a_part_inside_the_model_is_carved_out_of_it() -> None:
    model = Directory({"w.bin": b"w", "lora": Directory({"l.bin": b"l"})})
    kit = KitBuilder().model("model", model).part("model/lora", model.entries["lora"]).build()
    assert [member.path for member in kit.layers[0].members] == [b"model", b"model/w.bin"]
    assert [member.path for member in kit.layers[1].members] == [b"model", b"model/lora", b"model/lora/l.bin"]


def test_a_kitfile_in_the_context_is_not_packed() -> None:
    kit = KitBuilder().code(".", Directory({"Kitfile": b"", ".kitignore": b"", "src": Directory({"Kitfile": b"kept"})})).build()
    assert [member.path for member in kit.layers[0].members] == [b"src", b"src/Kitfile"]


def test_directories_come_as_kit_walks_them_whatever_order_the_test_has() -> None:
    context = Directory({"b": Directory({"y": b"", "x": b""}, mode=0o700), "b.txt": b"", "a": b"", "b-c": b""})
    code, data = KitBuilder().code(".", context).dataset("b/d/e.csv", b"1").build().layers
    assert [member.path for member in code.members] == [b"a", b"b", b"b/x", b"b/y", b"b-c", b"b.txt"]
    assert [(member.path, member.mode) for member in data.members] == [(b"b", 0o700), (b"b/d", 0o755), (b"b/d/e.csv", 0o644)]


def test_modes_are_cut_by_the_umask_and_lose_their_special_bits() -> None:
    kit = KitBuilder().code("bin", Directory({"run": File(b"", 0o4777)}, mode=0o1777)).raw("w/m", File(b"", 0o666)).build()
    modes = {path: mode for path, _, mode, _, _ in expected_tree(kit, umask=0o027)}
    assert modes == {b"Kitfile": 0o640, b"bin": 0o750, b"bin/run": 0o750, b"w": 0o750, b"w/m": 0o640}


def test_json_is_written_as_go_writes_it() -> None:
    kit = KitBuilder("<ä>", description="a & b").build()
    assert b'"package":{"name":"\\u003c\xc3\xa4\\u003e","description":"a \\u0026 b"}' in kit.config


def test_two_layers_with_one_file_are_no_tree() -> None:
    kit = KitBuilder().docs("a.txt", b"1").docs("./a.txt", b"2").build()
    with pytest.raises(ValueError, match=r"a\.txt"):
        expected_tree(kit)


def test_the_seed_decides_every_byte() -> None:
    def manifest(seed: int) -> bytes:
        return KitBuilder("s", seed=seed).model("m", Directory({"small": 1000, "large": 2 * MIB + 1})).build().manifest

    assert manifest(1) == manifest(1)
    assert manifest(1) != manifest(2)


def test_a_large_layer_is_neither_built_nor_read_in_memory() -> None:
    tracemalloc.start()
    try:
        kit = KitBuilder(seed=1).model("model.bin", 48 * MIB).build()
        body = kit.layers[0].body
        got = body.read(ByteRange(40 * MIB, 41 * MIB))
        assert len(got) == MIB
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


def test_mistakes_are_told_where_they_are_made() -> None:
    builder = KitBuilder().model("a", b"")
    with pytest.raises(ValueError, match="one model"):
        builder.model("b", b"")
    with pytest.raises(ValueError, match="no field colour"):
        builder.docs("b", b"", colour="red")
    with pytest.raises(ValueError, match="one file"):
        builder.part("b", Directory(), raw=True)


def test_large_and_long_names_read_back_as_they_were_packed() -> None:
    long = "d/" * 40 + "n" * 99
    fits = b"p" * 155 + b"/" + b"n" * 100
    cases = [(b"big.bin", 9 * GIB), (long.encode(), 8 * GIB), ("ü".encode() * 60, 3), (("ü" * 45 + "a").encode(), 1), (fits, 1)]
    for path, size in cases:
        packed = header(path, EntryKind.FILE, 0o640, size)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            info = archive.firstmember
        assert (info.name.encode(), info.size, info.mode, info.uid, info.mtime) == (path, size, 0o640, 1000, 0)
    assert len(header(fits, EntryKind.FILE, 0o640, 1)) == 512  # fits USTAR to the last byte


@settings(max_examples=60, derandomize=True)
@given(st.lists(st.binary(max_size=9), max_size=6), st.data())
def test_any_range_of_joined_bodies_is_that_of_their_bytes(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    body = JoinedBody([MemoryBody(part) for part in parts])
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    assert body.size_bytes == len(whole)
    assert body.read(ByteRange(start, stop)) == whole[start:stop]
