"""A command's own keys in the live view, and what it says in place of ``live``."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from live_scenes import HOSTS, INTERVAL_S, Quiet, job, picture, sample, texts

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.help import help_lines
from hpcwatch.views.live.keys import Decoder
from hpcwatch.views.live.rich_lines import rich_lines, styled
from hpcwatch.views.text import line_width

REPLAYED = "replay 3:12 of 10:00, ×10"


class Player:
    """Takes a few keys and notes them."""

    hints: Sequence[str] = ("Space pause", "←→ 10 s")
    help: Sequence[tuple[str, str]] = (("Space  p", "stand still, or play on"),)

    def __init__(self) -> None:
        self.pressed: list[str] = []

    def press(self, key: str) -> bool:
        if key not in (" ", "p", "left"):
            return False
        self.pressed.append(key)
        return True


def shown(browser: Browser, width: int = 100) -> str:
    rows = browser.lines(width, 30)
    assert all(line_width(row) <= width for row in rows)
    return "\n".join(texts(rows))


@pytest.fixture
def player() -> Player:
    return Player()


@pytest.fixture
def browser(player: Player) -> Browser:
    made = Browser(Quiet(), player)
    made.look(picture(replayed=REPLAYED))
    shown(made)
    return made


def test_its_keys_go_to_it_first_and_want_another_picture(browser: Browser, player: Player) -> None:
    assert [browser.press(key) for key in (" ", "p", "left")] == [True, True, True]
    assert player.pressed == [" ", "p", "left"]
    assert "PAUSED" not in shown(browser)  # the pages' own pause was not meant


def test_other_keys_go_to_the_pages(browser: Browser) -> None:
    assert not browser.press("2")
    assert "[GPUS]" in shown(browser)
    assert browser.press("r")
    assert not browser.press("q")
    assert browser.is_over


def test_a_filter_that_is_typed_takes_all_keys(browser: Browser, player: Player) -> None:
    for key in ("/", "p", " "):
        browser.press(key)
    assert player.pressed == []
    assert "filter: p" in shown(browser)


def test_the_bottom_line_names_its_keys_first(browser: Browser) -> None:
    for width in (60, 80, 120):
        bottom = shown(browser, width).splitlines()[-1]
        assert bottom.startswith(" Space pause  ←→ 10 s")
        assert bottom.rstrip().endswith("? help  q quit")
        assert "p pause" not in bottom.replace("Space pause", "")
        assert "refresh" not in bottom


def test_the_tabs_say_where_in_the_recording_it_is(browser: Browser) -> None:
    assert any(row.rstrip().endswith(REPLAYED) for row in shown(browser).splitlines())
    assert "live, every" not in shown(browser)
    ended = picture(job=job(state=JobState.COMPLETED), replayed=REPLAYED)
    browser.look(ended)
    assert "last values" not in shown(browser)


def test_every_page_has_a_tab_beside_where_it_is(browser: Browser) -> None:
    tabs = {}
    for width, place in (
        (90, "replay 14:50 of 14:50, at its end"),
        (80, "replay 1:00 of 2:00, ×1"),
    ):
        browser.look(picture(replayed=place))
        (tabs[width],) = [row for row in shown(browser, width).splitlines() if place in row]
        assert "…" not in tabs[width]
    assert tabs[80].startswith("[NODES] GPUS  PROCESSES  FINDINGS  TIMELINE ")
    assert tabs[90].startswith("[NODES] GPUS  PROCESSES  FINDINGS  TIMELINE ")
    long = "replay 14:50 of 14:50, at its end"
    browser.look(picture(replayed=long))
    browser.press("4")
    (row,) = [row for row in shown(browser, 80).splitlines() if long in row]
    assert row.startswith(" NODES  GPUS  PROCESSES [FINDINGS] TIMELINE ")
    (row,) = [row for row in shown(browser, 60).splitlines() if long in row]
    assert row.startswith("[FINDINGS] ")


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_the_help_wraps_and_cuts_nothing(width: int) -> None:
    rows = ["".join(span.text for span in line) for line in help_lines(width)]
    text = " ".join(" ".join(rows).split())
    assert "…" not in text
    assert all(len(row.rstrip()) <= width for row in rows)
    for word in ("quits at once", "which is not 0", "more about each figure and finding"):
        assert word in text or width < 60


def test_text_in_brackets_is_no_markup() -> None:
    (line,) = rich_lines(styled("[bold red]x[/] :smile:", "warning"), 40)
    assert [(span.text.rstrip(), span.style) for span in line] == [
        ("[bold red]x[/] :smile:", "warning")
    ]


def test_the_help_has_its_keys_in_place_of_the_same(browser: Browser) -> None:
    browser.press("?")
    text = shown(browser)
    assert "stand still, or play on" in text
    assert "the picture stands still, recording goes on" not in text
    assert "ask again now" not in text  # a recording does not change
    assert "…" not in shown(browser, 80)  # nothing is cut


def test_without_any_all_is_as_ever() -> None:
    browser = Browser(Quiet())
    browser.look(picture())
    assert shown(browser).splitlines()[-1].startswith(" ↑↓ select  Enter open")
    assert "live, every" in shown(browser)
    assert browser.press("p")
    assert "PAUSED" in shown(browser)
    browser.press("?")
    assert "the picture stands still, recording goes on" in shown(browser)


def brief() -> Timeline:
    """The first seconds of the usual one."""
    made = Timeline(INTERVAL_S)
    made.add_all(sample(host, step) for host in HOSTS for step in (0.0, 2.0, 4.0))
    return made


def test_another_timeline_begins_the_figures_anew() -> None:
    browser = Browser(Quiet())
    browser.look(picture())
    browser.press("5")
    before = shown(browser)
    browser.look(picture(timeline=brief()))
    after = shown(browser)
    assert after != before
    fresh = Browser(Quiet())
    fresh.look(picture(timeline=brief()))
    fresh.press("5")
    assert after == shown(fresh)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (b"\x1b[D", "left"),
        (b"\x1b[C", "right"),
        (b"\x1bOD", "left"),
        (b"\x1bOC", "right"),
        (b"\x1b[1;2D", "shift-left"),
        (b"\x1b[1;2C", "shift-right"),
        (b"\x1b[d", "shift-left"),
        (b"\x1b[c", "shift-right"),
    ],
)
def test_arrows_sideways_are_keys(data: bytes, key: str) -> None:
    assert Decoder().feed(data) == [key]
