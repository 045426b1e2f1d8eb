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
    "I": Group("chunk indexes and signatures"),
    "H": Group("what a server answers, and how it lets in"),
    "K": Group("the cache's disk and what is on it"),
    "C": Group("killed at a system call"),
    "F": Group("the life of a mount, and how it is read"),
    "N": Group("the network under a mount that is in use"),
    "M": Group("several processes on one cache"),
}
