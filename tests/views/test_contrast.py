"""Every word is readable on light and dark terminals: contrast by WCAG 2.1, computed."""

from __future__ import annotations

import re
from itertools import product

import pytest

from hpcwatch.views.text import FEW, MANY, NONE, SIGNS, STYLES, colours_of, painted

Rgb = tuple[int, int, int]


def rgb(text: str) -> Rgb:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


THEMES: dict[str, tuple[str, str, str]] = {
    # Name -> default letters, background, and the 16 colours that may follow.
    "xterm, dark": ("#e5e5e5", "#000000", "xterm"),
    "xterm, light": ("#000000", "#ffffff", "xterm"),
    "Solarized dark": ("#839496", "#002b36", "solarized"),
    "Solarized light": ("#657b83", "#fdf6e3", "solarized"),
    "GNOME, dark": ("#ffffff", "#171421", "gnome"),
    "GNOME, light": ("#171421", "#ffffff", "gnome"),
}
PALETTES = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5"
    " 7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "solarized": "073642 dc322f 859900 b58900 268bd2 d33682 2aa198 eee8d5"
    " 002b36 cb4b16 586e75 657b83 839496 6c71c4 93a1a1 fdf6e3",
    "gnome": "171421 c01c28 26a269 a2734c 12488b a347ba 2aa1b3 d0cfcc"
    " 5e5c64 f66151 33da7a e9ad0c 2a7bde c061cb 33c7de ffffff",
}
"""The themes' own files: xterm's XTerm-col.ad, ethanschoonover.com/solarized, and vte's."""
STEPS = (0, 95, 135, 175, 215, 255)
PIECE = re.compile(r"\x1b\[([0-9;]*)m([^\x1b]*)\x1b\[0m|([^\x1b]+)")


def colour(number: int, palette: str) -> Rgb:
    """One of the 256 colours: the first 16 are the theme's, the others are the same everywhere."""
    if number < 16:
        return rgb("#" + PALETTES[palette].split()[number])
    if number >= 232:
        return (8 + 10 * (number - 232),) * 3
    place = number - 16
    return STEPS[place // 36], STEPS[place // 6 % 6], STEPS[place % 6]


def luminance(one: Rgb) -> float:
    parts = [part / 255 for part in one]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Rgb, other: Rgb) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def seen(sgr: str, theme: str) -> tuple[Rgb, Rgb]:
    """The letter's colour and its background, as a terminal makes them of an SGR sequence."""
    letters, background, palette = THEMES[theme]
    front, back = rgb(letters), rgb(background)
    codes = [int(code) for code in sgr.split(";") if code]
    is_reversed = False
    while codes:
        code = codes.pop(0)
        if code in (38, 48):
            assert codes.pop(0) == 5
            made = colour(codes.pop(0), palette)
            front, back = (made, back) if code == 38 else (front, made)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            front = colour(code - 30 if code < 90 else code - 82, palette)
        elif code == 7:
            is_reversed = True
        else:
            assert code in (0, 1), f"{code} is not computed"
    return (back, front) if is_reversed else (front, back)


def pieces(text: str, style: str, colours: int) -> list[tuple[str, str]]:
    """The sequences and texts that are written."""
    found = PIECE.findall(painted(text, style, colours))
    return [(sgr, coloured or plain) for sgr, coloured, plain in found]


def test_the_computation_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21.0)
    assert contrast(rgb("#777777"), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)
    yellow, white = colour(3, "xterm"), (255, 255, 255)
    assert contrast(yellow, white) < 1.8  # what warnings were written in on white


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("colours", [NONE, FEW, MANY])
def test_words_and_signs_are_readable_in_every_theme(theme: str, colours: int) -> None:
    letters, background, _ = THEMES[theme]
    own = contrast(rgb(letters), rgb(background))  # Solarized light's own text has 4.13
    for style, sign in product(STYLES, (*SIGNS.values(), "✓", "✗", "")):
        if style == "grey":  # lines, never words
            continue
        for sgr, _text in pieces(f"{sign} GPU 1 idle", style, colours):
            assert contrast(*seen(sgr, theme)) >= min(4.5, own) - 1e-9, (style, sgr)


@pytest.mark.parametrize("theme", THEMES)
def test_bars_and_lines_are_seen_in_every_theme(theme: str) -> None:
    for style in STYLES:
        for sgr, _text in pieces("█▌⣿", style, MANY):
            least = 2.7 if (style, theme) == ("critical", "Solarized dark") else 3.0
            assert contrast(*seen(sgr, theme)) >= least, (style, sgr)
        for sgr, _text in pieces("█▌⣿", style, FEW):
            assert "38" not in sgr


def test_only_bars_and_signs_have_colours() -> None:
    for style in STYLES:
        if style != "grey":
            assert not any("38" in sgr for sgr, _ in pieces("16 of 20 cores – idle", style, MANY))
    assert pieces("● idle ██", "warning", MANY) == [
        ("1;38;5;16;48;5;136", "●"),
        ("1", " idle "),
        ("38;5;136", "██"),
    ]
    assert pieces("● idle", "warning", FEW) == [("1;7", "●"), ("1", " idle")]
    assert painted("● idle", "warning", NONE) == "\x1b[1m● idle\x1b[0m"


def test_nothing_is_lost_or_moved_by_colour() -> None:
    for style, text in product(STYLES, ("", "▲", "a▲b█c", "⣿⣿ 1", "x" * 50)):
        for colours in (NONE, FEW, MANY):
            assert re.sub(r"\x1b\[[0-9;]*m", "", painted(text, style, colours)) == text


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"TERM": "xterm-256color"}, MANY),
        ({"TERM": "tmux-256color"}, MANY),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, MANY),
        ({"TERM": "linux"}, FEW),
        ({"TERM": "xterm"}, FEW),
        ({}, FEW),
    ],
)
def test_the_terminal_s_name_tells_its_colours(environment: dict[str, str], wanted: int) -> None:
    assert colours_of(environment) == wanted
