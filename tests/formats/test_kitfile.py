"""The Kitfile: strict about what it knows, kind to what it does not, and the same text as kit writes."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mkfs.errors import BadDocument
from mkfs.formats.kitfile import KITFILE_LIMIT_BYTES, Kitfile, read_kitfile
from mkfs.oci.digest import Digest
from tests.support import golden

DIGEST = "sha256:" + "ab" * 32
KITS = [name for name in golden.names("kit-") if "modelpack" not in name]  # those whose config is the Kitfile


def kitfile(**fields: object) -> Kitfile:
    return read_kitfile(json.dumps({"manifestVersion": "1.0.0"} | fields).encode())


def config_of(name: str) -> bytes:
    return golden.blob(json.loads(golden.manifest_bytes(name))["config"]["digest"])


@pytest.mark.parametrize("name", KITS)
def test_the_text_is_the_one_kit_wrote_to_the_byte(name: str) -> None:
    assert read_kitfile(config_of(name)).text() == golden.kitfile(name)


def test_fields_stand_in_kits_order_without_digests_and_empty_values() -> None:
    text = kitfile(
        docs=[{"path": ""}],
        model={
            "parameters": {"layer10": 1, "layer2": None},
            "path": "m",
            "diffId": DIGEST,
            "digest": DIGEST,
            "parts": [],
            "name": "llama",
        },
        package={"authors": [], "name": ""},
        code=None,
    ).text()
    assert text.decode() == (
        "manifestVersion: 1.0.0\n"
        "model:\n  name: llama\n  path: m\n  parameters:\n    layer2: null\n    layer10: 1\n"
        'docs:\n  - path: ""\n'
    )


def test_a_description_that_kit_before_1_0_wrote_of_documents_stands_there_even_empty() -> None:
    text = kitfile(docs=[{"path": "a", "description": ""}, {"path": "b"}], code=[{"path": "c", "description": ""}]).text()
    assert text == b'manifestVersion: 1.0.0\ncode:\n  - path: c\ndocs:\n  - path: a\n    description: ""\n  - path: b\n'


def test_an_empty_model_is_still_a_model_and_authors_stand_on_one_line() -> None:
    text = kitfile(model={}, package={"authors": ["a b", "c, d", "one\ntwo", "no"]}).text()
    assert text == b'manifestVersion: 1.0.0\npackage:\n  authors: [a b, \'c, d\', "one\\ntwo", "no"]\nmodel: {}\n'


def test_what_a_newer_kit_wrote_is_kept() -> None:
    shown = yaml.safe_load(kitfile(package={"name": "n", "sponsors": ["s"]}, agents=[{"path": "a"}]).text())
    assert shown == {"manifestVersion": "1.0.0", "package": {"name": "n", "sponsors": ["s"]}, "agents": [{"path": "a"}]}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("true", '"true"'),
        ("1.0", '"1.0"'),
        ("1.0.0", "1.0.0"),
        ("0o7", '"0o7"'),
        ("1e3", '"1e3"'),
        ("12:30", '"12:30"'),
        ("2026-01-02", '"2026-01-02"'),
        ("a: b", "'a: b'"),
        ("naïve 模型", "naïve 模型"),
        ("🦙", '"\\U0001F999"'),
        ("one\ntwo", "|-\n    one\n    two"),
        ("word " * 60 + "end", "word " * 60 + "end"),
        (1000000, "1e+06"),
        (100000, "100000"),
        (0.00001, "1e-05"),
        (12345678.5, "1.23456785e+07"),
        (2**60 + 1, "1.152921504606847e+18"),
        (0, "0"),
        (-2.5, "-2.5"),
        (True, "true"),
        ([[1], {}], "\n    - - 1\n    - {}"),
    ],
)
def test_values_are_written_as_go_writes_them(value: object, written: str) -> None:
    text = kitfile(model={"path": "p", "parameters": value}).text().decode()
    assert text.split("parameters:")[1].removeprefix(" ") == f"{written}\n"


@settings(max_examples=300, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
def test_no_text_changes_its_meaning_on_the_way(text: str, key: str) -> None:
    shown = yaml.safe_load(kitfile(package={"name": "n" + text, "authors": [text]}, model={"parameters": {key: text}}).text())
    assert shown["package"] == {"name": "n" + text, "authors": [text]}
    assert shown["model"] == {"parameters": {key: text}}


def test_entries_come_in_the_order_in_which_kit_unpacks() -> None:
    entries = kitfile(
        mcpServers=[{"name": "fs", "path": "fs.mcpb"}],
        prompts=[{"path": "p"}],
        docs=[{"path": "d"}],
        code=[{"path": "c"}],
        datasets=[{"path": "x", "remotePath": "s3://bucket/key"}, {"path": "y", "digest": DIGEST}],
        model={"path": "m", "parts": [{"path": "q", "name": "lora"}]},
    ).entries
    assert [entry.at for entry in entries] == [
        *("model", "model.parts[0]", "datasets[0]", "datasets[1]"),
        *("code[0]", "docs[0]", "prompts[0]", "mcpServers[0]"),
    ]
    assert [entry.remote for entry in entries[2:4]] == [True, False]
    assert entries[3].digest == Digest.parse(DIGEST)
    assert (entries[1].element, entries[1].name, entries[1].path) == ("parts", "lora", "q")


def test_a_model_that_only_names_its_parts_has_no_layer() -> None:
    assert [entry.at for entry in kitfile(model={"name": "m", "parts": [{"path": "a"}]}).entries] == ["model.parts[0]"]


def test_properties_are_flat() -> None:
    properties = kitfile(
        package={"name": "n", "authors": ["a", "b"]},
        model={"path": "m", "framework": "x", "parameters": {"k": {"t": 0.5}, "l": [1, "ä"]}, "parts": [{"path": "a"}]},
    ).properties()
    assert properties == {
        "name": "n",
        "authors": "a, b",
        "model.path": "m",
        "model.framework": "x",
        "model.parameters.k.t": "0.5",
        "model.parameters.l": '[1, "ä"]',
    }


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"manifestVersion": 1}, "manifestVersion is 1 "),
        ({"package": []}, "package is a list"),
        ({"package": {"name": True}}, "package.name is True"),
        ({"package": {"authors": "me"}}, "package.authors is 'me'"),
        ({"package": {"authors": ["me", None]}}, "package.authors is a list"),
        ({"model": "m"}, "model is 'm'"),
        ({"model": {"parts": {}}}, "model.parts is a dict"),
        ({"model": {"parts": [{"path": "a"}, {"path": 7}]}}, r"model.parts\[1\].path is 7"),
        ({"model": {"digest": 1}}, "model.digest is 1"),
        ({"datasets": [{"digest": "sha256:1"}]}, r"datasets\[0\].digest: not a sha256 digest"),
        ({"code": [None]}, r"code\[0\] is None"),
        ({"docs": "README"}, "docs is 'README'"),
        ({"Model": {"path": "m"}}, "'Model' differs only in case"),
        ({"model": {"PATH": "m"}}, "model.'PATH' differs only in case"),
    ],
)
def test_a_wrong_type_is_refused_by_name(fields: dict[str, object], named: str) -> None:
    with pytest.raises(BadDocument, match=f"Kitfile: {named}"):
        kitfile(**fields)


def test_what_is_no_object_or_too_large_is_refused() -> None:
    for data in (b"[]", b"", b"{", b" " * (KITFILE_LIMIT_BYTES + 1)):
        with pytest.raises(BadDocument, match="Kitfile"):
            read_kitfile(data)
