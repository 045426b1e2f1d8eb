"""The policy as plain data, on its way from the command line and the config file to the process that mounts.

    [trust]
    keys = ["/etc/mkfs/team.pub"]           # files of PEM public keys; whose signatures count
    index = "preferred"                     # or "required": without a signed chunk index nothing is shown
    verify-signature = false                # or true: without cosign's signature of the artifact nothing is shown
    trust-index = "registry"                # believe the registry's word for artifacts named by tag; left out: do not

    [trust.rules."ghcr.io/acme"]            # for these repositories, in place of all of the above that it names
    keys = ["/etc/mkfs/acme.pub"]
    index = "required"

Unknown keys are errors: a misspelt `verify-signature` must not be silently nothing.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, final

from msgspec import Struct
from msgspec.structs import replace

from mkfs.errors import BadReference, UsageError
from mkfs.oci.reference import Reference

if TYPE_CHECKING:  # the command only hands these settings over
    from mkfs.proof.policy import Policy, Rule

PREFERRED: Final = "preferred"
REQUIRED: Final = "required"
REGISTRY: Final = "registry"
_FIELDS: Final = frozenset({"keys", "index", "verify-signature"})


@final
class KeyFile(Struct, frozen=True):
    """A file of public keys: its name, for messages, and its text."""

    name: str
    pem: str


@final
class RuleSettings(Struct, frozen=True):
    """See `policy.Rule`."""

    scope: str = ""
    keys: tuple[KeyFile, ...] = ()
    index: str = PREFERRED
    verify_signature: bool = False


@final
class TrustSettings(Struct, frozen=True):
    """Everything a user says about trust. The first of `rules` has the scope "": it holds where no other does."""

    rules: tuple[RuleSettings, ...] = (RuleSettings(),)
    trust_registry: bool = False

    def with_options(
        self,
        keys: tuple[KeyFile, ...] = (),
        *,
        verify_signature: bool = False,
        require_index: bool = False,
        trust_registry: bool = False,
    ) -> "TrustSettings":
        """With what the command line adds: keys that count everywhere, and demands that hold everywhere."""
        rules = tuple(
            replace(
                rule,
                keys=rule.keys + keys,
                index=REQUIRED if require_index else rule.index,
                verify_signature=rule.verify_signature or verify_signature,
            )
            for rule in self.rules
        )
        return TrustSettings(rules, self.trust_registry or trust_registry)

    def policy(self) -> "Policy":
        """The policy these settings mean. Raises `UsageError`: a key that is none, a demand that no key could meet."""
        from mkfs.proof.policy import Policy

        return Policy(tuple(_rule(rule) for rule in self.rules), self.trust_registry)


def read_trust(table: Mapping[str, object], read_key: Callable[[str], str], where: str) -> TrustSettings:
    """What the table `[trust]` of a config file says. `read_key` gives the text of a key file; `where` names the config file.

    Raises `UsageError`, and what `read_key` raises.
    """
    rest = dict(table)
    scopes, trust_index = rest.pop("rules", {}), rest.pop("trust-index", "")
    if trust_index not in ("", REGISTRY):  # compared, not hashed: TOML has lists
        raise UsageError(f"[trust] trust-index is {str(trust_index)[:40]!a} (expected {REGISTRY!r}, or nothing)", where)
    if not isinstance(scopes, dict):
        raise UsageError("[trust] rules must be tables, one for each registry or path", where)
    general = _read_rule(RuleSettings(), rest, read_key, where, "[trust]")
    rules = [general]
    for scope, fields in scopes.items():
        label = f'[trust.rules."{scope}"]'
        if not isinstance(fields, dict) or not _is_scope(scope):
            raise UsageError(
                f'{label} is no rule for a registry or a path in it (expected e.g. [trust.rules."ghcr.io/acme"])', where
            )
        rules.append(_read_rule(replace(general, scope=scope), fields, read_key, where, label))
    return TrustSettings(tuple(rules), trust_index == REGISTRY)


def _read_rule(
    general: RuleSettings, fields: Mapping[str, object], read_key: Callable[[str], str], where: str, label: str
) -> RuleSettings:
    if unknown := fields.keys() - _FIELDS:
        raise UsageError(f"{label} has an unknown key {min(unknown)[:40]!a} (expected {', '.join(sorted(_FIELDS))})", where)
    index, verify = fields.get("index", general.index), fields.get("verify-signature", general.verify_signature)
    names = fields.get("keys")
    if index not in (PREFERRED, REQUIRED):
        raise UsageError(f"{label} index is {str(index)[:40]!a} (expected {PREFERRED!r} or {REQUIRED!r})", where)
    if not isinstance(verify, bool):
        raise UsageError(f"{label} verify-signature is {str(verify)[:40]!a} (expected true or false)", where)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) and name for name in names)):
        raise UsageError(f"{label} keys must be a list of files", where)
    keys = general.keys if names is None else tuple(KeyFile(name, read_key(name)) for name in names)
    return RuleSettings(general.scope, keys, str(index), verify)


def _is_scope(scope: str) -> bool:
    """Whether `scope` is a registry, or one with the beginning of a repository: written as references are read."""
    try:
        reference = Reference.parse(f"{scope}:any" if "/" in scope else f"{scope}/any:any")
    except BadReference:
        return False
    return scope in {reference.name, reference.registry}


def _rule(settings: RuleSettings) -> "Rule":
    from mkfs.proof.policy import Rule

    if not (settings.keys or settings.index == REQUIRED or settings.verify_signature):
        return Rule(settings.scope)
    from mkfs.proof.keys import read_public_keys

    keys = {key.id: key for file in settings.keys for key in read_public_keys(file.pem.encode(), file.name)}
    if not keys and (settings.index == REQUIRED or settings.verify_signature):
        raise UsageError(
            f"signatures are required for {settings.scope or 'all artifacts'}, and no key is trusted there",
            hint="give one with --trust-key, or with keys in [trust]",
        )
    return Rule(settings.scope, tuple(keys.values()), settings.index == REQUIRED, settings.verify_signature)
