"""What may be believed. Bytes become `Proven` only here, a layer's chunks are cut and checked only by the grid and chunk index
here, and whether a chunk index from elsewhere may do that is decided here.

Pure: bytes in, verdicts out. From the bottom up:

- `proven`: bytes that matched a descriptor. `grid`, `chunk_index`: how a layer is cut, and what each of its chunks must be. A
  `ChunkIndex` proves nothing by being decoded: one is trusted because we made it, or because `policy` says so.
- `artifact_index` (with `tables`): the chunk indexes of an artifact as one document that travels. `statement`, `dsse`, `bundle`,
  `keys`: a signature over it. `referrers`: the manifests that carry both. `cosign`: signatures of the artifact itself.
- `evidence`: every piece that was found beside an artifact, examined on its own. `policy` (from `trust_settings`): the verdict.

So a reader asks in this order: `Policy.rule_for` for the keys; an `Examiner` for each bundle, then for each document that a good
statement names; `decide`; `Verdict.of` for each layer.
"""
