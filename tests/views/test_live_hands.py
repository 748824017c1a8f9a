"""What hands are used to from htop: tree, users, orders, signals, function keys, the mouse."""

from __future__ import annotations

import signal

import pytest
from live_scenes import FINDINGS, Quiet, picture, processes, sample, texts, timeline

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.monitor.picture import Picture
from hpcwatch.probe.schema import Process
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.process_table import fold_indexes
from hpcwatch.views.live.process_tree import tree
from hpcwatch.views.live.rows import ProcessFigures

WIDTH, HEIGHT = 120, 34


class Hand:
    """Presses keys, notes signals, reads the screen."""

    def __init__(self, shown: Picture) -> None:
        self.sent: list[tuple[str, int, int]] = []
        self.browser = Browser(Quiet(), send=self._send)
        self.browser.look(shown)
        self.press()

    def _send(self, one: ProcessFigures, number: signal.Signals) -> str:
        self.sent.append((one.host, one.process.pid, int(number)))
        return f"sent {number.name}"

    def press(self, *keys: str) -> list[str]:
        for key in keys:
            self.browser.press(key)
            self.browser.lines(WIDTH, HEIGHT)
        return texts(self.browser.lines(WIDTH, HEIGHT))

    def find(self, text: str) -> tuple[int, int]:
        """Where a text stands: column and row, from 1."""
        rows = self.press()
        row = next(place for place, one in enumerate(rows) if text in one)
        return rows[row].index(text) + 1, row + 1

    def click(self, text: str) -> list[str]:
        column, row = self.find(text)
        return self.press(f"click {column} {row}")


def family() -> Picture:
    """A shell, two ranks below it, a child of the first, and a stranger of another user."""
    made = Timeline(2.0)
    for step in (118.0, 120.0):
        listed = [
            process(10, 1, "bash", 0.0, 5, step),
            process(11, 10, "rank0", 1.0, 50, step),
            process(12, 10, "rank1", 2.0, 40, step),
            process(13, 11, "helper", 0.5, 30, step),
            process(14, 1, "other", 0.1, 90, step)._replace(user="bob"),
        ]
        made.add(sample("n", step, processes=listed))
    return picture(("n",), timeline=made)


def process(pid: int, ppid: int, name: str, cores: float, mib: int, step: float) -> Process:
    return Process(
        pid=pid,
        ppid=ppid,
        name=name,
        state="S",
        argv=[name],
        user="alice",
        cpu_user_s=cores * step,
        cpu_system_s=float(100 - pid),
        rss_bytes=mib << 20,
    )


def order(rows: list[str]) -> list[str]:
    """The names of the processes from top to bottom."""
    first = next(place for place, row in enumerate(rows) if "CPU time" in row)
    return [row.split()[-1] for row in rows[first + 1 :] if row[1:].startswith("n ")]


def test_orders_have_the_letters_of_htop() -> None:
    hand = Hand(family())
    assert order(hand.press("3")) == ["rank1", "rank0", "helper", "other", "bash"]
    assert order(hand.press("M")) == ["other", "rank0", "rank1", "helper", "bash"]
    assert "── by RSS " in "\n".join(hand.press())
    assert order(hand.press("T"))[0] == "rank1"
    assert order(hand.press("N")) == ["bash", "rank0", "rank1", "helper", "other"]
    assert order(hand.press("P")) == ["rank1", "rank0", "helper", "other", "bash"]


def test_the_tree_puts_children_below_their_parents() -> None:
    hand = Hand(family())
    rows = hand.press("3", "f5")
    assert order(rows) == ["other", "bash", "rank1", "rank0", "helper"]
    text = "\n".join(rows)
    assert "├─ rank1" in text
    assert "└─ rank0" in text
    assert "   └─ helper" in text
    assert "── tree " in text
    assert "├─" not in "\n".join(hand.press("t"))


def test_a_circle_of_parents_ends() -> None:
    one = process(1, 2, "a", 0, 1, 1.0)
    other = process(2, 1, "b", 0, 1, 1.0)
    own = process(3, 3, "c", 0, 1, 1.0)
    items = [ProcessFigures("n", each, None, None) for each in (one, other, own)]
    assert sorted(twig.item.process.pid for twig in tree(items)) == [1, 2, 3]


def test_a_long_chain_of_parents_is_no_recursion() -> None:
    chain = [process(pid, pid - 1, "x", 0, 1, 1.0) for pid in range(1, 5000)]
    twigs = tree([ProcessFigures("n", each, None, None) for each in chain])
    assert [twig.item.process.pid for twig in twigs] == list(range(1, 5000))
    assert max(len(twig.branch) for twig in twigs) <= 20


def test_users_are_shown_one_after_the_other() -> None:
    hand = Hand(family())
    rows = hand.press("3", "u")
    assert order(rows) == ["rank1", "rank0", "helper", "bash"]
    assert any("── user alice " in row for row in rows)
    assert order(hand.press("u")) == ["other"]
    assert len(order(hand.press("u"))) == 5


def test_a_process_that_a_sample_does_not_name_is_counted() -> None:
    rows = Hand(family()).press("3")
    assert not any("the largest" in row for row in rows)  # four of four and a stranger
    few = picture(("n",), timeline=timeline(("n",), processes=processes(120.0, 2)))
    assert any("the largest 2 of 4" in row for row in Hand(few).press("3"))


@pytest.mark.parametrize(("key", "number"), [("t", 15), ("9", 9), ("i", 2)])
def test_a_signal_is_sent_after_a_question(key: str, number: int) -> None:
    hand = Hand(family())
    text = "\n".join(hand.press("3", "k"))
    assert "Signal to rank1 (12) on n" in text
    assert hand.sent == []
    rows = hand.press(key)
    assert hand.sent == [("n", 12, number)]
    assert any("sent SIG" in row for row in rows)
    assert "Signal to" not in "\n".join(rows)
    assert not any("sent SIG" in row for row in hand.press("down"))


@pytest.mark.parametrize("key", ["q", "esc", "y", "enter", "k", "x", "click 3 3"])
def test_any_other_key_sends_nothing_and_does_nothing_else(key: str) -> None:
    hand = Hand(family())
    rows = hand.press("3", "f9", key)
    assert hand.sent == []
    assert not hand.browser.is_over
    assert any("nothing was sent" in row for row in rows)


def test_a_recording_has_no_processes_to_signal() -> None:
    hand = Hand(family()._replace(replayed="replay 0:10 of 1:00, ×1"))
    assert any("this is a recording: no process" in row for row in hand.press("3", "k"))
    hand.press("9")
    assert hand.sent == []


def test_function_keys_do_what_they_do_in_htop() -> None:
    hand = Hand(picture(findings=FINDINGS))
    assert " Keys" in hand.press("f1")
    assert " Keys" not in hand.press("esc")
    assert "filter: qb" in "\n".join(hand.press("f3", "q", "b"))
    assert not hand.browser.is_over
    hand.press("enter", "4", "enter", "f10")
    assert hand.browser.is_over


def test_h_is_a_letter_while_a_filter_is_typed() -> None:
    hand = Hand(picture())
    assert "filter: hk" in "\n".join(hand.press("/", "h", "k"))


def test_a_click_on_a_tab_shows_its_page() -> None:
    hand = Hand(picture(findings=FINDINGS))
    assert "[PROCESSES]" in "\n".join(hand.click("PROCESSES"))
    assert "[FINDINGS(3)]" in "\n".join(hand.click("FINDINGS"))
    assert "[NODES]" in "\n".join(hand.click("NODES"))


def test_a_click_selects_a_row_and_a_second_one_opens_it() -> None:
    hand = Hand(picture())
    rows = hand.click("qb003")
    assert any(row.startswith("›qb003") for row in rows)
    rows = hand.click("qb003")
    assert any(row.startswith(" qb003") for row in rows)
    assert any("read by ssh" in row for row in rows)


def test_a_click_elsewhere_does_nothing() -> None:
    hand = Hand(picture())
    before = hand.press()
    for place in ("1 1", "500 500", "1 34", "0 0", "119 6"):
        assert hand.press(f"click {place}") == before


def test_the_wheel_moves_by_three_rows() -> None:
    hosts = tuple(f"qb{number:03}" for number in range(100))
    hand = Hand(picture(hosts))
    assert any(row.startswith("›qb003") for row in hand.press("wheel-down"))
    assert any(row.startswith("›qb000") for row in hand.press("wheel-up", "wheel-up"))


def test_the_mouse_may_be_left_to_the_terminal() -> None:
    hand = Hand(picture())
    assert hand.browser.has_mouse
    rows = hand.press("m")
    assert not hand.browser.has_mouse
    assert any("the mouse selects text" in row for row in rows)
    hand.press("m")
    assert hand.browser.has_mouse


@pytest.mark.parametrize(
    ("indexes", "wanted"), [((), ""), ((3,), "3"), ((1, 0), "0,1"), (tuple(range(8)), "0-7")]
)
def test_devices_of_a_process_are_short(indexes: tuple[int, ...], wanted: str) -> None:
    assert fold_indexes(indexes) == wanted
