"""rich's renderables as lines of ours: where text wraps in columns, and speed does not matter."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from hpcwatch.views.text import Line, Span

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

_STYLE = "hpcwatch"
"""The key under which a piece's style is noted in rich's own."""


def styled(text: str, style: str = "") -> Text:
    """Return a text with one of our styles. Nothing in it is read as markup."""
    from rich.style import Style
    from rich.text import Text

    return Text(text, Style(meta={_STYLE: style}))


def rich_lines(renderable: RenderableType, width: int) -> list[Line]:
    """Return what rich makes of a renderable in a width."""
    console = _console()
    rows = console.render_lines(renderable, console.options.update(width=width), pad=False)
    return [
        [
            Span(piece.text, str(piece.style.meta.get(_STYLE, "")) if piece.style else "")
            for piece in row
            if not piece.control
        ]
        for row in rows
    ]


@lru_cache(maxsize=1)
def _console() -> Console:
    from rich.console import Console

    return Console(
        file=io.StringIO(), markup=False, highlight=False, emoji=False, legacy_windows=False
    )
