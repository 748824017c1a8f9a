"""What keys do: pages, filter, order, pause, what is opened; and one picture as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_scenes import (
    FINDINGS,
    Quiet,
    array_of,
    board,
    finding,
    job,
    lost,
    picture,
    sample,
    status,
    texts,
    timeline,
    waiting,
)

from hpcwatch.analysis.findings import Severity
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.jobs.reasons import explained, plain
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.once import text_of
from hpcwatch.views.live.waiting import waiting_lines
from hpcwatch.views.text import line_width


class Hand:
    """Presses keys and reads the screen."""

    def __init__(self, shown: Picture, width: int = 100, height: int = 30) -> None:
        self.actions = Quiet()
        self.browser = Browser(self.actions)
        self.size = (width, height)
        self.browser.look(shown)
        self.rows()

    def rows(self) -> list[str]:
        return texts(self.browser.lines(*self.size))

    def press(self, *keys: str) -> str:
        for key in keys:
            self.browser.press(key)
        return "\n".join(self.rows())

    def tab(self) -> str:
        (tab,) = [row for row in self.rows() if "[" in row and ("GPUS" in row or "TASKS" in row)]
        return tab.partition("[")[2].partition("]")[0]


def test_tab_goes_round_and_numbers_go_straight() -> None:
    hand = Hand(picture())
    names = ["NODES"]
    for _ in range(5):
        hand.press("tab")
        names.append(hand.tab())
    wanted = ["NODES", "GPUS", "PROCESSES", "FINDINGS", "TIMELINE", "NODES"]
    assert names == wanted
    hand.press("shift-tab")
    assert hand.tab() == "TIMELINE"
    hand.press("3")
    assert hand.tab() == "PROCESSES"
    for key in ("6", "0", "²", "x", "up"):
        hand.press(key)
    assert hand.tab() == "PROCESSES"


def test_an_array_has_its_tasks_as_a_page_beside_its_nodes() -> None:
    alone = Hand(array_of())
    assert alone.tab() == "TASKS"
    both = Hand(array_of()._replace(statuses=(status("qb002"),), timeline=timeline()))
    assert both.tab() == "OVERVIEW"
    both.press("6")
    assert both.tab() == "TASKS"
    both.press("down", "enter")
    assert both.actions.opened == ["2_2"]
    assert both.browser.is_over


def test_keys_typed_ahead_act_on_what_they_selected() -> None:
    hand = Hand(array_of())
    hand.press("j", "j", "enter")
    assert hand.actions.opened == ["2_3"]
    hand = Hand(picture(findings=FINDINGS))
    hand.press("4", "j", "j", "enter")
    assert any("● warning" in row for row in hand.rows()[5:8])


def test_a_finding_on_the_whole_job_names_no_host() -> None:
    hand = Hand(picture(findings=[finding(host="", entity="job")]))
    rows = hand.press("4", "enter").splitlines()
    assert any(row.startswith("   job, for 12 min, since ") for row in rows)


def test_q_leaves_what_is_open_before_it_quits() -> None:
    hand = Hand(picture(findings=FINDINGS))
    hand.press("4", "enter", "?")
    assert " Keys" in hand.press("?")
    assert "It rests on" in hand.press("q")
    assert "It rests on" not in hand.press("q")
    assert not hand.browser.is_over
    hand.press("q")
    assert hand.browser.is_over


def test_a_number_leaves_what_is_open() -> None:
    hand = Hand(picture(findings=FINDINGS))
    assert "above 90 %" in hand.press("enter")
    hand.press("2")
    assert hand.tab() == "GPUS"
    assert "above 90 %" in hand.press("enter")


def test_a_filter_is_typed_edited_kept_and_let_go() -> None:
    hand = Hand(picture())
    assert "filter: QB00▏" in hand.press("/", *"QB00")
    assert "qb003" in hand.press("3")
    assert 'filter "QB003": 1 of 3' in hand.press("enter")
    shown = hand.press()
    assert "qb002" not in shown
    assert "q quit" in shown
    assert "qb002" in hand.press("esc")
    assert 'no node matches "zz"' in hand.press("/", *"zz")
    assert "filter: z▏" in hand.press("backspace")
    assert "filter: ▏" in hand.press("clear")
    assert "filter: q▏" in hand.press("q")
    assert "qb002" in hand.press("esc")
    assert not hand.browser.is_over


def test_a_filter_looks_at_more_than_hosts() -> None:
    shown = picture(statuses=(status("qb002"), status("qb003"), lost("qb007")))
    assert "1 of 3" in Hand(shown).press("/", *"timed out", "enter")
    assert "3 of 9" in Hand(shown).press("3", "/", *"train.py", "enter")
    assert "2 of 3" in Hand(shown._replace(findings=FINDINGS)).press("4", "/", *"held", "enter")


def test_order_is_cycled_and_the_selection_stays_on_its_node() -> None:
    made = timeline()
    made.add(sample("qb007", 122.0, gpus=[]))
    hand = Hand(picture(timeline=made, findings=[finding(Severity.WARNING, "qb007")]))
    assert "›qb007" in hand.press()
    hand.press("down")
    assert "›qb002" in hand.press()
    for order in ("name", "CPU", "memory", "GPU", "trouble"):
        shown = hand.press("s")
        assert f"── by {order} " in shown
        assert "›qb002" in shown
    hosts = [row[1:6] for row in Hand(picture(timeline=made)).rows() if row[1:4] == "qb0"]
    assert hosts == ["qb002", "qb003", "qb007"]
    by_gpu = Hand(picture(timeline=made))
    by_gpu.press("s", "s", "s", "s")
    assert [row[1:6] for row in by_gpu.rows() if row[1:4] == "qb0"][-1] == "qb007"


def test_paused_nothing_moves_on_any_page() -> None:
    first = picture(findings=FINDINGS)
    hand = Hand(first)
    pages = ("1", "2", "3", "4", "5")
    assert "PAUSED" in hand.press("p")
    before = {key: hand.press(key) for key in pages}
    opened = hand.press("1", "enter")
    for step in range(122, 160, 2):
        for host in ("qb002", "qb003", "qb007"):
            changed = sample(host, float(step), gpus=[], processes=[])
            first.timeline.add(changed)
    hand.browser.look(first._replace(findings=[], at_s=first.at_s + 40))
    assert hand.press("1", "enter") == opened
    for key in pages:
        assert hand.press(key) == before[key], key
    hand.press("1", "p")
    hand.browser.look(first._replace(findings=[], at_s=first.at_s + 40))
    assert "PAUSED" not in hand.press()
    assert "2:41:47" in hand.press()


def test_refresh_asks_the_command() -> None:
    hand = Hand(picture())
    hand.press("r", "r")
    assert hand.actions.refreshed == 2


def test_what_goes_away_while_open_is_said() -> None:
    hand = Hand(picture(findings=FINDINGS))
    hand.press("4", "enter")
    hand.browser.look(picture(findings=[]))
    assert "no longer stands" in hand.press()
    hand.press("1", "enter")
    hand.browser.look(picture(("qb003",)))
    assert "qb002 is no longer one of the nodes" in hand.press()


def test_a_waiting_job_takes_keys_and_goes_live() -> None:
    hand = Hand(waiting())
    for key in ("tab", "1", "5", "/", "s", "enter", "down", "esc"):
        assert "It waits in the queue" in hand.press(key)
    assert "Keys" in hand.press("?")
    hand.press("esc")
    hand.browser.look(picture())
    assert hand.tab() == "NODES"


def test_before_the_first_picture_only_q_means_something() -> None:
    browser = Browser(Quiet())
    browser.press("enter")
    assert browser.lines(80, 24) == []
    browser.press("q")
    assert browser.is_over


ANY_KEY = st.sampled_from(
    [*"12345jkgGs/prqx?", "tab", "shift-tab", "enter", "esc", "up", "down", "pgdn", "end", "clear"]
)
CHANGING = (picture(findings=FINDINGS), waiting(), array_of(), picture(("qb007",)), picture(()))


@given(st.lists(st.one_of(ANY_KEY, st.integers(0, 4)), max_size=25), st.integers(1, 120))
def test_no_keys_and_no_change_of_the_picture_do_harm(steps: list[str | int], width: int) -> None:
    browser = Browser(Quiet())
    browser.look(CHANGING[0])
    for step in steps:
        if isinstance(step, int):
            browser.look(CHANGING[step])
        else:
            browser.press(step)
    for height in (1, 2, 11, 24):
        shown = browser.lines(width, height)
        assert len(shown) == height
        assert all(line_width(line) <= width for line in shown)


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("Priority", "jobs with a higher priority are ahead"),
        ("(Resources)", "what it asks for is not free yet"),
        ("Dependency", "another job that it depends on"),
        ("QOSMaxJobsPerUserLimit", "more jobs at once are not allowed"),
        ("MaxJobsPerAccount", "more jobs at once are not allowed"),
        ("AssocGrpCpuLimit", "already uses all cores allowed"),
        ("AssocGrpMemLimit", "already uses all memory allowed"),
        ("QOSMaxGRESPerUser", "already uses all GPUs allowed"),
        ("QOSMaxWallDurationPerJobLimit", "more time than its account"),
        ("AssocGrpBillingMinutes", "a limit of its account or QOS"),
        ("BeginTime", "no earlier than a certain time"),
        ("JobHeldUser", "its owner holds it"),
        ("JobHeldAdmin", "an administrator holds it"),
        ("ReqNodeNotAvail, UnavailableNodes:qb001", "a node it asks for is down"),
        ("Not Running: Insufficient amount of resource: ncpus", "not enough is free yet: cores"),
        (
            "Not Running: Insufficient amount of resource: ngpus (R: 1 A: 0 T: 2)",
            "not enough is free yet: 1 GPUs asked, 0 free, 2 in all",
        ),
        (
            "Can Never Run: Insufficient amount of resource: ncpus (R: 999 A: 60 T: 60)",
            "it never starts: 999 cores asked, 60 free, 60 in all",
        ),
        ("Not Running: Not enough of the right type of nodes are available", "not enough nodes"),
        ("non-idle state 'Hold'", "it is held"),
        ("job 15 violates active HARD MAXPROC limit of 2 for user x (R: 3, U: 0)", "a limit on"),
        ("idle procs do not meet requirements : 20 of 60 procs found", "not enough cores"),
    ],
)
def test_reasons_are_put_in_plain_words(reason: str, wanted: str) -> None:
    assert wanted in plain(reason)
    assert explained(reason).startswith(reason)


@pytest.mark.parametrize("reason", ["", "Wibble", "x" * 100_000, "(", "resource: ncpus"])
def test_a_reason_nobody_knows_stays_the_scheduler_s(reason: str) -> None:
    assert plain(reason) == ""
    assert explained(reason) == reason


def test_a_job_that_becomes_eligible_later_says_when() -> None:
    shown = picture(())
    waits = job(
        state=JobState.QUEUED,
        started_at_s=None,
        nodes=(),
        submitted_at_s=shown.at_s - 3600,
        eligible_at_s=shown.at_s + 7200,
        licenses="fluent:3",
    )
    text = "\n".join(texts(waiting_lines(board(picture((), job=waits)), waits, 80)))
    assert "eligible     in 2 h, " in text
    assert "licences     fluent:3" in text


def test_a_held_job_without_a_reason() -> None:
    held = job(state=JobState.HELD, started_at_s=None, nodes=(), submitted_at_s=None)
    shown = picture((), job=held, place=1)
    text = "\n".join(texts(waiting_lines(board(shown), held, 80)))
    assert "It is held." in text
    assert "the scheduler gives no reason" in text
    assert "since        –" in text
    assert "may start    not before it is released" in text
    assert "place        1, it is next" in text


def test_one_picture_as_text_has_everything() -> None:
    states = (status("qb002"), status("qb003"), lost("qb007"))
    shown = picture(findings=FINDINGS, statuses=states)
    text = text_of(shown, 120, None, coloured=False)
    for said in (
        "RUNNING",
        "2 of 3 nodes",
        "▲ lost 40 s: connection timed out",
        "python 204 %",
        "▲ qb[002-003]: GPU 1 idle 12 min",
        "+ #PBS -l nodes=3:ppn=4:gpus=1",
        "python train.py --epochs 20",
        "≥ 2 min",
    ):
        assert said in text, said
    assert text.endswith("\n")
    assert "›" not in text
    assert "\x1b" not in text
    assert all(row == row.rstrip() for row in text.split("\n"))
    assert "▲\x1b[0m\x1b[1m qb[002-003]: GPU 1 idle" in text_of(shown, 120, None, coloured=True)


def test_one_picture_has_all_nodes_and_a_height_cuts_it() -> None:
    hosts = tuple(f"n{number}" for number in range(200))
    shown = picture(hosts, timeline=timeline(hosts[:3]))
    text = text_of(shown, 80, None, coloured=False)
    assert all(f"\n n{number} " in text for number in range(200))
    short = text_of(shown, 80, 20, coloured=False).split("\n")
    assert len(short) == 21
    assert "more lines" in short[19]


def test_one_picture_of_a_job_that_waits_or_an_array() -> None:
    assert "40 cores asked, 32 free" in text_of(waiting(), 80, None, coloured=False)
    assert "goes live" not in text_of(waiting(), 80, None, coloured=False)
    assert "2_5" in text_of(array_of(), 80, None, coloured=False)
