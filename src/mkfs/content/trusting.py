"""What hangs on an artifact and may vouch for it, judged by the user's policy.

Nothing is asked unless the policy could make use of the answer, and then only is imported what asks.
"""

from mkfs.content.source import Source
from mkfs.oci.manifest import Manifest
from mkfs.proof.policy import Policy, Verdict, decide
from mkfs.registry.manifests import ResolvedManifest


async def judge(source: Source, policy: Policy, resolved: ResolvedManifest, manifest: Manifest, *, pinned: bool = False) -> Verdict:
    """What is believed of the artifact whose manifest is `resolved`, beside its digest. `pinned`: a digest was named on the way to
    it, so the registry's word is not asked.

    Raises `IntegrityError` where the policy requires what is not there, or trusted chunk indexes disagree.
    """
    rule = policy.rule_for(source.reference)
    asks_registry = policy.trust_registry and source.reference.digest is None and not pinned
    if not (rule.keys or rule.require_index or rule.verify_signature or asks_registry):
        return Verdict({}, (), ())
    from mkfs.content.searching import search

    found = await search(source, rule, resolved, manifest, asks_registry=asks_registry)
    return decide(policy, source.reference, found, pinned=pinned)
