"""`[trust]` in the config file and its options: what they mean, and that a slip of the pen is an error and not less trust."""

import tomllib
from collections.abc import Mapping

import msgspec
import pytest

from mkfs.errors import UsageError
from mkfs.oci.reference import Reference
from mkfs.proof.policy import Policy, Rule
from mkfs.proof.trust_settings import REQUIRED, KeyFile, RuleSettings, TrustSettings, read_trust
from tests.support.signing import key_pair

TEAM, ACME, MINE = key_pair(), key_pair(), key_pair()
FILES = {"team.pub": TEAM.public_pem.decode(), "acme.pub": ACME.public_pem.decode()}


def read(text: str, files: Mapping[str, str] = FILES) -> TrustSettings:
    return read_trust(tomllib.loads(text).get("trust", {}), files.__getitem__, "config.toml")


FULL = """
[trust]
keys = ["team.pub"]
trust-index = "registry"

[trust.rules."ghcr.io/acme"]
keys = ["acme.pub"]
index = "required"

[trust.rules."localhost:5000"]
verify-signature = true
"""


def test_nothing_said_is_nothing_demanded() -> None:
    assert read("") == TrustSettings()
    assert TrustSettings().policy() == Policy()


def test_a_rule_replaces_what_it_names_and_takes_over_the_rest() -> None:
    assert read(FULL).policy() == Policy(
        (
            Rule("", (TEAM.public,)),
            Rule("ghcr.io/acme", (ACME.public,), require_index=True),
            Rule("localhost:5000", (TEAM.public,), verify_signature=True),
        ),
        trust_registry=True,
    )


def test_what_holds_everywhere_holds_in_rules_that_say_nothing_else() -> None:
    settings = read(
        '[trust]\nkeys = ["team.pub"]\nindex = "required"\nverify-signature = true\n[trust.rules."ghcr.io"]\nindex = "preferred"'
    )
    rule = settings.policy().rule_for(Reference.parse("ghcr.io/acme/model:v1"))
    assert (rule.require_index, rule.verify_signature, rule.keys) == (False, True, (TEAM.public,))


def test_options_add_keys_and_demands_everywhere() -> None:
    mine = KeyFile("mine.pub", MINE.public_pem.decode())
    settings = read(FULL).with_options((mine,), verify_signature=True, require_index=True)
    for rule in settings.policy().rules:
        assert rule.keys[-1] == MINE.public
        assert rule.verify_signature
        assert rule.require_index
    assert read(FULL).with_options() == read(FULL)
    assert TrustSettings().with_options() == TrustSettings()
    assert not TrustSettings().policy().trust_registry
    assert TrustSettings().with_options(trust_registry=True).policy().trust_registry


def test_settings_travel_as_plain_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(read(FULL)), type=TrustSettings) == read(FULL)


def test_one_file_may_give_several_keys_and_a_key_counts_once() -> None:
    both = {"both.pub": FILES["team.pub"] + FILES["acme.pub"], "again.pub": FILES["team.pub"]}
    [rule] = read('[trust]\nkeys = ["both.pub", "again.pub"]', both).policy().rules
    assert rule.keys == (TEAM.public, ACME.public)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[trust]\nkey = []", "unknown key 'key'"),
        ("[trust]\nverify_signature = true", "unknown key 'verify_signature'"),
        ('[trust.rules."ghcr.io"]\ntrust-index = "registry"', "unknown key 'trust-index' .expected index, keys, verify-signature"),
        ('[trust]\nkeys = "team.pub"', "list of files"),
        ("[trust]\nkeys = [1]", "list of files"),
        ('[trust]\nkeys = [""]', "list of files"),
        ('[trust]\nindex = "wanted"', "index is 'wanted' .expected 'preferred' or 'required'"),
        ("[trust]\nindex = true", "expected 'preferred' or 'required'"),
        ('[trust]\nverify-signature = "yes"', "verify-signature is 'yes' .expected true or false"),
        ("[trust]\nverify-signature = 1", "expected true or false"),
        ('[trust]\ntrust-index = "anyone"', "trust-index is 'anyone'"),
        ("[trust]\ntrust-index = true", "trust-index is"),
        ("[trust]\ntrust-index = []", "trust-index is"),
        ("[trust]\nindex = [{}]", "expected 'preferred' or 'required'"),
        ("[trust]\nrules = []", "must be tables"),
        ('[trust.rules]\n"ghcr.io" = "required"', "no rule for a registry"),
        ("[trust.rules.acme]", "no rule for a registry"),
        ('[trust.rules."*"]', "no rule for a registry"),
        ('[trust.rules.""]', "no rule for a registry"),
        ('[trust.rules."ghcr.io/"]', "no rule for a registry"),
        ('[trust.rules."ghcr.io/acme/"]', "no rule for a registry"),
        ('[trust.rules."ghcr.io/acme:v1"]', "no rule for a registry"),
        ('[trust.rules."ghcr.io/Acme"]', "no rule for a registry"),
        ('[trust.rules."GHCR.io"]', "no rule for a registry"),
        ('[trust.rules."https://ghcr.io"]', "no rule for a registry"),
    ],
)
def test_what_cannot_be_meant_is_an_error_that_names_the_file(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        read(text)
    assert caught.value.where == "config.toml"


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("[trust]\nkey = []", "[trust]"),
        ('[trust.rules."ghcr.io"]\nindex = 1', '[trust.rules."ghcr.io"]'),
        ('[trust.rules."ghcr.io"]\nkey = 1', '[trust.rules."ghcr.io"]'),
        ('[trust.rules."*"]', '[trust.rules."*"]'),
    ],
)
def test_an_error_names_the_table(text: str, table: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text)
    assert caught.value.what.startswith(f"{table} ")


@pytest.mark.parametrize("demand", ['index = "required"', "verify-signature = true"])
def test_a_demand_that_no_key_could_meet_is_an_error(demand: str) -> None:
    with pytest.raises(UsageError, match=r"required for ghcr\.io/acme, and no key is trusted there"):
        read(f'[trust.rules."ghcr.io/acme"]\n{demand}').policy()
    with pytest.raises(UsageError, match="required for all artifacts") as caught:
        read(f"[trust]\n{demand}").policy()
    assert "--trust-key" in caught.value.hint


def test_a_key_file_without_keys_is_an_error_that_names_it() -> None:
    settings = TrustSettings((RuleSettings("", (KeyFile("empty.pub", ""),), REQUIRED),))
    with pytest.raises(UsageError, match="no public key") as caught:
        settings.policy()
    assert caught.value.where == "empty.pub"
