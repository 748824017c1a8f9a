"""The figures that pages are drawn from: taken once a sample, frozen by a pause, summed up."""

from __future__ import annotations

import errno
import math
import sys
import termios

import pytest
from live_scenes import (
    HOSTS,
    NOW_S,
    UP_S,
    finding,
    gpu,
    job,
    lost,
    picture,
    processes,
    sample,
    status,
    timeline,
)

from hpcwatch.analysis.findings import Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers.job import JobNode
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.views.live.board import Figures, natural, trouble
from hpcwatch.views.live.cores_row import core_shares
from hpcwatch.views.live.layout import bar, flow
from hpcwatch.views.live.listing import Listing, Scroll
from hpcwatch.views.live.screen import _patiently
from hpcwatch.views.live.totals import Totals
from hpcwatch.views.table import Column, ListRow, cell, page_table
from hpcwatch.views.text import Span, line_width


def test_figures_are_kept_until_a_sample_comes() -> None:
    figures = Figures()
    shown = picture()
    first = figures.board(shown).nodes
    assert figures.board(shown).nodes[0] is first[0]
    shown.timeline.add(sample("qb002", 122.0))
    again = figures.board(shown).nodes
    assert again[0] is not first[0]
    assert again[1] is first[1]
    assert again[0].sample is not None
    assert again[0].sample.uptime_s == UP_S + 122


def test_a_node_changes_its_status_without_a_sample() -> None:
    figures = Figures()
    shown = picture()
    figures.board(shown)
    gone = shown._replace(statuses=(lost("qb002"), *shown.statuses[1:]))
    node = figures.board(gone).nodes[0]
    assert node.status.state is NodeState.LOST
    assert node.used_cores is not None
    assert not node.is_current


def test_a_frozen_board_does_not_grow_with_its_timeline() -> None:
    figures = Figures()
    shown = picture()
    board = figures.board(shown)
    before = board.nodes[0].readings("used_bytes", 600.0)
    for step in range(122, 150, 2):
        shown.timeline.add(sample("qb002", float(step)))
    assert board.nodes[0].readings("used_bytes", 600.0) == before
    assert len(figures.board(shown).nodes[0].readings("used_bytes", 600.0)) == len(before) + 14


def test_a_frozen_board_keeps_its_rates_of_processes_that_nobody_looked_at() -> None:
    figures = Figures()
    shown = picture()
    board = figures.board(shown)
    busier = [one._replace(cpu_user_s=500.0) for one in processes(122.0)]
    shown.timeline.add(sample("qb002", 122.0, processes=busier))
    shown.timeline.add(sample("qb002", 124.0, processes=busier))
    assert board.nodes[0].process_cores[21270] == pytest.approx(2.04)
    assert figures.board(shown).nodes[0].process_cores[21270] == 0.0


def test_a_picture_keeps_no_sample_but_the_latest_two_of_its_timeline() -> None:
    figures = Figures()
    shown = picture()
    seen = sample("qb002", 122.0)
    held = sys.getrefcount(seen)
    shown.timeline.add(seen)
    shown.timeline.add(sample("qb002", 124.0))
    board = figures.board(shown)
    shown.timeline.add(sample("qb002", 126.0))
    # Else the next picture would free the samples of a thousand nodes, which takes a third of it.
    assert sys.getrefcount(seen) == held
    assert board.nodes[0].process_cores[21270] == pytest.approx(2.04)


def test_cores_are_those_of_the_allocation_on_each_host() -> None:
    uneven = job(
        node_cores_count=None,
        allocation=(JobNode("qb002.cluster", 4), JobNode("qb003", 16), JobNode("qb007", None)),
    )
    nodes = Figures().board(picture(job=uneven)).nodes
    assert [node.cores_count for node in nodes] == [4, 16, 20]


def test_cores_asked_for_later_are_shown_at_once() -> None:
    figures = Figures()
    shown = picture(job=None)
    assert figures.board(shown).nodes[0].cores_count == 20
    later = shown._replace(job=job(node_cores_count=6))
    assert figures.board(later).nodes[0].cores_count == 6


def test_each_core_is_busy_between_two_samples() -> None:
    figures = Figures()
    made = Timeline(2.0)
    made.add(sample("qb002", 120.0))
    shown = picture(("qb002",), timeline=made)
    assert core_shares(figures.board(shown).nodes[0]) is None
    shown.timeline.add(sample("qb002", 130.0))
    shares = core_shares(figures.board(shown).nodes[0])
    assert shares is not None
    assert shares[:3] == pytest.approx([0.98, 0.98, 0.01])


def test_what_a_scheduler_says_anew_does_not_blank_the_cores() -> None:
    figures = Figures()
    shown = picture()
    figures.board(shown)
    shown.timeline.add(sample("qb002", 130.0))
    before = core_shares(figures.board(shown).nodes[0])
    assert before is not None
    again = figures.board(shown._replace(job=job(comment="a new answer"))).nodes[0]
    assert core_shares(again) == before


def test_a_device_is_idle_since_its_last_work() -> None:
    made = Timeline(10.0)
    for step in range(0, 601, 10):
        busy = 50.0 if step <= 300 else 0.0
        made.add(sample("qb002", float(step), gpus=[gpu(0, busy), gpu(1, 0.0), gpu(2, None)]))
    shown = picture(("qb002",), timeline=made)
    working, idle, unknown = Figures().board(shown).nodes[0].gpus
    assert working.idle is not None
    assert (working.at_s - working.idle.since_s, working.idle.is_least) == (290.0, False)
    assert idle.idle is not None
    assert (idle.at_s - idle.idle.since_s, idle.idle.is_least) == (600.0, True)
    assert unknown.idle is None


def test_a_device_that_works_again_is_not_idle() -> None:
    figures = Figures()
    shown = picture(("qb002",))
    assert figures.board(shown).nodes[0].gpus[1].idle is not None
    shown.timeline.add(sample("qb002", 122.0, gpus=[gpu(0, 77.0), gpu(1, 3.0)]))
    assert figures.board(shown).nodes[0].gpus[1].idle is None
    shown.timeline.add(sample("qb002", 124.0, gpus=[gpu(0, 77.0), gpu(1, 0.0)]))
    idle = figures.board(shown).nodes[0].gpus[1].idle
    assert idle is not None
    assert not idle.is_least


def test_missing_readings_between_zeros_are_bridged_for_a_minute() -> None:
    for gap_s, since_s in ((40.0, 140.0), (100.0, 20.0)):
        made = Timeline(10.0)
        times = [0.0, *(float(step) for step in range(20, 121, 10))]
        for time_s in times:
            made.add(sample("qb002", time_s, gpus=[gpu(1, 0.0 if time_s else 9.0)]))
        for step in range(1, int(gap_s / 10)):
            made.add(sample("qb002", 120.0 + 10 * step, gpus=[]))
        for step in range(3):
            made.add(sample("qb002", 120.0 + gap_s + 10 * step, gpus=[gpu(1, 0.0)]))
        one = Figures().board(picture(("qb002",), timeline=made)).nodes[0].gpus[0]
        assert one.idle is not None
        assert one.at_s - one.idle.since_s == (since_s if gap_s > 60 else gap_s + 20 + 100)


def test_idle_time_outlasts_the_readings_that_are_kept() -> None:
    figures = Figures()
    made = Timeline(10.0, most_samples=8)
    for step in range(0, 601, 10):
        made.add(sample("qb002", float(step), gpus=[gpu(1, 0.0 if step else 5.0)]))
        one = figures.board(picture(("qb002",), timeline=made)).nodes[0].gpus[0]
    assert one.idle is not None
    assert (one.at_s - one.idle.since_s, one.idle.is_least) == (590.0, False)


def test_modes_are_set_again_after_an_interruption() -> None:
    left = [termios.error(errno.EINTR, ""), termios.error(errno.EINTR, "")]

    def change() -> None:
        if left:
            raise left.pop()

    _patiently(change)
    assert not left
    left.append(termios.error(errno.EIO, ""))
    with pytest.raises(termios.error):
        _patiently(change)


def test_what_needs_a_look_comes_first() -> None:
    hosts = ("n10", "n9", "n8", "n7", "n6", "n5")
    states = [status(host) for host in hosts]
    states[2], states[3] = lost("n8"), status("n7", NodeState.STALE)
    states[4] = status("n6", NodeState.CONNECTING)
    found = [finding(host="n10"), finding(Severity.WARNING, "n5")]
    board = Figures().board(
        picture(hosts, statuses=tuple(states), findings=found, timeline=timeline(hosts))
    )
    ordered = [node.host for node in sorted(board.nodes, key=trouble(board))]
    assert ordered == ["n8", "n7", "n10", "n5", "n9", "n6"]


def test_names_are_in_the_order_people_count() -> None:
    assert sorted(["qb10", "qb9", "qa1", "qb", "qb9a2", "qb9a10"], key=natural) == [
        "qa1",
        "qb",
        "qb9",
        "qb9a2",
        "qb9a10",
        "qb10",
    ]
    assert natural("x" + "9" * 5000 + "²٣")  # digits that int does not take


def test_totals_are_the_sum_over_nodes_at_each_time() -> None:
    totals = Totals(2.0)
    made = timeline(HOSTS)
    for host in made.hosts.values():
        totals.add(host, NOW_S)
    cores = [value for value in totals.series("cores") if value == value]
    assert cores == pytest.approx([6.3] * len(cores))
    assert len(cores) == 30
    assert totals.series("memory")[-1] == pytest.approx(3 * 1.61 * GIB)


def test_totals_take_each_sample_once() -> None:
    totals = Totals(2.0)
    made = timeline(("qb002",))
    for _ in range(5):
        totals.add(made.hosts["qb002"], NOW_S)
    assert max(totals.series("cores")[1:]) == pytest.approx(2.1)


def test_totals_of_a_long_watch_stay_bounded_and_right() -> None:
    totals = Totals(2.0)
    made = Timeline(2.0)
    for step in range(0, 4000, 2):
        for host in HOSTS:
            made.add(sample(host, float(step), gpus=[], processes=[]))
            totals.add(made.hosts[host], NOW_S + step)
    series = totals.series("cores")
    assert 100 < len(series) < 240
    assert totals.bounds_s[-1] - totals.bounds_s[0] > 3900
    assert series[1:] == pytest.approx([6.3] * (len(series) - 1))


def test_a_clock_far_ahead_does_not_stretch_time() -> None:
    totals = Totals(2.0)
    made = timeline(("qb002",))
    made.add(sample("fast", 120.0, at_s=NOW_S + 86400))
    for host in made.hosts.values():
        totals.add(host, NOW_S)
    assert totals.bounds_s[-1] <= NOW_S + 60


def test_a_selection_stays_on_its_row() -> None:
    listing = Listing()
    keys = [*"abcdefgh"]
    assert listing.settle(8, keys.__getitem__, 3) == range(3)
    for key in ("down", "j", "down"):
        assert listing.press(key)
    assert listing.settle(8, keys.__getitem__, 3) == range(1, 4)
    assert keys[listing.index] == "d"
    keys.sort(reverse=True)
    listing.settle(8, keys.__getitem__, 3)
    assert keys[listing.index] == "d"
    keys.remove("d")
    listing.settle(7, keys.__getitem__, 3)
    assert keys[listing.index] == "c"
    listing.press("G")
    assert listing.settle(7, keys.__getitem__, 3) == range(4, 7)
    listing.press("home")
    assert listing.settle(7, keys.__getitem__, 3) == range(3)
    assert listing.settle(0, keys.__getitem__, 3) == range(0)
    assert not listing.press("x")


def test_an_untouched_selection_stays_at_the_top() -> None:
    listing = Listing()
    keys = [*"abc"]
    listing.settle(3, keys.__getitem__, 3)
    keys.insert(0, "worse")
    listing.settle(4, keys.__getitem__, 3)
    assert listing.index == 0


def test_a_text_scrolls_to_its_ends_and_no_further() -> None:
    scroll = Scroll()
    assert scroll.settle(10, 4) == range(4)
    scroll.press("pgdn")
    assert scroll.settle(10, 4) == range(3, 7)
    scroll.press("end")
    assert scroll.settle(10, 4) == range(6, 10)
    scroll.press("up")
    assert scroll.settle(10, 4) == range(5, 9)
    scroll.press("home")
    assert scroll.settle(3, 4) == range(3)


@pytest.mark.parametrize(
    ("share", "wanted"),
    [(0.0, "    "), (0.001, "▏   "), (0.5, "██  "), (2.0, "████"), (None, "    ")],
)
def test_a_bar_says_something_from_nothing(share: float | None, wanted: str) -> None:
    assert bar(share, 4) == wanted
    assert bar(math.nan, 4) == "    "


def test_columns_give_way_by_rank_and_the_open_one_takes_the_rest() -> None:
    columns = [
        Column("name", is_left=True),
        Column("dear", rank=1),
        Column("cheap", rank=2),
        Column("what", is_left=True, least=4, is_open=True),
    ]
    rows = [ListRow([cell("a"), cell("1"), cell("22222222"), cell("a long command line")])]
    shown = ["".join(span.text for span in line) for line in page_table(columns, rows, 40)]
    assert shown[1] == " a       1 22222222 a long command line "
    shown = ["".join(span.text for span in line) for line in page_table(columns, rows, 20)]
    assert shown == [" name dear what     ", " a       1 a long c…"]
    shown = ["".join(span.text for span in line) for line in page_table(columns, rows, 12)]
    assert shown == [" name what  ", " a    a lon…"]


def test_pieces_flow_over_lines() -> None:
    pieces = [[Span("one")], [Span("two")], [Span("three")]]
    shown = ["".join(span.text for span in line) for line in flow(pieces, 12, 2)]
    assert shown == [" one · two", " three"]
    assert all(line_width(line) <= 8 for line in flow(pieces, 8, 1))


def test_a_device_that_worked_while_its_row_was_not_looked_at_is_idle_since_then() -> None:
    figures, made = Figures(), Timeline(10.0)
    for step in range(0, 200, 10):
        made.add(sample("n", float(step), gpus=[gpu(0, 0.0)]))
    shown = picture(("n",), timeline=made)
    first = figures.board(shown).nodes[0].gpus[0].idle
    assert first is not None
    assert first.is_least
    for step, util in ((200, 0.0), (210, 90.0), (220, 0.0), (230, 0.0)):
        made.add(sample("n", float(step), gpus=[gpu(0, util)]))
        figures.board(shown)  # a redraw that does not show the device
    idle = figures.board(shown).nodes[0].gpus[0].idle
    assert idle is not None
    assert not idle.is_least
    assert idle.since_s == NOW_S - 120 + 220


def test_the_devices_are_found_anew_when_what_tells_them_changes() -> None:
    figures, made = Figures(), Timeline(10.0, job(gpus_count=1, nodes_count=1, nodes=("n",)))
    both = [gpu(0, 50.0)._replace(processes=[]), gpu(1, 50.0)._replace(processes=[])]
    made.add(sample("n", 0.0, gpus=both))
    shown = picture(("n",), job=made.job, timeline=made)
    assert len(figures.board(shown).nodes[0].devices) == 2
    use = sample("n", 10.0).job
    assert use is not None
    made.add(sample("n", 10.0, gpus=both, job=use._replace(visible_devices=["1"])))
    assert [one.index for one in figures.board(shown).nodes[0].devices] == [1]
