"""What a test of mkfs, or of something that stands on it, needs instead of the real thing. Shipped; nothing in mkfs imports it.

- `bodies`: bytes that need not sit in memory
- `kits`: ModelKits made from a seed, packed as kit packs them, and what `kit unpack` would write
- `tensors`: small real safetensors files without numpy
- `registry`, `serving`, `transport`, `access`, `faults`: an in-process registry, the ways to it, its door, and what goes wrong
- `link`: a long way to a server on this machine: rate, delay, slow start
- `sources`: a registry's blobs in memory, without HTTP

Everything here repeats: the same seed gives the same bytes on every machine and run.
"""
