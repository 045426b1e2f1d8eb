"""Where the tensors of a model file are, read from its start without believing it. Pure: bytes in, offsets out, no I/O.

What comes out only guides readahead, so whatever makes no sense is no error: there is no guess then.
"""
