"""Charts: linear in time, never above their scale, the unknown blank, and never too wide."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import product

import pytest
from live_scenes import (
    NOW_S,
    Quiet,
    finding,
    gpu,
    picture,
    processes,
    sample,
    texts,
    timeline,
)

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB
from hpcwatch.events import PHASE_BEGIN, PHASE_END
from hpcwatch.monitor.picture import Picture
from hpcwatch.probe.schema import Cgroup, JobUse
from hpcwatch.recording.store import Event
from hpcwatch.views.live.browser import Browser
from hpcwatch.views.live.chart import (
    Chart,
    Letters,
    Limit,
    Mark,
    Stretch,
    chart_lines,
    marks_line,
    stretches_line,
    time_axis,
)
from hpcwatch.views.live.forecast import full_at_s
from hpcwatch.views.live.over_time import Window, metric_values, recent, slot_values, whole
from hpcwatch.views.live.panels import scale_of
from hpcwatch.views.text import line_width

NAN = math.nan


def drawn(values: list[float], letters: Letters, height: int, top: float = 8.0) -> list[str]:
    """The plot of these values, one per column, without its labels."""
    chart = Chart(
        lambda count: [values[index * len(values) // count] for index in range(count)], top, str
    )
    rows = texts(chart_lines(chart, len(values) + 1, height, letters, 0))
    return [row.partition("┤")[2] or row.partition("┼")[2] or row.partition("│")[2] for row in rows]


def test_blocks_are_eighths_of_a_row() -> None:
    assert drawn([0, 1, 4, 8, NAN, 2], Letters.BLOCKS, 1)[0] == "▁▁▄█ ▂"
    two = drawn([2, 4, 6, 8], Letters.BLOCKS, 2)
    assert two == ["  ▄█", "▄███"]


def test_braille_has_four_dots_a_row() -> None:
    assert drawn([8, 8], Letters.BRAILLE, 1)[0] == "⣿⣿"
    assert drawn([2, 2], Letters.BRAILLE, 1)[0] == "⣀⣀"
    assert drawn([4, 4], Letters.BRAILLE, 2) == ["", "⣿⣿"]


def test_a_value_above_the_scale_is_cut_at_it() -> None:
    assert drawn([80, 80], Letters.BLOCKS, 2) == ["██", "██"]


def test_the_limit_is_a_line_with_its_name_where_nothing_else_is() -> None:
    chart = Chart(lambda count: [2.0] * count, 8.0, str, limit=Limit(4.0, "requested"))
    rows = texts(chart_lines(chart, 40, 4, Letters.BLOCKS, 3))
    assert rows[2].endswith("╌ requested ╌")
    assert [row[3] for row in rows] == ["┤", "│", "│", "┼"]
    assert rows[3].endswith("█")
    above = chart._replace(limit=Limit(9.0, "requested"))
    assert "requested" not in "".join(texts(chart_lines(above, 40, 4, Letters.BLOCKS, 3)))


def test_what_lies_behind_is_pale_and_reads_without_colour() -> None:
    chart = Chart(lambda n: [2.0] * n, 8.0, lambda _: "", behind=lambda n: [6.0] * n)
    rows = chart_lines(chart, 11, 4, Letters.BLOCKS, 0)
    assert texts(rows)[1:] == ["│░░░░░░░░░░", "│░░░░░░░░░░", "┼██████████"]
    assert {span.style for span in rows[1]} == {"dim", "grey"}


def test_time_is_linear_however_uneven_the_readings_are() -> None:
    host = Timeline(1.0)
    for step in [*(index / 10 for index in range(21)), *map(float, range(3, 11))]:
        use = JobUse("tree", cpu_user_s=4.0 * min(step, 2.0), cpu_system_s=0.0)
        host.add(sample("n", step, job=use))
    start_s = NOW_S - 120
    values = metric_values(host.hosts["n"], "cpu_cores", Window(start_s, start_s + 10))(20)
    assert values[:4] == pytest.approx([4.0] * 4)  # 2 of 10 s are 4 of 20 columns
    assert values[4:] == pytest.approx([0.0] * 16, abs=1e-6)


def test_a_gap_in_the_readings_is_blank() -> None:
    host = Timeline(1.0)
    for step in [*range(5), *range(30, 36)]:
        host.add(sample("n", float(step)))
    start_s = NOW_S - 120
    values = metric_values(host.hosts["n"], "cpu_cores", Window(start_s, start_s + 36))(36)
    assert all(value == value for value in values[1:4])
    assert all(value != value for value in values[5:27])
    assert all(value == value for value in values[29:35])


def test_readings_after_the_window_are_not_drawn() -> None:
    host = timeline(("n",)).hosts["n"]
    end_s = host.at_s[-1]
    before = metric_values(host, "cpu_cores", Window(end_s - 60, end_s))(30)
    later = Timeline(2.0)
    for step in range(0, 121, 2):
        later.add(sample("n", float(step)))
    later.add(sample("n", 123.0, job=JobUse("tree", cpu_user_s=9999.0, cpu_system_s=0.0)))
    after = metric_values(later.hosts["n"], "cpu_cores", Window(end_s - 60, end_s))(30)
    assert after == pytest.approx(before)


def test_slots_of_sums_are_put_where_they_belong() -> None:
    values = slot_values([0.0, 10.0, 20.0], [1.0, 3.0], Window(-20.0, 20.0))(8)
    assert [value for value in values if value == value] == [1.0, 1.0, 3.0, 3.0]
    assert all(value != value for value in values[:4])


def test_windows_grow_in_steps_and_end_at_the_last_reading() -> None:
    assert recent(0.0, 70.0) == Window(-50.0, 70.0)
    assert recent(0.0, 9000.0).length_s == 1800.0
    assert whole(0.0, 9000.0).length_s == 10800.0
    assert whole(0.0, 200_000.0).length_s == 216_000.0


@pytest.mark.parametrize(
    ("peak", "limit", "wanted"),
    [
        (3.0, 20.0, 20.0),
        (23.0, 20.0, 50.0),
        (0.0, None, 1.0),
        (None, None, 1.0),
        (700.0, None, 1000.0),
    ],
)
def test_a_scale_ends_at_the_limit_or_at_a_round_number(
    peak: float | None, limit: float | None, wanted: float
) -> None:
    assert scale_of(peak, limit) == wanted


@pytest.mark.parametrize("letters", Letters)
def test_no_row_is_too_wide_in_any_size(letters: Letters) -> None:
    chart = Chart(lambda n: [index % 9 for index in range(n)], 8.0, str, limit=Limit(8.0, "top"))
    window = Window(NOW_S - 600, NOW_S)
    for width, height in product((4, 9, 40, 79, 200), (1, 2, 5, 8, 30)):
        rows = chart_lines(chart, width, height, letters)
        assert len(rows) == height
        marks = marks_line([Mark(NOW_S, "▲"), Mark(NOW_S - 600, "●")], window, width, 3)
        for row in (*rows, time_axis(window, width, 3), marks):
            assert line_width(row) <= max(width, 5)


def test_marks_and_phases_stand_at_their_moments() -> None:
    window = Window(0.0, 100.0)
    row = "".join(span.text for span in marks_line([Mark(50.0, "▲")], window, 105, 3))
    assert row.index("▲") == 4 + 50
    phases = [Stretch(0.0, 50.0, "train"), Stretch(50.0, 100.0, "evaluate")]
    text = "".join(span.text for span in stretches_line(phases, window, 44, 3, "phase"))
    assert text[4:] == "▏train──────────────▏evaluate───────────"


def growing(per_s: float, until_s: int = 1200, level_s: int | None = None) -> Timeline:
    """A job whose memory grows in a group with a limit of 8 GiB."""
    made = Timeline(10.0)
    for step in range(0, until_s + 1, 10):
        used = round(GIB + per_s * min(step, level_s or until_s))
        group = Cgroup("job", is_job=True, used_bytes=used, limit_bytes=8 * GIB)
        use = JobUse("cgroup", cpu_user_s=1.0, cpu_system_s=0.0, used_bytes=used)
        made.add(sample("n", float(step), cgroup=group, job=use))
    return made


def test_growing_memory_has_a_time_at_which_it_is_full() -> None:
    host = growing(GIB / 600).hosts["n"]
    end_s = host.at_s[-1]
    assert full_at_s(host, end_s) == pytest.approx(end_s + 5 * 600, rel=1e-6)


def test_memory_that_is_level_or_hardly_known_has_none() -> None:
    level = growing(GIB / 600, level_s=500).hosts["n"]
    assert full_at_s(level, level.at_s[-1]) is None
    short = growing(GIB / 600, until_s=200).hosts["n"]
    assert full_at_s(short, short.at_s[-1]) is None
    falling = growing(-GIB / 1e6).hosts["n"]
    assert full_at_s(falling, falling.at_s[-1]) is None


def alone(**changes: object) -> Picture:
    """The course's job on one node."""
    return picture(("qb002",), **changes)


def page(
    shown: Picture, width: int, height: int, *keys: str, letters: Letters = Letters.BRAILLE
) -> list[str]:
    browser = Browser(Quiet(), letters=letters)
    browser.look(shown)
    browser.lines(width, height)
    for key in keys:
        browser.press(key)
    return texts(browser.lines(width, height))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (110, 32), (200, 50)])
def test_one_node_is_open_at_once_and_fills_the_screen(width: int, height: int) -> None:
    rows = page(alone(findings=[finding()]), width, height)
    text = "\n".join(rows)
    for said in (
        "[OVER",
        "CPU 2.1 of 20 cores",
        "Memory 1.61 of 126 GiB",
        "20┤╌",
        "cores  ██▁▁▁▁▁▁ ▁▁▁▁▁▁▁▁ ▁▁▁▁",
        "▲ idle",
        "▲ GPU 1 idle 12 min, holds 10.7 GiB",
        "export CUDA_VISIBLE_DEVICES=0",
        "python train.py",
        "104 of 235 W",
    ):
        assert said in text, said
    assert sum(not row for row in rows) <= 1
    assert len(rows) == height


def test_the_advice_of_the_worst_finding_never_gives_way() -> None:
    for width, height in product((60, 80, 200), (15, 24, 40)):
        text = " ".join(" ".join(page(alone(findings=[finding()]), width, height)).split())
        assert finding().advice in text, (width, height)


def test_letters_change_by_a_key_and_blocks_are_no_braille() -> None:
    braille = "\n".join(page(alone(), 100, 30))
    blocks = "\n".join(page(alone(), 100, 30, "b"))
    assert any("\u2800" < letter <= "\u28ff" for letter in braille)
    assert not any("\u2800" <= letter <= "\u28ff" for letter in blocks)
    assert blocks == "\n".join(page(alone(), 100, 30, letters=Letters.BLOCKS))


def test_growing_memory_says_when_it_is_full_on_the_page() -> None:
    text = "\n".join(page(picture(("n",), timeline=growing(GIB / 600)), 100, 30))
    assert "full about " in text
    assert "at this rate" in text


def test_many_cores_are_grouped_and_it_is_said() -> None:
    made = Timeline(2.0)
    for step in (118.0, 120.0):
        node = sample("n", step).node
        assert node is not None
        made.add(sample("n", step, node=node._replace(core_busy_s=[step] * 512, cpu_count=512)))
    text = "\n".join(page(picture(("n",), timeline=made), 80, 24))
    assert "a bar is 4 cores · 512 of 512 above 90 %" in text


def test_sixteen_devices_leave_room_for_the_charts() -> None:
    gpus = [gpu(index, 50.0) for index in range(16)]
    rows = page(picture(("n",), timeline=timeline(("n",), gpus=gpus)), 80, 24)
    assert any("more: page GPUS" in row for row in rows)
    assert any("CPU 2.1" in row for row in rows)


def test_the_timeline_marks_findings_and_phases() -> None:
    events = (
        Event(NOW_S - 110, PHASE_BEGIN, {"phase": "train", "pid": 1}),
        Event(NOW_S - 50, PHASE_END, {"phase": "train", "pid": 1}),
        Event(NOW_S - 50, PHASE_BEGIN, {"phase": "evaluate\x1b[2J", "pid": 1}),
    )
    found = finding()._replace(started_at_s=NOW_S - 60)
    rows = page(alone(findings=[found], events=events), 110, 32, "5")
    marks = next(row for row in rows if row.strip(" ▲") == "" and "▲" in row)
    phase = next(row for row in rows if "▏train" in row)
    assert marks.count("▲") >= 1
    assert "▏evaluate\\x1b[2J"[:9] in phase
    assert "\x1b" not in phase


def test_charts_stand_below_the_table_of_several_nodes() -> None:
    rows = page(picture(), 110, 32)
    table = next(place for place, row in enumerate(rows) if row[1:].startswith("qb007"))
    chart = next(place for place, row in enumerate(rows) if "CPU 6.3 of 60 cores" in row)
    assert chart > table
    assert sum(row.startswith(("  │", " 60┤", "  0┼", "60┤", " 0┼")) for row in rows) >= 8
    low = page(picture(), 80, 16)
    assert not any("of 60 cores" in row for row in low[6:])


def test_more_processes_than_rows_are_counted() -> None:
    shown = picture(("n",), timeline=timeline(("n",), processes=processes(120.0, 60)))
    rows = page(shown, 80, 24)
    assert any("Processes ── 3 of 60" in row for row in rows)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc")
def test_the_axis_has_clock_times() -> None:
    axis = "".join(span.text for span in time_axis(Window(NOW_S - 600, NOW_S), 80, 3))
    assert axis.split() == ["22:05", "22:10"]
