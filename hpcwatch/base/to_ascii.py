"""Letters for a stream or a terminal that knows few: lines and signs become ASCII like them."""

from __future__ import annotations

import codecs

NEAREST = "hpcwatch.nearest"
"""How errors of encoding are handled once ``register`` was called: ``errors=NEAREST``."""

_LIKE = str.maketrans(
    {
        **dict.fromkeys("─━╸╌–—−·", "-"),
        **dict.fromkeys("▏▎▍▌▋▕│", "|"),
        **dict.fromkeys("▊▉█", "#"),
        **dict(zip("▁▂▃▄▅▆▇", "_.,-=+*")),
        **dict(zip("▲●✓✗×≥≤…→←↑↓›░▒°", "!*+xx><~><^v>:%o")),
    }
)
"""Each takes one column, as what it stands for."""


def register() -> None:
    """Let NEAREST be known to every encoder."""
    codecs.register_error(NEAREST, _nearest)


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    alike = wrong.translate(_LIKE)
    return "".join(one if one.isascii() else "?" for one in alike), error.end
