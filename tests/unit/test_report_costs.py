"""What a run cost: at the rates that are written down, never a guess, and nothing without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from unit_parts import run, sample

from hpcwatch import cli
from hpcwatch.analysis.costs import Costs, Rates, price
from hpcwatch.analysis.findings import Directive
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.report.to_json import to_plain
from hpcwatch.analysis.rightsize import Advice, Savings
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.schema import Gpu, JobUse, Node, Sample
from hpcwatch.recording.store import Run, RunDirectory
from hpcwatch.views.report import html, markdown, terminal
from hpcwatch.views.report.next_script import next_script

RATES = Rates(core_hour=0.5, gpu_hour=4.0, unit="EUR")
HOUR_S = 3600.0
ASKED = Job("1.qb3", "torque", cores_count=10, node_cores_count=10, gpus_count=2)


def reading(t: float, idle: tuple[float | None, ...] = (25.0, 75.0)) -> Sample:
    """A node on which 4 cores work, and of each of its devices how much of the time it did not."""
    gpus = [
        Gpu(n, f"GPU-{n}", "A100", util_pct=50.0, util_zero_pct=zero) for n, zero in enumerate(idle)
    ]
    use = JobUse("tree", 1, 1, cpu_user_s=4.0 * t, cpu_system_s=0.0, allowed_cores=10)
    return sample(t, gpus=gpus, node=Node(), job=use)


def made(
    job: Job | None = ASKED, rates: Rates | None = RATES, samples: Any = None, **changed: Any
) -> Report:
    """The report of an hour."""
    of = run(job=job, wall_s=HOUR_S, cpu_user_s=None, interval_s=60.0)._replace(**changed)
    timeline = Timeline(of.interval_s, of.job)
    every = range(0, 3601, 60)
    timeline.add_all(samples if samples is not None else [reading(float(t)) for t in every])
    return build(of, timeline, rates=rates)


def costs(report: Report) -> Costs:
    assert report.costs is not None
    return report.costs


def test_requested_resources_are_charged_and_idle_ones_reported() -> None:
    found = costs(made())
    assert (found.unit, found.core_hours, found.gpu_hours) == ("EUR", 10.0, 2.0)
    assert found.run_cost == pytest.approx(10 * 0.5 + 2 * 4.0)
    assert found.idle_core_hours == pytest.approx(6.0)
    assert found.idle_gpu_hours == pytest.approx(1.0)
    assert found.idle_cost == pytest.approx(6 * 0.5 + 1 * 4.0)
    assert found.saved_cost is None


def test_without_rates_no_cost_is_shown() -> None:
    for rates in (None, Rates(unit="EUR")):
        report = made(rates=rates)
        assert report.costs is None
        assert to_plain(report)["costs"] is None
        for text in (terminal.text(report, False), markdown.text(report), html.page(report)):
            assert "Cost " not in text
            assert "Cost:" not in text


def test_an_unknown_number_of_devices_is_no_free_one() -> None:
    unread = [reading(float(t))._replace(gpus=None) for t in range(0, 3601, 60)]
    found = costs(made(ASKED._replace(gpus_count=None), samples=unread))
    assert (found.gpu_hours, found.run_cost, found.idle_cost) == (None, None, None)
    assert "Cost       –\n" in terminal.text(
        made(ASKED._replace(gpus_count=None), samples=unread), False
    )
    cores_only = costs(made(ASKED._replace(gpus_count=None), Rates(0.5), unread))
    assert cores_only.run_cost == pytest.approx(5.0)


def test_a_node_without_devices_has_none_to_charge() -> None:
    bare = [reading(float(t), ()) for t in range(0, 3601, 60)]
    found = costs(made(ASKED._replace(gpus_count=None), samples=bare))
    assert (found.gpu_hours, found.run_cost) == (0.0, 5.0)


def test_a_device_that_was_not_seen_is_not_called_busy() -> None:
    assert costs(made(ASKED._replace(gpus_count=4))).run_cost == pytest.approx(5 + 4 * 4.0)
    assert costs(made(ASKED._replace(gpus_count=4))).idle_cost is None
    hidden = [reading(float(t), (25.0, None)) for t in range(0, 3601, 60)]
    assert costs(made(samples=hidden)).idle_cost is None


def test_a_task_shares_its_node_and_has_no_price_of_its_own() -> None:
    assert made(kind="sweep-task").costs is None


def test_the_suggestion_saves_its_price() -> None:
    change = Directive("torque", "#PBS -l nodes=1:ppn=10", "#PBS -l nodes=1:ppn=4")
    advice = Advice("torque", ("#PBS",), (change,), Savings(6.0, 0.0), "m", None, "this run")
    report = made()
    told = build_with(report, advice)
    assert costs(told).saved_cost == pytest.approx(3.0)
    assert next_script(told).saves == ["6 core-hours", "3 EUR"]
    content = build_with(report, advice._replace(changes=(), saves=Savings(0.0, 0.0)))
    assert costs(content).saved_cost is None
    unsure = build_with(report, advice._replace(saves=Savings(6.0, None)))
    assert costs(unsure).saved_cost is None
    assert next_script(unsure).saves == ["6 core-hours"]


def build_with(report: Report, advice: Advice) -> Report:
    from hpcwatch.analysis.report.costs import costs_of

    hosts = list(report.timeline.hosts.values())
    found = costs_of(RATES, report.run, hosts, report.summary, advice)
    return report._replace(advice=advice, costs=found)


def test_every_view_says_it() -> None:
    report = made()
    said = "13 EUR, of which 7 EUR for what lay idle"
    assert f"Cost       {said}\n" in terminal.text(report, False)
    assert f"- Cost: {said}\n" in markdown.text(report)
    assert f"<dt>Cost</dt><dd>{said}</dd>" in html.page(report)
    assert to_plain(report)["costs"]["run_cost"] == 13.0


def test_a_unit_is_foreign_text() -> None:
    report = made(rates=RATES._replace(unit="<b>\x1b[31m|"))
    assert "\x1b" not in terminal.text(report, False) + markdown.text(report)
    assert "<b>" not in markdown.text(report) + html.page(report).split("<script")[0]


@pytest.mark.parametrize(
    ("cost", "text"), [(0.0, "0 SU"), (0.001, "< 0.01 SU"), (12.44, "12.4 SU")]
)
def test_a_small_price_is_not_shown_as_zero(cost: float, text: str) -> None:
    assert price(cost, "SU") == text


def test_the_rates_are_those_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hpcwatch").mkdir()
    (tmp_path / "hpcwatch" / "config.toml").write_text('[costs]\ncore_hour = 2.0\nunit = "SU"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
    recorded(tmp_path / "run", run(job=ASKED, wall_s=HOUR_S))
    assert cli.main(["report", str(tmp_path / "run"), "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["costs"]
    assert (told["unit"], told["core_hours"], told["run_cost"]) == ("SU", 10.0, 20.0)


def recorded(path: Path, of: Run) -> None:
    RunDirectory.create(str(path)).write_run(of)
