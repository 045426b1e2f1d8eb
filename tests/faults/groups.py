"""The groups of faults, and what of them cannot happen here: with its reason, and never counted as passed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Group:
    """`absent`: cases by name, with the reason why they cannot happen."""

    what: str
    absent: Mapping[str, str] = field(default_factory=dict)


GROUPS: Final[Mapping[str, Group]] = {
    "T": Group("tars that are damaged, exotic or hostile"),
    "Z": Group("compressed layers: damaged, bombs, other than they say"),
    "J": Group("manifests, indexes and configs"),
    "I": Group(
        "chunk indexes and signatures",
        {
            "chaining values swapped, or with a wrong last one": "version 1 of the document has a field for them and refuses any",
            "OpenSSF model signing with odd shards": "not read here: it is not bound to a manifest (docs/CHUNK_INDEX.md)",
            "OpenSSF model signing without a file of no bytes": "not read here, as above",
            "an artifact that was signed, under the tag of a newer one": "what a tag means is the registry's word (as above)",
        },
    ),
    "H": Group("what a server answers, and how it lets in"),
    "K": Group(
        "the cache's disk and what is on it",
        {
            "a real quota that is used up": "needs a disk with quotas; EDQUOT is injected at the calls that would meet it instead",
            "another boot (boot_id)": "nothing in a cache depends on it, as each process hashes what it answers. What it would tell"
            " of, a power failure that kept data from the disk, is a case",
        },
    ),
    "C": Group("killed at a system call"),
    "F": Group("the life of a mount, and how it is read"),
    "N": Group("the network under a mount that is in use"),
    "M": Group("several processes on one cache"),
}
