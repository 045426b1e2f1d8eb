"""Getting bytes, and bringing some: hosts, credentials, tokens, the HTTP client, ranged reads, referrers, pushes. Nothing this room
hands out is proven, except where a docstring says so.

A request on its way down: `client` → `repository` → `endpoints` (which host: `routes`) → `blobs`, `manifests`, `referrers`, `tags`,
`pushes` (what is asked for, and which answer counts: `replies`) → `exchange` (refusals met by `auth`, `tokens` and `credentials`;
redirects as `hosts` allows; tried again as `retries` and `budget` allow) → `transport` (`slots`, `manners`, deadlines, counters;
gives an `answer`) → `pool` (connections; `trust`). What goes wrong below becomes one of our errors in `failures`.
docs/REGISTRIES.md says what it was tested against.

Atomic between checkpoints: every table here (tokens and their flights, addresses of blobs, what helpers said, which hosts stand
aside) changes in one step, and each module says what its entries mean. Cancelling any call gives its connection and slot back
before it returns.
"""
