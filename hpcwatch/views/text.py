"""Lines of styled text for a terminal: cleaned of foreign control, cut to a width, coloured.

The panel and the summary of `hpcwatch run` are made of these rather than of rich, whose import
alone would take longer than many of the programs we watch.
"""

import os

from hpcwatch.probe.typed import Mapping, NamedTuple, Optional, Sequence, TextIO

STYLES = ("", "bold", "dim", "grey", "ok", "warning", "critical", "head", "selected")
"""Every style goes with a word or a sign: nothing is said by colour alone.

Words are never coloured: no colour is readable on every background, but the terminal's own letters
are. What is coloured is bars, lines, and signs with a background of their own, in colours of the
cube of 256, which no theme changes. Where there are only 16 colours, which themes do change, signs
are reversed and nothing is coloured.
"""

_WORDS = {"bold": "1", "warning": "1", "critical": "1", "head": "1", "selected": "1;7"}
_BAR_COLOURS = {"ok": "38;5;28", "warning": "38;5;136", "critical": "38;5;160", "grey": "38;5;244"}
"""Of a lightness in the middle: at least 3:1 on black, white, and Solarized's two backgrounds, but
for red on Solarized's dark one (2.8), where a bar has its number beside it."""
_BADGES = {
    "ok": "1;38;5;231;48;5;28",
    "warning": "1;38;5;16;48;5;136",
    "critical": "1;38;5;231;48;5;160",
}
_FEW_BADGES = {"ok": "1", "warning": "1;7", "critical": "1;7"}
_BADGED = "●▲✓✗"

NONE, FEW, MANY = 0, 16, 256
"""How many colours a terminal has."""

SIGNS = {"info": "·", "warning": "●", "critical": "▲"}


class Span(NamedTuple):
    """A piece of a line in one style."""

    text: str
    style: str = ""


Line = Sequence[Span]


_NARROW = frozenset(
    map(
        chr,
        (
            *range(0x20, 0x300),
            *range(0x2010, 0x2028),
            *range(0x2500, 0x25FD),
            *range(0x2800, 0x2900),
        ),
    )
)
"""Latin, dashes, and what rules, sparklines, signs and charts are made of: they take one column."""


def width_of(text: str) -> int:
    """Return how many columns a text takes (wide East Asian characters take two)."""
    if text.isascii() or _NARROW.issuperset(text):
        return len(text)
    return sum([1 if character in _NARROW else _columns(character) for character in text])


def _columns(character: str) -> int:
    import unicodedata

    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Cut a text to a width; what is left out shows as ``…``."""
    if width_of(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += _columns(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…" if width > 0 else ""


def fit(line: Line, width: int) -> list[Span]:
    """Cut a line to a width; its right end gives way first."""
    if line_width(line) <= width:
        return list(line)
    fitted, left = [], width
    for span in line:
        if left <= 0:
            break
        text = cut(span.text, left)
        fitted.append(Span(text, span.style))
        left -= width_of(text)
        if text != span.text:
            break
    return fitted


def line_width(line: Line) -> int:
    """Return how many columns a line takes."""
    return sum([width_of(span.text) for span in line])


_UNITS = (
    *(
        "%",
        "s",
        "min",
        "h",
        "d",
        "W",
        "°C",
        "Wh",
        "kWh",
        "core-hour",
        "core-hours",
        "GPU-hour",
        "GPU-hours",
        "core",
        "cores",
    ),
    *("B", "KB", "MB", "GB", "TB", "iB", "KiB", "MiB", "GiB", "TiB"),
)


def wrapped(text: str, width: int) -> list[str]:
    """Return clean text in rows of a width; a number stays beside its unit, an option whole."""
    rows, row = [], ""
    for word in _kept_together(text.split(" ")):
        row += " " * bool(row) + word
        while len(row) > width:
            fits = row.rfind(" ") if " " in row and len(word) <= width else width
            rows.append(row[:fits].rstrip(" "))
            row = row[fits:].lstrip(" ")
    return [one.replace("\xa0", " ") for one in (*rows, row) if one]


def _kept_together(words: Sequence[str]) -> list[str]:
    """Join what is hard to read apart: a number and its unit, a device and its number."""
    made: list[str] = []
    before = ""
    for word in words:
        if made and (
            (before[-1:].isdigit() and _starts_with_unit(word))
            or (word[:1].isdigit() and before.endswith("GPU") and not _is_in_word(before[-4:-3]))
        ):
            made[-1] += f"\xa0{word}"
        elif word:
            made.append(word)
        before = word
    return made


def _starts_with_unit(word: str) -> bool:
    return any(
        word.startswith(unit) and not _is_in_word(word[len(unit) : len(unit) + 1])
        for unit in _UNITS
    )


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


_PLAIN = frozenset("%+,-./0123456789:=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


def shell_line(words: Sequence[str]) -> str:
    """Return words as a shell reads them, as ``shlex.join`` does, whose import takes longer."""
    return " ".join(
        word if word and _PLAIN.issuperset(word) else "'" + word.replace("'", "'\"'\"'") + "'"
        for word in words
    )


def render(line: Line, coloured: bool) -> str:
    """Return the line as text, with SGR sequences if ``coloured``."""
    if not coloured:
        return "".join(span.text for span in line)
    colours = colours_of(os.environ)
    return "".join([painted(span.text, span.style, colours) for span in line])


def colours_of(environment: Mapping[str, str]) -> int:
    """Return how many colours the terminal has, by what it is called."""
    if environment.get("COLORTERM"):
        return MANY
    name = environment.get("TERM", "")
    has_many = "256" in name or name.startswith(("tmux", "alacritty", "foot", "xterm-kitty"))
    return MANY if has_many else FEW


def painted(text: str, style: str, colours: int) -> str:
    """Return a text with the SGR sequences of its style; words, bars and signs differ."""
    if not style:
        return text
    words = _WORDS.get(style, "")
    bars = _BAR_COLOURS.get(style, words) if colours == MANY else words
    badges = {NONE: _WORDS, FEW: _FEW_BADGES, MANY: _BADGES}[colours]
    signs = badges.get(style, words)
    if style == "grey" or words == bars == signs:
        return f"\x1b[{bars}m{text}\x1b[0m" if bars else text
    made, start = [], 0
    for end in range(1, len(text) + 1):
        kind = _kind(text[start])
        if end == len(text) or _kind(text[end]) != kind:
            sgr = (words, bars, signs)[kind]
            piece = text[start:end]
            made.append(f"\x1b[{sgr}m{piece}\x1b[0m" if sgr else piece)
            start = end
    return "".join(made)


def _kind(letter: str) -> int:
    """Return 0 for a letter of a word, 1 for a piece of a bar or a chart, 2 for a sign."""
    if letter in _BADGED:
        return 2
    return int("\u2580" <= letter <= "\u259f" or "\u2800" <= letter <= "\u28ff")


def fresh_line(columns: int) -> str:
    """Return what puts a terminal's cursor at the start of a line, wherever a program left it.

    As many blanks as the line has columns stay on it if they begin at its start; else they reach
    the next one.
    """
    return " " * columns + "\r"


_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], top: float, width: int) -> str:
    """Draw the values over a scale from 0 to ``top``, thinned to ``width`` by their largest.

    Unknown (NaN) is a blank.
    """
    if not values or width <= 0:
        return ""
    if len(values) > width:
        from hpcwatch.base.pairs import pairwise

        bounds = [index * len(values) // width for index in range(width + 1)]
        values = [_largest(values[first:last]) for first, last in pairwise(bounds)]
    scale, highest = len(_BARS) / top if top > 0 else 0.0, len(_BARS) - 1
    return "".join(
        [
            _BARS[max(int(min(value * scale, highest)), 0)] if value == value else " "
            for value in values
        ]
    )


def _largest(values: Sequence[float]) -> float:
    """Return the largest known value; NaN, which equals nothing, if none is."""
    return max([value for value in values if value == value], default=float("nan"))


def wants_colour(stream: Optional[TextIO], choice: str = "auto") -> bool:
    """Decide on colour: the choice, then NO_COLOR (no-color.org), then whether it is a terminal."""
    if stream is None:  # closed before we started
        return False
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()


def columns_of(stream: Optional[TextIO], default: int = 80) -> int:
    """Return the width to write for: COLUMNS, else the terminal's, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given) > 0:
        return int(given)
    if stream is None:
        return default
    try:
        return os.get_terminal_size(stream.fileno()).columns or default
    except (OSError, ValueError):
        return default


LABEL = 11
"""Columns of a row's name in a report."""
_ASKED, _USED, _PEAK = 11, 19, 12


def figures_row(label: str, asked: str, used: str, peak: str = "", spark: str = "") -> Line:
    """Return a row of a report: what was requested, the mean that was used, the peak, a curve.

    A label that is too long takes the next column, too.
    """
    first = f"{label:{LABEL}}{asked:{_ASKED}}"
    if width_of(label) >= LABEL:
        first = f"{label:{LABEL + _ASKED}}"
    return [Span(f"{first}{used:{_USED}}{peak:{_PEAK}}"), Span(spark, "ok")]
