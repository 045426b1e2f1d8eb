"""Filters: kit's grammar, and what each leaves of an artifact, as `kit unpack --filter` does."""

import pytest

from mkfs.errors import UsageError
from mkfs.formats.filters import Filter, filtered, parse_filter
from mkfs.testing.kits import Directory, KitBuilder
from tests.support.planning import plan_golden, plan_of, whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model", Filter(frozenset({"model", "parts"}))),
        ("kitfile", Filter(frozenset({"kitfile"}))),
        ("mcpservers,prompts", Filter(frozenset({"mcpServers", "prompts"}))),
        ("docs,code,datasets", Filter(frozenset({"docs", "code", "datasets"}))),
        ("docs,docs:a", Filter(frozenset({"docs"}), frozenset({"a"}))),
        ("model:llama,./weights/", Filter(frozenset({"model", "parts"}), frozenset({"llama", "./weights/"}))),
        ("model:", Filter(frozenset({"model", "parts"}), frozenset({""}))),
        ("code: a ,b", Filter(frozenset({"code"}), frozenset({" a ", "b"}))),
    ],
)
def test_a_filter_is_types_and_ids(text: str, expected: Filter) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize("text", ["", ",model", "model,", "model,:a", ":a", "models", "Model", " model", "dataset", "model;docs"])
def test_a_word_that_is_no_type_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="expected kitfile, model, datasets, code, prompts, docs, mcpservers"):
        parse_filter(text)


@pytest.mark.parametrize("text", ["model:a:b", "model::", "docs:registry:5000/x"])
def test_an_id_has_no_colon(text: str) -> None:
    with pytest.raises(UsageError, match="one colon at most") as caught:
        parse_filter(text)
    assert caught.value.exit_code == 2


KIT = (
    KitBuilder("kit")
    .model("./weights/", Directory({"w.bin": b"w"}), name="llama")
    .part("tok", Directory({"t.json": b"{}"}), name="tokenizer")
    .part("lora.bin", b"l")
    .dataset("data", Directory({"d.csv": b"1"}), name="eval")
    .code("src", Directory({"m.py": b""}))
    .docs("README.md", b"# hi")
    .prompt("p.md", b"p", name="system")
    .mcp_server("fs.mcpb", b"PK", name="fs")
    .build()
)


def left(*texts: str) -> list[str]:
    """The names of what is left of the kit, the Kitfile last."""
    plan = plan_of(KIT.manifest, {digest: whole(body) for digest, body in KIT.blobs.items()})
    plan = filtered(plan, [parse_filter(text) for text in texts])
    return [layer.name for layer in plan.layers] + [file.path.decode() for file in plan.files]


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ((), ["llama", "tokenizer", "lora.bin", "eval", "src", "README.md", "system", "fs", "Kitfile"]),
        (("model",), ["llama", "tokenizer", "lora.bin"]),
        (("kitfile",), ["Kitfile"]),
        (("model:llama",), ["llama"]),
        (("model:./weights/",), ["llama"]),
        (("model:weights",), []),  # the path as written, not as it is meant
        (("model:",), ["lora.bin"]),  # what has no name
        (("model:tokenizer,lora.bin",), ["tokenizer", "lora.bin"]),
        (("docs,code",), ["src", "README.md"]),
        (("docs,code:src",), ["src"]),
        (("datasets:eval", "kitfile"), ["eval", "Kitfile"]),
        (("datasets:llama", "docs:README.md"), ["README.md"]),
        (("prompts,mcpservers",), ["system", "fs"]),
        (("kitfile:nonsense",), ["Kitfile"]),  # kit asks for the type alone
    ],
)
def test_what_any_filter_wants_is_left(texts: tuple[str, ...], names: list[str]) -> None:
    assert left(*texts) == names


def test_a_filter_that_leaves_nothing_says_what_there_is() -> None:
    answer = filtered(plan_golden("kit-1.11-simple-tar"), [parse_filter("datasets")])
    assert answer.warnings[-1] == "the filter leaves nothing of this artifact, which has model, docs"
    assert (answer.layers, answer.files) == ((), ())


@pytest.mark.parametrize(
    ("name", "text", "paths"),
    [
        ("modctl-0.2-hf-raw", "docs", ["LICENSE", "README.md"]),
        ("modctl-0.2-hf-tar", "model:model.safetensors", ["model.safetensors"]),
        ("kit-1.11-full-modelpack", "code", ["src"]),
    ],
)
def test_a_modelpack_is_filtered_by_the_same_words(name: str, text: str, paths: list[str]) -> None:
    assert [layer.name for layer in filtered(plan_golden(name), [parse_filter(text)]).layers] == paths
