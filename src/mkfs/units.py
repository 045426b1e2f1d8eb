"""Sizes and durations as people write them. Binary units only: a registry, a disk and a page count in powers of two here."""

import re
from typing import Final

from mkfs.errors import UsageError

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
TIB: Final = 1024 * GIB

_SIZE_UNITS: Final = {"": 1, "B": 1, "K": KIB, "KIB": KIB, "M": MIB, "MIB": MIB, "G": GIB, "GIB": GIB, "T": TIB, "TIB": TIB}
_DURATION_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_SIZE: Final = re.compile(r"([0-9]{1,18})\s*([a-zA-Z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """Bytes in `64MiB`, `64M`, `1GiB` or `4096`. Raises `UsageError` for anything else; fractions and decimal units are refused."""
    match = _SIZE.fullmatch(text.strip())
    unit = _SIZE_UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise UsageError(f"not a size: {text[:80]!r} (expected a number and one of KiB, MiB, GiB, TiB)")
    return int(match[1]) * unit


def format_size(size_bytes: int) -> str:
    """`size_bytes` for a person: exact below 1 KiB, one decimal above (`3.5 GiB`)."""
    if size_bytes < KIB:
        return f"{size_bytes} B"
    for name, unit in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    raise AssertionError(size_bytes)  # pragma: no cover - every size of 1 KiB and more has a unit


def parse_duration(text: str) -> int:
    """Seconds in `90s`, `45min`, `12h`, `30d`. Raises `UsageError` for anything else."""
    match = _SIZE.fullmatch(text.strip())
    unit = _DURATION_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise UsageError(f"not a duration: {text[:80]!r} (expected a number and one of s, min, h, d)")
    return int(match[1]) * unit


def format_duration(seconds: float) -> str:
    """`seconds` for a person: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_age(seconds: float) -> str:
    """`seconds` for a person who compares: `now`, `5 min`, `3 h`, `12 days`, `3 years`. What lies ahead is `now`."""
    for unit, length in (("years", 365 * 86_400), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length * (2 if length >= 86_400 else 1):
            return f"{int(seconds // length)} {unit}"
    return "now"
