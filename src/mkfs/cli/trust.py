"""The files that keys are in: read here, as all files of the user's are; what they mean is decided in `proof.trust_settings`."""

from pathlib import Path
from typing import Final

from mkfs.errors import UsageError
from mkfs.units import MIB

KEY_FILE_LIMIT_BYTES: Final = MIB  # sixty-four keys, the most that are taken of one file, have some 50 KiB


def read_key_file(path: Path) -> str:
    """The text of a key file; whether it holds keys is asked later. Raises `UsageError`."""
    try:
        with path.expanduser().open("rb") as file:
            text = file.read(KEY_FILE_LIMIT_BYTES + 1)
        if len(text) > KEY_FILE_LIMIT_BYTES:
            raise UsageError("too large for a key file", str(path))
        return text.decode("ascii")
    except OSError as error:
        raise UsageError(f"key file cannot be read: {error.strerror}", str(path)) from error
    except UnicodeDecodeError as error:
        raise UsageError("not a key file (expected PEM text)", str(path)) from error
