"""`hpcwatch compare`: figures side by side, what is better, and what explains it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from program import ROOT, Hpcwatch
from unit_parts import GIB, full_sample, run

from hpcwatch.analysis.compare import Change, Comparison, compare
from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.views.compare import text as compare_text
from hpcwatch.views.text import line_width, render

RECORDING = ROOT / "examples" / "recordings" / "mnist_cnn"


def report(wall_s: float = 100.0, findings: list[Finding] | None = None, **fields: Any) -> Report:
    """A run of so long, on 16 cores and one GPU."""
    timeline = Timeline(1.0)
    timeline.add_all(full_sample(second) for second in range(1, 5))
    made = build(run(wall_s=wall_s, **fields), timeline)
    return made._replace(findings=findings or [])


def found(rule: str, severity: Severity = Severity.WARNING) -> Finding:
    return Finding(rule, severity, "n1", "job", 0.0, 1.0, f"{rule} said so", {}, "advice")


def changes(compared: Comparison, name: str) -> list[Change | None]:
    (figure,) = [one for one in compared.figures if one.name == name]
    return figure.changes


def text(compared: Comparison, width: int = 100, rates: Rates | None = None) -> str:
    made = compare_text.lines(compared, width, rates)
    assert all(line_width(line) <= width for line in made)
    return "\n".join(render(line, coloured=False).rstrip() for line in made)


def row(compared: Comparison, title: str, rates: Rates | None = None) -> str:
    (line,) = [one for one in text(compared, 120, rates).splitlines() if one.startswith(title)]
    return " ".join(line.removeprefix(title).split())


def test_less_time_is_better_and_shown_with_both_numbers() -> None:
    compared = compare([report(400), report(100)])
    assert changes(compared, "wall_s") == [None, Change(-300, -75, True)]
    assert row(compared, "time") == "6:40 1:40 -5:00 (-75 %) faster"
    assert row(compare([report(100), report(400)]), "time") == "1:40 6:40 +5:00 (+300 %) slower"


def test_a_small_change_is_neither_better_nor_worse() -> None:
    for wall_s in (100.0, 101.9, 98.1):
        (_, change) = changes(compare([report(100), report(wall_s)]), "wall_s")
        assert change is not None and change.is_better is None
    for wall_s, is_better in ((102.1, False), (97.9, True)):
        (_, change) = changes(compare([report(100), report(wall_s)]), "wall_s")
        assert change is not None and change.is_better is is_better


@pytest.mark.parametrize(
    "fields", [{"exit_code": 1}, {"exit_code": None, "signal": 9}, {"ended_at_s": None}]
)
def test_no_figure_of_a_failed_run_is_called_better(fields: dict[str, Any]) -> None:
    for pair in ([report(400), report(100, **fields)], [report(400, **fields), report(100)]):
        for figure in compare(pair).figures:
            assert all(change is None or change.is_better is None for change in figure.changes)


def test_what_is_unknown_has_no_change() -> None:
    first = report()
    lacking = first._replace(summary=first.summary._replace(memory_peak_bytes=None))
    for pair in ([first, lacking], [lacking, first]):
        compared = compare(pair)
        assert changes(compared, "memory_peak_bytes") == [None, None]
        assert row(compared, "memory peak").endswith("–")
    assert "memory_peak_bytes" not in [one.name for one in compare([lacking, lacking]).figures]


def test_a_change_from_zero_has_no_percentage() -> None:
    first = report()
    without = first._replace(summary=first.summary._replace(read_bytes=0))
    with_some = first._replace(summary=first.summary._replace(read_bytes=5 * GIB))
    compared = compare([without, with_some])
    assert changes(compared, "read_bytes") == [None, Change(5 * GIB, None, None)]
    assert row(compared, "read").endswith("+5 GiB")


def test_three_runs_are_compared_with_the_first() -> None:
    compared = compare([report(100), report(50), report(200)])
    assert [one and one.pct for one in changes(compared, "wall_s")] == [None, -50, 100]
    assert row(compared, "time") == "1:40 50 s -50 % faster 3:20 +100 % slower"


def test_three_runs_fit_without_a_mark_of_what_was_left_out() -> None:
    """Blanks behind a short change are no reason to say that something is missing."""
    compared = compare([report(100), report(50), report(50)])
    rows = text(compared, 200).splitlines()
    (short,) = [one for one in rows if one.startswith("memory peak")]
    assert len(short) < max(map(len, rows))
    assert short in text(compared, len(short) + 1).splitlines()


def test_a_tiny_change_is_not_called_none() -> None:
    first, second = report(), report()
    more = second.summary._replace(memory_peak_bytes=(first.summary.memory_peak_bytes or 0) + 1)
    told = row(compare([first, second._replace(summary=more)]), "memory peak")
    assert told.endswith("+1 B")


def test_costs_follow_the_rates() -> None:
    rates = Rates(core_hour=0.5, gpu_hour=2.0, unit="SU")
    first = report(3600)
    first = first._replace(summary=first.summary._replace(cores_allocated=10))
    second = first._replace(summary=first.summary._replace(wall_s=7200.0))
    assert row(compare([first, second], rates), "cost", rates) == (
        "7 SU 14 SU +7 SU (+100 %) worse"
    )
    assert "cost" not in [one.name for one in compare([first, second]).figures]


def test_an_unknown_hour_that_costs_makes_the_cost_unknown() -> None:
    rates = Rates(core_hour=0.5)
    assert rates.cost(4, None) == 2  # GPUs cost nothing here
    assert rates.cost(None, 4) is None
    assert Rates().cost(4, 4) is None
    assert Rates(gpu_hour=2).cost(None, 3) == 6


def test_variables_that_explain_a_difference() -> None:
    job = Job("1", "torque", queue="k40", walltime_s=3600)
    first = report(
        job=job,
        environment={"OMP_NUM_THREADS": "1", "PBS_JOBID": "1", "SLURM_JOB_NODELIST": "a"},
    )
    other = job._replace(queue="k80", walltime_s=7200)
    second = report(
        job=other,
        hosts=["n2"],
        argv=["python", "train.py", "--batch", "64"],
        environment={"OMP_NUM_THREADS": "4", "PBS_JOBID": "2", "SLURM_JOB_NODELIST": "b"},
        parameters={"lr": "0.1"},
    )
    compared = compare([first, second])
    differences = {one.what: one.values for one in compared.differences}
    assert differences == {
        "hosts": ["n1", "n2"],
        "queue": ["k40", "k80"],
        "walltime": ["1:00:00", "2:00:00"],
        "arguments": ["…", "… --batch 64"],
        "lr": [None, "0.1"],
        "OMP_NUM_THREADS": ["1", "4"],
    }
    assert row(compared, "  OMP_NUM_THREADS") == "1 → 4"


def test_gpu_models_and_limits_explain_too() -> None:
    first = report()
    gpu = first.summary.gpus[0]
    summary = first.summary._replace(
        gpus=[gpu._replace(name="A100"), gpu._replace(name="A100", index=1)],
        memory_limit_bytes=4 * GIB,
        memory_limit_source="cgroup",
    )
    differences = {
        one.what: one.values
        for one in compare([first, first._replace(summary=summary)]).differences
    }
    assert differences["GPUs"] == ["1 × Tesla K40m", "2 × A100"]
    assert differences["memory limit"] == ["64 GiB (node)", "4 GiB (cgroup)"]


def test_nothing_that_differs_is_said() -> None:
    assert "Nothing else differs" in text(compare([report(), report(200)]))


def test_findings_come_and_go() -> None:
    first = report(findings=[found("cpu-low"), found("gpu-low"), found("same")])
    second = report(
        findings=[found("same"), found("gpu-low", Severity.CRITICAL), found("memory-growing")]
    )
    compared = compare([first, second])
    assert [one.rule for one in compared.findings] == ["gpu-low", "cpu-low", "memory-growing"]
    assert compared.common == ["same"]
    shown = text(compared)
    assert "cpu-low  is gone" in shown
    assert "memory-growing  is new" in shown
    assert "gpu-low  is worse" in shown
    assert "Found in both: same" in shown


def test_hostile_text_is_only_text() -> None:
    evil = "\x1b]0;x\x07\n"
    first = report(findings=[found("cpu-low")._replace(title=evil)])
    second = report(id=evil, hosts=[evil], argv=[evil], environment={"OMP_X": evil})
    assert "\x1b" not in text(compare([first, second]))
    assert evil not in text(compare([first, second]))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_fits_any_width(width: int) -> None:
    reports = [report(argv=["x" * 300, "y" * number]) for number in range(1, 6)]
    text(compare(reports), width)


def test_the_command_compares_recordings(hpcwatch: Hpcwatch) -> None:
    hpcwatch("run", "--name", "mine", "--", sys.executable, "-c", "pass")
    ended = hpcwatch("compare", RECORDING, "mine", COLUMNS="100")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("A  2026-11-23 ")
    assert "What explains it" in ended.out
    plain = json.loads(hpcwatch("compare", RECORDING, "latest", "--format", "json").out)
    assert plain["schema_version"] == 1
    assert [one["name"] for one in plain["runs"]] == ["mnist_cnn", "mine"]
    assert {one["name"]: one for one in plain["figures"]}["wall_s"]["changes"][0] is None
    assert plain["cost_unit"] is None
    assert plain["better"] is None


def test_configured_rates_are_used(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure('[costs]\ncore_hour = 1000\nunit = "EUR"\n')
    out = hpcwatch("compare", RECORDING, RECORDING).out
    (line,) = [one for one in out.splitlines() if one.startswith("cost")]
    assert "EUR" in line


def test_wrong_use_is_one_line(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("compare", RECORDING)
    assert (ended.code, "from 2 to 26 runs" in ended.complaint) == (2, True)
    ended = hpcwatch("compare", RECORDING, "nothing")
    assert ended.code == 2
    assert "no run" in ended.complaint


@pytest.mark.parametrize("width", [80, 120, 400])
def test_of_four_runs_each_is_a_line(width: int) -> None:
    made = [report(wall_s) for wall_s in (100.0, 50.0, 200.0, 100.0)]
    shown = text(compare(made), width).split("What explains it")[0].splitlines()[5:]
    assert max(map(len, shown)) <= width
    heads = [row for row in shown if row and row[0] == " "]
    times = [row.split()[:3] for row in shown if row[:1] in "ABCD" and row.strip()][:4]
    assert times[0][:2] == ["A", "1:40"]
    assert times[1][:2] == ["B", "50"]
    assert "-50%" in " ".join(shown)
    assert "+100%" in " ".join(shown)
    titles = " ".join(heads)
    for title in ("time", "CPU time", "cores used", "memory peak", "threads"):
        assert title in titles
    assert (len(heads) == 1) is (width >= 120)


def test_in_a_pipe_nothing_is_cut(hpcwatch: Hpcwatch) -> None:
    for name in ("a", "b", "c", "d"):
        hpcwatch("run", "-q", "--name", name, "--", "true")
    ended = hpcwatch("compare", "a", "b", "c", "d")
    assert (ended.code, "…" in ended.out) == (0, False)
    rows = ended.out.splitlines()
    assert [row[:1] for row in rows[6:10]] == ["A", "B", "C", "D"]
    narrow = hpcwatch("compare", "a", "b", "c", "d", COLUMNS="60").out
    assert max(map(len, narrow.splitlines())) <= 60
