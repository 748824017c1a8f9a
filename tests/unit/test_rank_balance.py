"""Ranks of one node in the report: told apart by a real run, and how far apart they are."""

from __future__ import annotations

import json
import sys

import pytest
from program import Hpcwatch
from unit_parts import START_S, sample

from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.probe.schema import RankUse
from hpcwatch.recording.merging import merge
from hpcwatch.recording.store import Run
from hpcwatch.views.report import html, markdown, terminal

MIB = 1 << 20
BURN = """
import os, time
hold = bytearray((30 if os.environ["PMI_RANK"] == "0" else 90) << 20)
end = time.process_time() + (0.1 if os.environ["PMI_RANK"] == "2" else 0.8)
while time.process_time() < end:
    pass
time.sleep(1.5)
"""
LAUNCH = 'for rank in 0 1 2; do PMI_RANK=$rank PMI_SIZE=3 "$0" -c "$1" & done; wait'
"""Starts ranks as MPICH's hydra does: each has PMI_RANK in its environment."""


def report_of(*ranks: RankUse, name: str = "n1") -> Report:
    timeline = Timeline(1.0)
    for second in (0.0, 1.0):
        timeline.add(sample(second, host=name, ranks=list(ranks)))
    run = Run(
        id="r",
        name="solve",
        kind="run",
        argv=["mpirun", "solve"],
        cwd="/",
        started_at_s=START_S,
        interval_s=1.0,
        hosts=[name],
        user="alice",
        hpcwatch_version="0",
        monitor_pid=1,
        environment={},
        wall_s=2.0,
    )
    return build(run, timeline)


def even(count: int) -> list[RankUse]:
    return [RankUse(rank, 1, 100.0 + rank % 3, 200 * MIB) for rank in range(count)]


def test_a_real_run_tells_its_ranks_apart(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--interval", "0.2", "--", "sh", "-c", LAUNCH, sys.executable, BURN)
    report = json.loads((hpcwatch.recorded() / "report.json").read_text())
    ranks = {one["rank"]: one for one in report["ranks"]}
    assert set(ranks) == {0, 1, 2}
    assert 30 * MIB < ranks[0]["memory_peak_bytes"] < 90 * MIB < ranks[1]["memory_peak_bytes"]
    assert ranks[2]["cpu_s"] < 0.5 < ranks[0]["cpu_s"]
    balance = report["rank_balance"]
    assert balance["ranks_count"] == 3
    assert balance["cpu_s"]["outlier_rank"] == balance["cpu_s"]["least_rank"] == 2
    assert balance["memory_peak_bytes"]["least_rank"] == 0
    assert "Ranks      3 on " in ended.err
    assert "rank 2" in ended.err


def test_a_program_without_ranks_has_none(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--interval", "0.2", "--", "sleep", "0.5")
    report = json.loads((hpcwatch.recorded() / "report.json").read_text())
    assert (report["ranks"], report["rank_balance"]) == ([], None)
    assert "Ranks" not in ended.err
    assert '"ranks"' not in (hpcwatch.recorded() / "samples.jsonl").read_text()


def test_one_rank_is_no_parallel_program() -> None:
    report = report_of(RankUse(0, 1, 5.0, MIB))
    assert (report.ranks, report.rank_balance) == ([], None)


def test_even_ranks_have_no_outlier() -> None:
    balance = report_of(*even(8)).rank_balance
    assert balance is not None
    assert balance.cpu_s[:5] == (100.0, 0, 101.0, 102.0, 2)
    assert balance.cpu_s.outlier_rank is None
    assert balance.memory_peak_bytes.outlier_pct is None


@pytest.mark.parametrize(("cpu_s", "pct"), [(20.0, 20.0), (400.0, 400.0)])
def test_the_one_that_is_farthest_is_named(cpu_s: float, pct: float) -> None:
    report = report_of(
        *(RankUse(rank, 1, 100.0, MIB) for rank in range(7)), RankUse(7, 1, cpu_s, MIB)
    )
    assert report.rank_balance is not None
    assert report.rank_balance.cpu_s.outlier_rank == 7
    assert report.rank_balance.cpu_s.outlier_pct == pct
    said = " ".join(terminal.text(report, coloured=False).split())
    assert f"farthest from the median: rank 7, {pct:.0f} %" in said


def test_idle_ranks_are_no_outliers_of_zero() -> None:
    report = report_of(*(RankUse(rank, 1, 0.0, 0) for rank in range(3)))
    assert report.rank_balance is not None
    assert report.rank_balance.cpu_s.outlier_rank is None
    assert "Ranks" in terminal.text(report, coloured=False)


def test_of_many_ranks_the_text_lists_the_ends_and_the_pages_all() -> None:
    report = report_of(*even(100), RankUse(100, 1, 7.0, MIB))
    said = terminal.text(report, coloured=False)
    assert "rank 100" in said
    assert len(said.splitlines()) < 40
    assert max(map(len, said.splitlines())) <= 80
    assert markdown.text(report).count("| n1 |") >= 101
    page = html.page(report)
    assert "<h2>Ranks</h2>" in page
    assert page.count('scope="row">100<') == 1


def test_a_foreign_name_of_a_host_stays_harmless() -> None:
    report = report_of(*even(2), name="n\x1b[2J<b>")
    assert "\x1b" not in terminal.text(report, coloured=False)
    assert "<b>" not in html.page(report)


def test_merged_samples_keep_ranks_that_ended() -> None:
    first = sample(0.0, ranks=[RankUse(0, 2, 1.0, 5), RankUse(1, 1, 2.0, 9)])
    second = sample(1.0, ranks=[RankUse(0, 1, 3.0, 4)])
    wanted = [RankUse(0, 2, 3.0, 5), RankUse(1, 1, 2.0, 9)]
    assert merge(first, second).ranks == wanted
    assert merge(merge(first, second), sample(2.0)).ranks == wanted
