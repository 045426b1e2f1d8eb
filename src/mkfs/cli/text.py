"""Text for a terminal."""


def printable(text: str) -> str:
    """`text` on one line that a terminal can't be fooled by: control characters and undecodable bytes are shown escaped."""
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is not UTF-8, as surrogateescape keeps it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
