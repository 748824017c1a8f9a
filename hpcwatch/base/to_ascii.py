"""ASCII replacements for streams and terminals without Unicode: similar letters and signs."""

from __future__ import annotations

import codecs

NEAREST = "hpcwatch.nearest"
"""The name of the encoding error handler after ``register``: ``errors=NEAREST``."""

_LIKE = str.maketrans(
    {
        **dict.fromkeys("─━╸╌–—−·", "-"),
        **dict.fromkeys("▏▎▍▌▋▕│", "|"),
        **dict.fromkeys("▊▉█", "#"),
        **dict(zip("▁▂▃▄▅▆▇", "_.,-=+*")),
        **dict(zip("▲●✓✗×≥≤…→←↑↓›░▒°", "!*+xx><~><^v>:%o")),
    }
)
"""Each replacement takes one column, as the original does."""


def register() -> None:
    """Register NEAREST with all encoders."""
    codecs.register_error(NEAREST, _nearest)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    alike = wrong.translate(_LIKE)
    return "".join(one if one.isascii() else "?" for one in alike), error.end
