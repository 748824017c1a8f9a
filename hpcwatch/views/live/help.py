"""The help page. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.views.live.rich_lines import rich_lines, styled
from hpcwatch.views.text import Line, Span, fit

KEYS = (
    ("Tab  Shift-Tab  1-6", "next page, last page, one by its place"),
    ("↑ ↓  j k", "select"),
    ("PgUp PgDn  Home End  g G", "by pages, to the ends"),
    ("Enter", "open what is selected"),
    ("Esc", "back; lets a filter go"),
    ("s  F6", "next order of the rows"),
    ("P M T N", "PROCESSES: by CPU, memory, CPU time, number"),
    ("a", "PROCESSES: all of a node's, not only the largest; the largest again"),
    ("t  F5", "PROCESSES: as a tree"),
    ("u", "PROCESSES: of the next user only, of all"),
    ("k  F9", "PROCESSES: signal to one of your own"),
    ("wheel, click", "select, open; m leaves the mouse to the terminal"),
    ("/  F3", "filter: show only rows with a text in them"),
    ("z", "TIMELINE: one chart alone, the next one, all"),
    ("l", "LOG: what the job writes; e its errors, G follows"),
    ("b", "charts in braille, in blocks"),
    ("p", "pause: the picture stands still, recording goes on"),
    ("r", "refresh: ask again now"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-Z", "back to the shell; fg comes back"),
    ("?  h  F1", "this page"),
    ("q  Ctrl-C  F10", "back, then quit; F10 quits at once"),
)
"""Keys, and what they do."""
_LIVE = {"a", "r"}
"""Keys that mean nothing over a recording."""
_SIGNS = (
    ("▲", "critical", "critical: the job is at risk, or much of it is wasted"),
    ("●", "warning", "warning: worth a look"),
    ("·", "", "information"),
    ("–", "dim", "unknown, which is not 0"),
    ("░", "dim", "page cache: the kernel takes it back when memory is wanted"),
    ("≥", "", "at least: it was so when we began to watch"),
    ("╌", "grey", "a chart's limit: what was requested, or may be used"),
)
_WORDS = (
    "CPU is in cores: 2.1 of 20 is two cores busy. Of a process, 100 % is one core.",
    "GPU utilisation is the share of time in which any kernel ran, not how well it ran.",
    "Memory is in binary units. What a bar ends at is the limit that binds on that node.",
    "hpcwatch explain NAME says more about each figure and finding.",
)


def help_lines(width: int, own: Sequence[tuple[str, str]] = ()) -> list[Line]:
    """Return the help page; a command's own keys go first, in place of those that are the same."""
    taken = {key for keys, _ in own for key in keys.split()} | (_LIVE if own else set())
    keys_of_pages = [pair for pair in KEYS if not taken & set(pair[0].split())]
    keys_width = min(26, width // 3)
    lines: list[Line] = [[Span(" Keys", "head")]]
    lines += _pairs(
        [(keys, "bold", what) for keys, what in [*own, *keys_of_pages]], keys_width, width
    )
    lines += [[], [Span(" Signs", "head")], *_pairs(_SIGNS, 1, width)]
    lines += [
        [],
        [Span(" Figures", "head")],
        *_pairs([("", "", words) for words in _WORDS], 0, width),
    ]
    return [fit(line, width) for line in lines]


def _pairs(pairs: Sequence[tuple[str, str, str]], first: int, width: int) -> list[Line]:
    """Return words with a style beside what they mean, which wraps in its own column."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    if first:
        table.add_column(width=first)
    table.add_column()
    for word, style, what in pairs:
        table.add_row(*([styled(word, style)] if first else []), styled(what))
    return [[Span("   "), *line] for line in rich_lines(table, max(width - 3, 20))]
