"""pyfuse3 and the kernel on one side, `vfs` on the other; the only place where an error becomes an errno.

`kernel`, `mountinfo` and `connection` need no pyfuse3 and import everywhere; `operations` and `session` import it at once, so ask
`kernel.check_fuse()` before importing them. pyfuse3 keeps its session in module globals: one mount per process.

Atomic between checkpoints: every answer but those of reads that wait. A task per request, all on the one loop; no locks.
"""
