"""What is inside a layer: archive headers, read without believing them. Pure: bytes in, entries out, no I/O."""
