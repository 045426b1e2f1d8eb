"""What may be believed. Bytes become `Proven` only here; a layer's chunks are cut and checked only by the grid and chunk index
here.

Pure: bytes in, verdicts out. Trust in a chunk index comes from how it was made (by ourselves, from a layer whose digest matched);
an index from elsewhere is a later part's business and never enters through `ChunkIndex.decode` alone.
"""
