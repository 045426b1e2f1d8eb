"""References: what a person may type for an artifact, and how they are helped when it is something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mkfs.errors import BadReference
from mkfs.oci.digest import Digest
from mkfs.oci.reference import Reference

HEX = "9f" * 32
DIGEST = Digest("sha256", HEX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ghcr.io/llama:7b", Reference("ghcr.io", "llama", "7b")),
        ("localhost/llama:7b", Reference("localhost", "llama", "7b")),
        ("localhost:5000/team/llama.cpp:v1.0-rc_1", Reference("localhost:5000", "team/llama.cpp", "v1.0-rc_1")),
        ("registry:5000/a__b/c---d_e:_x", Reference("registry:5000", "a__b/c---d_e", "_x")),
        ("127.0.0.1:65535/x:Upper", Reference("127.0.0.1:65535", "x", "Upper")),
        ("[::1]:5000/x:1", Reference("[::1]:5000", "x", "1")),
        ("GHCR.io/x:1", Reference("ghcr.io", "x", "1")),
        (f"ghcr.io/x@sha256:{HEX}", Reference("ghcr.io", "x", None, DIGEST)),
        (f"ghcr.io/x:1@sha256:{HEX}", Reference("ghcr.io", "x", "1", DIGEST)),
        (f"ghcr.io/x:{'t' * 128}", Reference("ghcr.io", "x", "t" * 128)),
    ],
)
def test_proper_references_are_taken_apart(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected


def test_a_digest_decides_and_the_tag_stays_for_people() -> None:
    tagged = Reference.parse("ghcr.io/team/llama:7b")
    assert (tagged.name, tagged.selector, str(tagged)) == ("ghcr.io/team/llama", "7b", "ghcr.io/team/llama:7b")
    pinned = tagged.pinned(DIGEST)
    assert (pinned.selector, str(pinned)) == (f"sha256:{HEX}", f"ghcr.io/team/llama:7b@sha256:{HEX}")


components = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True).map(lambda text: text[:20].strip("._-"))


@given(
    st.sampled_from(["localhost", "ghcr.io", "10.0.0.1:5000", "[fe80::1]"]),
    st.lists(components, min_size=1, max_size=4).map("/".join),
    st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True),
    st.sampled_from([(True, None), (False, DIGEST), (True, DIGEST)]),
)
def test_a_reference_reads_back_from_its_text(registry: str, repository: str, tag: str, form: tuple[bool, Digest | None]) -> None:
    tagged, digest = form
    reference = Reference(registry, repository, tag if tagged else None, digest)
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:models", Reference("", "models")),
        ("oci:/srv/models:7b", Reference("", "/srv/models", "7b")),
        (f"oci:../models@sha256:{HEX}", Reference("", "../models", None, DIGEST)),
        (f"oci:two words:7b@sha256:{HEX}", Reference("", "two words", "7b", DIGEST)),
        ("oci:/a\xa0\U0001f600:1", Reference("", "/a\xa0\U0001f600", "1")),
        ("oci:/a:b/models", Reference("", "/a:b/models")),
        ("oci:/a:b/:7b", Reference("", "/a:b/", "7b")),
        (f"oci:/a:b/c:7b@sha256:{HEX}", Reference("", "/a:b/c", "7b", DIGEST)),
        ("ghcr.io/x:1", Reference("ghcr.io", "x", "1")),
    ],
)
def test_a_source_may_be_a_layout_directory(text: str, expected: Reference) -> None:
    assert Reference.parse_source(text) == expected
    assert str(expected) == text
    assert expected.is_layout == text.startswith("oci:")


def test_a_source_in_a_registry_may_begin_with_an_alias() -> None:
    assert Reference.parse_source("hub/x:1", {"hub": "ghcr.io"}) == Reference("ghcr.io", "x", "1")


def test_a_name_has_up_to_255_characters() -> None:
    longest = "x" * (255 - len("ghcr.io/"))
    assert Reference.parse(f"ghcr.io/{longest}:1").repository == longest
    with pytest.raises(BadReference, match="too long"):
        Reference.parse(f"ghcr.io/{longest}x:1")


@pytest.mark.parametrize(
    "text", ["oci:", "oci::7b", f"oci:@sha256:{HEX}", "oci:a\0b", "oci:a\nb", "oci:a\udcff", "oci:models@sha256:1234"]
)
def test_a_source_without_a_proper_directory_or_digest_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        Reference.parse_source(text)


def test_a_source_without_a_directory_is_told_how_to_write_one() -> None:
    with pytest.raises(BadReference, match="'oci::7b' names no directory") as caught:
        Reference.parse_source("oci::7b")
    assert "oci:DIR" in caught.value.hint


@pytest.mark.parametrize("text", ["oci:/srv/models:7b", "oci:models/x:7b", "oci:x:7b"])
def test_a_reference_within_an_artifact_never_leads_to_a_directory(text: str) -> None:
    with pytest.raises(BadReference):
        Reference.parse(text, {"oci": "registry.test"})


@pytest.mark.parametrize(("text", "aliases"), [("oCi:5/h:1", {}), ("OCI:5000/x:1", {}), ("hub/x:1", {"hub": "oci:5000"})])
def test_no_registry_has_a_name_that_reads_as_a_directory(text: str, aliases: dict[str, str]) -> None:
    for read in (Reference.parse, Reference.parse_source):
        with pytest.raises(BadReference, match="begins a directory") as caught:
            read(text, aliases)
        assert "oci.lan:5000" in caught.value.hint
    assert Reference.parse("oci.lan:5000/x:1").registry == "oci.lan:5000"


def test_a_repository_as_a_whole_is_named_only_where_that_will_do() -> None:
    whole = Reference.parse("team/x", {"": "localhost:5000"}, or_repository=True)
    assert (str(whole), whole.is_named) == ("localhost:5000/team/x", False)
    assert Reference.parse_source("ghcr.io/x", or_repository=True) == Reference("ghcr.io", "x")
    assert Reference.parse_source("ghcr.io/x:1", or_repository=True).is_named
    with pytest.raises(ValueError, match="needs a tag or a digest"):
        _ = whole.selector
    with pytest.raises(BadReference):
        Reference.parse("ghcr.io/x:", or_repository=True)


@pytest.mark.parametrize(
    ("text", "aliases", "expected"),
    [
        ("registry/llama:7b", {"registry": "localhost:5000"}, "localhost:5000/llama:7b"),
        ("hub/llama:7b", {"hub": "ghcr.io/team/models/"}, "ghcr.io/team/models/llama:7b"),
        ("ghcr.io/x:1", {"ghcr.io": "mirror.example"}, "mirror.example/x:1"),
        ("a/x:1", {"a": "localhost/b", "localhost": "ghcr.io"}, "localhost/b/x:1"),
        ("ghcr.io/a/x:1", {"a": "localhost"}, "ghcr.io/a/x:1"),
        ("hub/team/llama:7b", {"hub": "ghcr.io"}, "ghcr.io/team/llama:7b"),
        ("hub/llama:7b", {"hub": "NODE.LINUX/"}, "node.linux/llama:7b"),
    ],
)
def test_an_alias_stands_for_the_first_component_and_is_replaced_once(text: str, aliases: dict[str, str], expected: str) -> None:
    assert str(Reference.parse(text, aliases)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llama:7b", "ghcr.io/acme/llama:7b"),
        ("team/llama:7b", "ghcr.io/acme/team/llama:7b"),
        ("a/llama:7b", "localhost:5000/llama:7b"),  # an alias comes first
        ("quay.io/llama:7b", "quay.io/llama:7b"),
        ("localhost/llama:7b", "localhost/llama:7b"),
        ("host:5000/llama:7b", "host:5000/llama:7b"),
    ],
)
def test_a_default_registry_stands_before_what_names_none(text: str, expected: str) -> None:
    assert str(Reference.parse(text, {"": "ghcr.io/acme", "a": "localhost:5000"})) == expected


def test_a_bad_default_registry_is_named_as_such() -> None:
    with pytest.raises(BadReference, match="the default registry is not a registry") as caught:
        Reference.parse("llama:7b", {"": "https://ghcr.io"})
    assert "host[:port][/path]" in caught.value.hint
    with pytest.raises(BadReference, match="the alias 'hub' is not a registry"):
        Reference.parse("hub/llama:7b", {"hub": "https://ghcr.io"})


@pytest.mark.parametrize("value", ["http://localhost:5000", "user:secret@localhost:5000", "localhost port 5000", "", "nohost"])
def test_a_bad_alias_is_refused_and_tells_no_secret(value: str) -> None:
    with pytest.raises(BadReference) as caught:
        Reference.parse("registry/llama:7b", {"registry": value})
    assert "secret" not in "".join(caught.value.lines())


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("llama:7b", "'llama:7b' names no registry", "ghcr.io/llama:7b, or give it an alias in the config"),
        ("team/llama:7b", "names no registry", 'ghcr.io/team/llama:7b, or give "team" an alias in the config'),
        ("ghcr.io", "names no registry and repository", "write the registry, e.g. ghcr.io/NAME"),
        ("localhost:5000", "names no registry and repository", "write the registry, e.g. ghcr.io/NAME"),
        ("", "names no registry", "ghcr.io/NAME"),
        ("/mnt/llama", "names no registry", "ghcr.io/NAME"),
        ("ghcr.io/llama", "'ghcr.io/llama' names neither a tag nor a digest", "write ghcr.io/llama:latest if you mean that tag"),
        ("ghcr.io/Team/Llama:7b", "not a repository: 'Team/Llama'", "ghcr.io/team/llama"),
        (
            "http://localhost:5000/x:1",
            "starts with a scheme",
            "write it without: localhost:5000/x:1; plain HTTP is asked for with --plain-http",
        ),
        ("oci://ghcr.io/x:1", "starts with a scheme", "write it without: ghcr.io/x:1"),
        ("ghcr.io/x:a,b", "not a tag: 'a,b'", "name one tag"),
        ("ghcr.io/x:-a", "not a tag: '-a'", "up to 128 letters"),
        ("ghcr.io/x..y:1", "not a repository: 'x..y'", "lower-case letters and digits"),
        ("user:secret@ghcr.io/x:1", "'@' before its repository", "REGISTRY/REPOSITORY:TAG"),
        ("ghcr.io/x@sha256:12", "not a sha256 digest", "64 lower-case hex digits"),
        ("ghcr.io:0/x:1", "not a registry", "host:port"),
    ],
)
def test_the_hint_says_what_to_write_instead(text: str, what: str, hint: str) -> None:
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_hint_says_nothing_that_is_not_the_matter() -> None:
    for text, absent in (("https://ghcr.io/x:1", "plain-http"), ("team/llama:7b", "and repository")):
        with pytest.raises(BadReference) as caught:
            Reference.parse(text)
        assert absent not in "".join(caught.value.lines())


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/",
        "ghcr.io/:1",
        "ghcr.io//x:1",
        "ghcr.io/x/:1",
        "ghcr.io/x:",
        "ghcr.io/x:.a",
        "ghcr.io/x:-a",
        "ghcr.io/x:1:2",
        "ghcr.io/x:1/2",
        "ghcr.io/x:1\n",
        "ghcr.io/x:٣",
        "ghcr.io/é:1",
        "ghcr.io/../x:1",
        "ghcr.io/x..y:1",
        "ghcr.io/-x:1",
        "ghcr.io/x?a=b:1",
        "ghcr.io/x@",
        "ghcr.io/x@latest",
        f"ghcr.io/x:@sha256:{HEX}",
        f"ghcr.io/x@sha256:{HEX}@sha256:{HEX}",
        f"ghcr.io/x@blake3:{HEX}",
        f"ghcr.io/x:{'t' * 129}",
        f"ghcr.io/{'x' * 250}:1",
        " ghcr.io/x:1",
        ".ghcr.io/x:1",
        "ghcr..io/x:1",
        "-ghcr.io/x:1",
        "ghcr.io:/x:1",
        "ghcr.io:65536/x:1",
        "ghcr.io:080/x:1",
        "ghcr_io.example/x:1",
        "[::1/x:1",
        "[::g]:1/x:1",
        "[fe80::1%eth0]/x:1",
        "[.]/x:1",
        f"x@sha256:{HEX}",
    ],
)
def test_whatever_a_registry_could_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        Reference.parse(text)


@pytest.mark.parametrize(
    "text", ["user:secret@ghcr.io/x:1", "https://user:secret@ghcr.io/x:1", "user:secret@ghcr.io", "secret@ghcr.io/x"]
)
def test_a_password_typed_into_a_reference_is_not_repeated(text: str) -> None:
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    assert "secret" not in "".join(caught.value.lines())
    assert "docker config.json" in caught.value.hint


def test_a_message_of_a_hostile_text_is_short_and_printable() -> None:
    with pytest.raises(BadReference) as caught:
        Reference.parse("ghcr.io/\x1b[31m" + "\u202e" * 100_000)
    message = "".join(caught.value.lines())
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 2000
