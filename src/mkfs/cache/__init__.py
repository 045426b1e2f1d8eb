"""Keeping bytes: a directory of published layers and small documents, and the staging of what is on its way in.

The rules (each file says how it keeps them):

- Unproven bytes are private to the process that stages them. A layer is published whole, by one rename, after its digest matched.
- A published file is never written, truncated or punched again; dropping a layer is a rename away and an unlink. No file is mapped.
- What comes from the disk is hashed in private memory before it is answered; what the page cache holds is answered only where it
  must come from proven writes. So no fsync is needed: after a crash or a power failure, reading is the check.
- Garbage is absence: what is damaged is removed and counted, and the bytes are fetched again.

Between processes, now: any number of daemons of one user may share the directory. Publishing, dropping, reading and sweeping are
safe against each other, against a kill at any point, and against an owner who is stopped and wakes up late. Not promised yet: that
a byte is fetched once. Two processes that want the same layer both stage it; the second to publish takes what the first published.

What the second part adds beside what is here: a lock and a ledger per layer (one flight per chunk; chunks published one by one
under a trusted index), a bound on size with eviction of what nobody has open, grants per host and repository, a scrubber. The
version file is what tells a later layout from this one.

Atomic between checkpoints: all of it. The room knows no event loop; its calls block, but for `StoredLayer.read_now`, which never
does.
"""

from mkfs.cache.staging import Staging
from mkfs.cache.store import Cache
from mkfs.cache.stored import Damaged, StoredLayer

__all__ = ["Cache", "Damaged", "Staging", "StoredLayer"]
