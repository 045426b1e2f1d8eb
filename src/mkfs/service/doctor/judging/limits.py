"""What this process may take of the machine: memory, open files."""

from typing import Final, final

from msgspec import Struct

from mkfs.content.budget import MOST_BYTES, ahead_limit
from mkfs.content.buffers import CAPACITY, RANGE_BYTES
from mkfs.registry.slots import SLOTS
from mkfs.service.doctor.finding import Finding, ok, warn
from mkfs.units import MIB, format_size

# A mount's own memory: interpreter and libraries some 100 MiB, buffers, hot chunks, tables of large layers.
LEAST_BYTES: Final = 256 * MIB
# Each answer that is open has one, each stored file in use two; a kit of a hundred layers outgrows less.
LEAST_FILES: Final = 1024


@final
class Memory(Struct, frozen=True):
    """`limit_bytes`: the least that cgroups and machine allow, None where nothing says; `origin` is the file that says so."""

    limit_bytes: int | None
    origin: str


def judge_memory(facts: Memory) -> Finding:
    """Whether there is room for what a mount keeps in memory, and what that leaves to be ahead of readers."""
    ahead = ahead_limit(facts.limit_bytes)
    budget = f"{format_size(CAPACITY * RANGE_BYTES)} of buffers, up to {format_size(ahead)} ahead of readers"
    if facts.limit_bytes is None:
        return ok(f"nothing limits memory: {budget}")
    text = f"{format_size(facts.limit_bytes)} of memory ({facts.origin}): {budget}"
    raise_it = "raise the memory limit of the container (resources.limits.memory) or unit (MemoryMax=, MemoryHigh=)"
    if facts.limit_bytes < LEAST_BYTES:
        return warn(f"{text}; a mount needs {format_size(LEAST_BYTES)}", f"{raise_it} to {format_size(LEAST_BYTES)} and more")
    if facts.origin.endswith("memory.high") and ahead < MOST_BYTES:
        return warn(f"{text}; above memory.high the kernel slows us down, the page cache of readers included", raise_it)
    return ok(text)


def judge_files(hard_limit: int | None) -> Finding:
    """How many files may be open, when the soft limit was raised to the hard one, as a mount does. None: without limit."""
    if hard_limit is None:
        return ok("any number of open files")
    if hard_limit < LEAST_FILES:
        text = f"{hard_limit} open files at most: {SLOTS} connections and two for each stored file in use may not fit"
        return warn(text, f"ulimit -Hn {LEAST_FILES}; in a unit: LimitNOFILE={LEAST_FILES}")
    return ok(f"{hard_limit} open files")
