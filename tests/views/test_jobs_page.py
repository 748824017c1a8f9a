"""The table of `jobs --watch`: orders, the selection, widths. No terminal."""

from __future__ import annotations

import pytest

from hpcwatch.analysis.findings import Severity
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState, Usage
from hpcwatch.views.jobs.flags import Flag
from hpcwatch.views.jobs.jobs_table import JobRow
from hpcwatch.views.live.jobs_page import ORDERS, JobsPage, Shown
from hpcwatch.views.text import line_width

NOW_S = 1.7e9


def job(number: int, cores: float | None, memory_share: float | None, left_s: int | None) -> Job:
    usage = Usage(
        Coverage.JOB,
        cpu_s=None if cores is None else cores * 1000,
        memory_bytes=None if memory_share is None else int(memory_share * (10 << 30)),
        walltime_s=1000,
    )
    return Job(
        str(number), "slurm", f"job-{number}", state=JobState.RUNNING, cores_count=4,
        memory_bytes=10 << 30, started_at_s=NOW_S - 1000, usage=usage,
        walltime_s=None if left_s is None else 1000 + left_s,
    )  # fmt: skip


IDLE = Flag("cpu-low", Severity.WARNING, "0.1 of 4 cores busy")
JOBS = [
    job(1, 3.9, 0.2, 5000),
    job(2, None, None, None),
    job(3, 0.1, 0.95, 9000),
    job(4, 2.0, 0.5, 60),
]


class Table:
    """A page with what it asked for."""

    def __init__(self, rows: list[JobRow], note: str = "") -> None:
        self.rows, self.note = rows, note
        self.probed: list[str] = []
        self.refreshed = 0
        self.page = JobsPage(self._shown, lambda one: self.probed.append(one.id), self._refresh)

    def _shown(self) -> Shown:
        return Shown("alice on slurm: 4 running", self.rows, NOW_S, self.note)

    def _refresh(self) -> None:
        self.refreshed += 1

    def text(self, width: int = 120, height: int = 20) -> list[str]:
        lines = self.page.lines(width, height)
        assert len(lines) == height
        assert all(line_width(line) <= width for line in lines)
        return ["".join(span.text for span in line) for line in lines]

    def ids(self) -> list[str]:
        rows = [row.lstrip("› ").split(" ")[0] for row in self.text()[2:-2]]
        return [row for row in rows if row]


@pytest.fixture
def table() -> Table:
    rows = [JobRow(one, (IDLE,) if one.id == "3" else ()) for one in JOBS]
    return Table(rows)


def test_each_order_puts_what_is_unknown_last(table: Table) -> None:
    found = {}
    for order in ORDERS:
        found[order.name] = "".join(table.ids())
        assert f"by {order.name}" in table.text()[-1]
        table.page.press("s")
    assert found == {
        "started first": "1234",
        "least time left": "4132",
        "fewest cores used": "3412",
        "memory most full": "3412",
    }
    assert "".join(table.ids()) == "1234", "after the last order comes the first"


def test_the_selection_stays_on_its_job(table: Table) -> None:
    table.text()
    for _ in range(2):
        table.page.press("down")
    table.page.press("s")
    table.rows = table.rows[2:]
    assert any(row.startswith("›3") for row in table.text())
    assert "0.1 of 4 cores busy" in table.text()[-2], "its flags, in full"
    table.page.press("p")
    assert table.probed == ["3"]
    table.page.press("enter")
    assert table.page.chosen is not None and table.page.chosen.id == "3"
    table.page.reopen()
    assert (table.page.is_over, str(table.page.chosen)) == (False, "None")


def test_keys_are_letters_while_a_filter_is_typed(table: Table) -> None:
    table.text()
    for key in ("/", "s", "p", "r"):
        table.page.press(key)
    assert (table.probed, table.refreshed) == ([], 0)
    assert 'no job matches "spr"' in " ".join(table.text())
    for key in ("p", "enter", "enter", "p"):
        table.page.press(key)
    assert table.page.chosen is None, "no row, nothing to open"
    assert table.probed == []


def test_what_is_wrong_is_said_and_the_rows_stay(table: Table) -> None:
    table.note = "squeue: no answer\x1b[2J"
    text = table.text()
    assert r"no answer\x1b[2J" in text[-2]
    assert table.ids() == ["1", "2", "3", "4"]
    table.rows = []
    assert r"no answer\x1b[2J" in table.text()[1]
    table.note = ""
    assert "no job runs" in table.text()[1]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [3, 5, 8, 50])
def test_it_fits_any_screen(table: Table, width: int, height: int) -> None:
    table.text(width, height)
    table.rows = []
    table.text(width, height)
