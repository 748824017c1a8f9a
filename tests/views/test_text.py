"""Foreign text is harmless, nothing is wider than it may be, and sparklines keep their scale."""

from __future__ import annotations

import io
import math
import re
import shlex
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.base.clean import clean
from hpcwatch.views.text import (
    STYLES,
    Span,
    _kept_together,
    columns_of,
    cut,
    fit,
    line_width,
    render,
    shell_line,
    sparkline,
    wants_colour,
    width_of,
)

# Text as a process may name itself: anything, among it bytes that are not UTF-8.
foreign = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=())),
    st.binary().map(lambda name: name.decode("utf-8", "surrogateescape")),
    st.lists(
        st.sampled_from(["\x1b[31m", "\x1b]0;x\x07", "[bold]", "\u202e", "漢字", "e\u0301", "\r"])
    ).map("".join),
)
spans = st.lists(st.builds(Span, foreign.map(clean), st.sampled_from(sorted(STYLES))))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("python", "python"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("a\x9bb", "a\\x9bb"),  # the one-character form of ESC [
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("abc\u202edef", "abc\\u202edef"),
        ("a\u200bb", "a\\u200bb"),
        ("\u2764\ufe0f", "\u2764\\ufe0f"),
        ("\U000e0041", "\\U000e0041"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        ("größe 漢字", "größe 漢字"),
    ],
)
def test_foreign_text_is_shown_and_does_nothing(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(foreign)
def test_clean_leaves_nothing_that_a_terminal_obeys(text: str) -> None:
    cleaned = clean(text)
    assert not [one for one in cleaned if unicodedata.category(one)[0] == "C"]
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "width"), [("abc", 3), ("漢字", 4), ("e\u0301", 1), ("─▁…–▲", 5), ("", 0)]
)
def test_width(text: str, width: int) -> None:
    assert width_of(text) == width


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("漢字漢字", 6, "漢字…"),
        ("漢字漢字", 7, "漢字漢字"[:3] + "…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_cut_says_that_it_cut(text: str, width: int, shown: str) -> None:
    assert cut(text, width) == shown


@given(spans, st.integers(0, 120))
def test_fit_and_pad_keep_to_the_width(line: list[Span], width: int) -> None:
    fitted = fit(line, width)
    assert line_width(fitted) <= width
    if line_width(line) <= width:
        assert fitted == line


@given(spans)
def test_colour_is_only_added(line: list[Span]) -> None:
    plain = render(line, coloured=False)
    assert plain == "".join(span.text for span in line)
    assert re.sub(r"\x1b\[[\d;]*m", "", render(line, coloured=True)) == plain


def test_sparkline_keeps_its_scale() -> None:
    assert sparkline([0, 50, 100], 100.0, 10) == "▁▅█"
    assert sparkline([0, 50, 100], 200.0, 10) == "▁▃▅"
    assert sparkline([-1, 250, math.inf], 100.0, 10) == "▁██"


def test_sparkline_leaves_the_unknown_blank() -> None:
    assert sparkline([math.nan, 100, math.nan], 100.0, 10) == " █ "
    assert sparkline([math.nan] * 4, 100.0, 2) == "  "


def test_sparkline_keeps_a_spike_when_it_is_thinned() -> None:
    values = [0.0] * 100
    values[57] = 100.0
    drawn = sparkline(values, 100.0, 10)
    assert drawn == "▁▁▁▁▁█▁▁▁▁"


@pytest.mark.parametrize(("values", "top", "width"), [([], 1.0, 5), ([1.0], 1.0, 0)])
def test_sparkline_of_nothing(values: list[float], top: float, width: int) -> None:
    assert sparkline(values, top, width) == ""
    assert sparkline([1.0], 0.0, 5) == "▁"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert wants_colour(Screen())
    assert not wants_colour(io.StringIO())
    assert wants_colour(io.StringIO(), "always")
    assert not wants_colour(Screen(), "never")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Screen())


@pytest.mark.parametrize(
    ("given_columns", "columns"), [("132", 132), ("0", 80), ("x", 80), ("²", 80), ("", 80)]
)
def test_columns(given_columns: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", given_columns)
    assert columns_of(io.StringIO()) == columns


_UNITS = "%|s|min|h|d|W|°C|k?Wh|(?:core|GPU)-hours|cores?|[KMGT]?i?B"
_TOGETHER = rf"(?<=\d) (?=(?:{_UNITS})(?!\w))|(?<=\bGPU) (?=\d)"
WORDS = "12|3.5|%|s|s.|GiB|GiB,|cores|core-hours|GPU|xGPU|(GPU|°C|W|kWh|used||sum|7x|x7|min)|h_"
told = st.lists(st.sampled_from(WORDS.split("|")))


@given(told)
def test_a_number_stays_beside_its_unit_and_a_device_beside_its_number(words: list[str]) -> None:
    text = " ".join(words)
    joined = " ".join(filter(None, re.sub(_TOGETHER, "\xa0", text).split(" ")))
    assert " ".join(_kept_together(text.split(" "))) == joined


@given(foreign)
def test_columns_are_counted_as_unicode_says(text: str) -> None:
    def columns(character: str) -> int:
        if unicodedata.category(character) in ("Mn", "Me"):
            return 0
        return 2 if unicodedata.east_asian_width(character) in "WF" else 1

    assert width_of(text) == sum(map(columns, text))


@given(st.lists(foreign))
def test_a_command_is_written_as_a_shell_reads_it(words: list[str]) -> None:
    assert shell_line(words) == shlex.join(words)
