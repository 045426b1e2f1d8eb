"""Facts of this machine and of a registry. What cannot be found out is None or ""; nothing is judged here."""
