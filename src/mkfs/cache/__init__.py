"""Keeping bytes: a directory of layers, chunk indexes and small documents, and the staging of what is on its way in.

The rules (each file says how it keeps them):

- Unproven bytes are private to the process that stages them; what it leaves of them when it ends, another one may inherit, as
  unproven as they were (`leftovers`). A layer is published whole, by one rename, after its digest matched (`staging`), or chunk by
  chunk under a trusted chunk index, each checked in private memory before it is written (`partial`).
- The files of a layer published whole are never written, truncated or punched again; those of a partial layer are written with
  verified bytes only, in any order, by anybody, however late. Taking a layer away is a rename and an unlink. No file is mapped.
- What comes from the disk is hashed in private memory before it is answered; what the page cache holds is answered only where it
  must come from proven writes. So no fsync is needed: after a crash or a power failure, reading is the check. The ledger of a
  partial layer is a hint like everything else.
- Garbage is absence: what is damaged is removed or noted as missing, and counted, and the bytes are fetched again.

Between processes: any number of daemons of one user may share the directory. Publishing, putting, dropping, evicting, reading and
sweeping are safe against each other, against a kill at any point, and against an owner who is stopped and wakes up late. Locks
(`locks`) see to it that a byte is mostly fetched once; they save bytes and guard nothing. A reader pins what it reads (`pins`);
whoever needs room takes away what is pinned by nobody and was used longest ago (`evict`).

Atomic between checkpoints: all of it. The room knows no event loop; its calls block, but for `read_now`, which never does.
"""
