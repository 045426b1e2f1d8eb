"""Facts in, findings out: what is well, what is not, and what to do about it. Pure."""
