"""Getting bytes: hosts, credentials, tokens, the HTTP client, ranged reads. Nothing this room hands out is proven, except where a
docstring says so.

A request on its way down: `client` → `repository` (what is asked for, and which answer counts: `replies`) → `exchange` (refusals
met by `auth`, `tokens` and `credentials`; redirects as `hosts` allows) → `transport` (slots, deadlines, counters) → `pool`
(connections). What goes wrong below becomes one of our errors in `failures`.

Atomic between checkpoints: every table here (tokens and their flights, addresses of blobs, what helpers said) changes in one
step, and each module says what its entries mean. Cancelling any call gives its connection and slot back before it returns.
"""
