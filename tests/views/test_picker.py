"""The list of `hpcwatch job` without an id: what it shows, and what its keys do."""

from __future__ import annotations

import pytest

from hpcwatch.analysis.findings import Severity
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.views.jobs.flags import Flag
from hpcwatch.views.jobs.jobs_table import JobRow
from hpcwatch.views.live.picker import Picker
from hpcwatch.views.text import line_width, render

NOW_S = 1795437486.0
FLAG = Flag("cpu-low", Severity.WARNING, "2.1 of 20 cores busy (10 %)")


def job(job_id: str, name: str, state: JobState) -> Job:
    return Job(
        job_id, "torque", name, state=state, started_at_s=NOW_S - 60, cores_count=20, nodes=("a",)
    )


def picker(*more: JobRow) -> Picker:
    rows = [
        JobRow(job("1.qb3", "cnn.tf.gpu", JobState.RUNNING), (FLAG,)),
        JobRow(job("2.qb3", "md_prod", JobState.RUNNING), ()),
        JobRow(job("3.qb3", "post", JobState.QUEUED), ()),
        *more,
    ]
    return Picker("alice on torque: 2 running, 1 waiting", rows, NOW_S)


def shown(page: Picker, width: int = 100, height: int = 12) -> list[str]:
    lines = page.lines(width, height)
    assert len(lines) == height
    assert max(map(line_width, lines)) <= width
    return [render(line, False).rstrip() for line in lines]


def press(page: Picker, *keys: str) -> None:
    for key in keys:
        page.press(key)


@pytest.mark.parametrize(("width", "height"), [(100, 12), (80, 24), (40, 6), (200, 50), (20, 4)])
def test_it_fits_every_screen_and_says_its_keys(width: int, height: int) -> None:
    rows = shown(picker(), width, height)
    assert rows[0].startswith(" alice on torque"[:width])
    assert rows[2].startswith("›1.qb3"[:width])
    assert rows[-1].startswith(" ↑↓ choose")


def test_a_row_has_the_columns_of_the_table_and_its_flags() -> None:
    rows = shown(picker(), 120)
    assert rows[1].split()[:3] == ["id", "name", "state"]
    assert "● 2.1 of 20 cores busy (10 %)" in rows[2]
    assert "running" in rows[3]


def test_keys_move_and_enter_opens() -> None:
    page = picker()
    shown(page)
    press(page, "down", "j", "k")
    assert shown(page)[3].startswith("›2.qb3")
    press(page, "enter")
    assert page.is_over
    assert page.chosen is not None
    assert page.chosen.id == "2.qb3"


@pytest.mark.parametrize("key", ["q", "esc"])
def test_leaving_chooses_nothing(key: str) -> None:
    page = picker()
    shown(page)
    page.press(key)
    assert (page.is_over, page.chosen) == (True, None)


def test_a_filter_takes_name_state_and_flags_and_esc_clears_it() -> None:
    page = picker()
    shown(page)
    press(page, "/", *"MD", "enter")
    rows = shown(page)
    assert rows[2].startswith("›2.qb3")
    assert 'filter "MD": 1 of 3 jobs' in rows[-1]
    press(page, "esc")
    assert not page.is_over
    assert shown(page)[2].startswith("›1.qb3")
    press(page, "/", *"cores busy")
    assert shown(page)[-1].startswith(" / cores busy")
    assert shown(page)[2].startswith("›1.qb3")
    press(page, "x")
    assert ' no job matches "cores busyx"' in shown(page)
    press(page, "enter", "enter")  # keeps the filter; there is nothing to open
    assert (page.is_over, page.chosen) == (False, None)


def test_foreign_names_are_only_text() -> None:
    evil = "\x1b]0;evil\x07[bold]"
    flag = FLAG._replace(text=evil)
    page = picker(JobRow(job(evil, evil, JobState.RUNNING), (flag,)))
    assert "\x1b" not in "".join(shown(page))


def test_many_jobs_scroll_and_the_selected_one_is_seen() -> None:
    more = [JobRow(job(f"{n}.qb3", "x", JobState.QUEUED), ()) for n in range(10, 60)]
    page = picker(*more)
    shown(page)
    press(page, "end")
    rows = shown(page)
    assert any(row.startswith("›59.qb3") for row in rows)
    assert "53 of 53 jobs" in rows[-1]
