"""LOG: the end is followed until the user scrolls; a filter searches; both files are shown."""

from __future__ import annotations

from live_scenes import Quiet, picture, texts

from hpcwatch.monitor.job_output import LogText
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.text import line_width

WIDTH, HEIGHT = 80, 24


def log(count: int, first: int = 0, name: str = "output", trouble: str = "") -> LogText:
    lines = tuple(f"step {number}" for number in range(first, count))
    return LogText(name, f"/home/alice/slurm-7.{name}", lines, first, trouble)


class Hand:
    def __init__(self, *logs: LogText) -> None:
        self.actions = Quiet()
        self.browser = Browser(self.actions)
        self.show(*logs)
        self.press("l")

    def show(self, *logs: LogText) -> list[str]:
        self.browser.look(picture(logs=logs))
        return self.press()

    def press(self, *keys: str) -> list[str]:
        for key in keys:
            self.browser.press(key)
            self.browser.lines(WIDTH, HEIGHT)
        return texts(self.browser.lines(WIDTH, HEIGHT))


def steps(rows: list[str]) -> list[int]:
    return [int(row.split()[1]) for row in rows if row.startswith(" step ")]


def test_there_is_no_page_without_a_file() -> None:
    browser = Browser(Quiet())
    browser.look(picture())
    browser.press("l")
    assert "LOG" not in "\n".join(texts(browser.lines(WIDTH, HEIGHT)))


def test_the_end_is_followed_until_one_scrolls() -> None:
    hand = Hand(log(100))
    assert steps(hand.press())[-1] == 99
    assert steps(hand.show(log(200)))[-1] == 199
    stood = steps(hand.press("pgup"))
    assert stood[-1] < 199
    assert steps(hand.show(log(300))) == stood
    assert steps(hand.show(log(300, first=150))) == stood  # what was dropped does not move it
    assert any("G follows" in row for row in hand.press())
    assert steps(hand.press("G"))[-1] == 299
    assert steps(hand.show(log(400)))[-1] == 399
    assert steps(hand.press("g"))[0] == 0
    assert steps(hand.press("wheel-down"))[0] == 3


def test_a_filter_searches() -> None:
    hand = Hand(log(300))
    rows = hand.press("/", *"STEP 29", "enter")
    assert steps(rows) == [29, *range(290, 300)]
    assert any('filter "STEP 29": 11 of 300 lines' in row for row in rows)
    assert steps(hand.press("esc"))[-1] == 299


def test_errors_have_their_own_file() -> None:
    hand = Hand(log(5), log(3, name="error"))
    assert any(row.startswith(" output /home/alice") for row in hand.press())
    rows = hand.press("e")
    assert any(row.startswith(" error /home/alice") for row in rows)
    assert steps(rows) == [0, 1, 2]


def test_what_cannot_be_read_says_why_and_where_it_may_be() -> None:
    hand = Hand(LogText("output", "qb3:/home/a/job.o7", trouble="No such file or directory"))
    text = " ".join(" ".join(hand.press()).split())
    assert "No such file or directory: PBS may keep it on the node" in text


def test_hostile_text_and_long_lines_stay_in_their_rows() -> None:
    bad = LogText("output", "/x\x1b[2J", ("節" * 500, "x" * 2000), 0)
    browser = Browser(Quiet())
    browser.look(picture(logs=(bad,)))
    browser.press("l")
    for line in browser.lines(WIDTH, HEIGHT):
        text = "".join(span.text for span in line)
        assert line_width(line) <= WIDTH
        assert text.isprintable()


def test_where_a_node_had_it_is_said() -> None:
    text = LogText("output", "/home/a/job.o7", ("epoch 1",), read_at="/spool/7.OU on qb002")
    rows = Hand(text).press()
    place = next(place for place, row in enumerate(rows) if row.startswith(" output "))
    assert rows[place].startswith(" output /spool/7.OU on qb002 ")
    assert "/home/a/job.o7" in rows[place]
    assert rows[place + 1].strip() == "epoch 1"


def test_nodes_are_asked_while_the_page_is_shown() -> None:
    hand = Hand(log(1))
    hand.press("tab")
    assert hand.actions.followed == [True, False]
