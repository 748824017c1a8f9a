"""Foreign text made harmless for a terminal. Pure."""

from __future__ import annotations

HOST = r"(?!-)[A-Za-z0-9._-]{1,253}"
"""A host name, which never reads as an option. No scheduler names nodes by IPv6 addresses."""


def clean(text: str) -> str:
    r"""Make foreign text harmless: controls, invisible and direction marks become ``\x1b``.

    Bytes that are not UTF-8, which Python decodes to lone surrogates, show as ``\\xff``.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escaped(character) if _is_harmful(character) else character for character in text
    )


def _is_harmful(character: str) -> bool:
    # A variation selector makes some terminals draw the character before it twice as wide.
    return not character.isprintable() or "\ufe00" <= character <= "\ufe0f"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
