"""podman's registries.conf: which entry decides, and where a name leads."""

import pytest

from mkfs.errors import UsageError
from mkfs.registry.registries_conf import Place, RegistryEntry, best_entry, decode_registries_conf

CONF = b"""
unqualified-search-registries = ["docker.io"]
short-name-mode = "enforcing"

[[registry]]
location = "ghcr.io"
[[registry.mirror]]
location = "mirror.test/ghcr"

[[registry]]
prefix = "ghcr.io/acme"
location = "harbor.test/proxy/acme/"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "one.test/acme"
[[registry.mirror]]
location = "two.test/acme"
insecure = true
pull-from-mirror = "tag-only"

[[registry]]
prefix = "*.internal.test"
blocked = true
"""


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("ghcr.io/acme/llama", "ghcr.io/acme"),
        ("ghcr.io/acme", "ghcr.io/acme"),
        ("ghcr.io/acme2/llama", "ghcr.io"),
        ("ghcr.io:5000/acme/llama", None),
        ("a.internal.test/x", "*.internal.test"),
        ("a.b.internal.test:5000/x", "*.internal.test"),
        ("internal.test/x", None),
        ("quay.io/x", None),
    ],
)
def test_the_prefix_that_fits_best_decides(name: str, prefix: str | None) -> None:
    found = best_entry(decode_registries_conf(CONF), name)
    assert (found.prefix if found else None) == prefix


def test_a_later_file_says_otherwise_of_the_same_prefix() -> None:
    entries = (*decode_registries_conf(CONF), RegistryEntry("ghcr.io", "other.test"))
    assert best_entry(entries, "ghcr.io/x") == entries[-1]
    assert best_entry(entries, "ghcr.io/acme/x") == entries[1]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("ghcr.io/other/x", (Place("mirror.test/ghcr/other/x"), Place("ghcr.io/other/x"))),
        (
            "ghcr.io/acme/x",
            (
                Place("one.test/acme/x", tags=False),
                Place("two.test/acme/x", insecure=True, digests=False),
                Place("harbor.test/proxy/acme/x", insecure=True),
            ),
        ),
        ("a.internal.test/x", (Place("a.internal.test/x"),)),
    ],
)
def test_a_name_leads_to_its_mirrors_and_its_own_place(name: str, places: tuple[Place, ...]) -> None:
    found = best_entry(decode_registries_conf(CONF), name)
    assert found is not None
    assert found.places(name) == places


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[[registry]", "not TOML"),
        (b"a = " + b"[" * 5000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "not TOML"),
        (b"registry = 1", "registry is no list of tables"),
        (b"[[registry]]", "neither prefix nor location"),
        (b"[[registry]]\nlocation = 1", "location is no string"),
        (b"[[registry]]\nlocation = 'a'\ninsecure = 1", "insecure is neither"),
        (b"[[registry]]\nlocation = 'a'\nmirror = 'b'", "mirror is no list of tables"),
        (b"[[registry]]\nlocation = 'a'\n[[registry.mirror]]", "has no location"),
        (b"[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'x'", "pull-from-mirror is 'x'"),
    ],
)
def test_what_makes_no_sense_is_told(text: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        decode_registries_conf(text)
