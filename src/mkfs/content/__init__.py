"""The heart: proven reads of a layer. See `content.layer` for how a read is answered and what is atomic between checkpoints."""
