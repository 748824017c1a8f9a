"""Findings and the next job script on their way into the report, its text and its JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from finding_samples import START_S, Device, Shape, finding, job, samples, timeline
from unit_parts import run

from hpcwatch.analysis.findings import Severity, Waste, settled
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers import JobState
from hpcwatch.views.report import terminal

ASKED = job(gpus_count=2, walltime_s=72 * 3600, name="cnn.tf.gpu", queue="k40")
COURSE = Shape(
    length_s=9667,
    cores=2.4,
    used=1.6 * GIB,
    node_total=132_064_556 * 1024,
    node_used=4.0 * GIB,
    cpu_count=20,
    gpus=(
        Device(util=77.0, held=11_011.0 * MIB, power=104.0),
        Device(util=0.0, held=10_950.0 * MIB, power=61.0),
    ),
    job=ASKED,
)


def report(*shapes: Shape, thresholds: Any = None, **fields: Any) -> Report:
    """The report of a run that ended well."""
    length_s = shapes[0].length_s
    values: dict[str, Any] = {
        "job": shapes[0].job,
        "hosts": [shape.host for shape in shapes],
        "started_at_s": START_S,
        "ended_at_s": START_S + length_s,
        "wall_s": length_s,
        "interval_s": shapes[0].interval_s,
    }
    return build(run(**{**values, **fields}), timeline(*shapes), thresholds=thresholds)


def test_the_course_s_case_as_text() -> None:
    text = terminal.text(report(COURSE), False)
    rows = text.split("\n")
    assert all(len(row) <= 80 for row in rows)
    head = next(row for row in rows if row.startswith("Next job script"))
    assert head.endswith("saves 80 % of the core-hours")
    assert len(head) == 80
    old, new = (row.partition(" + ")[::2] for row in rows if row.startswith("  - "))
    assert old == ("  - #PBS -l nodes=1:ppn=20:gpus=2        ", "#PBS -l nodes=1:ppn=4:gpus=1")
    assert new == ("  - #PBS -l walltime=72:00:00            ", "#PBS -l walltime=3:15:00")
    # Verdict, then script, then findings, then asked against used.
    order = ["Critical: GPU 1 idle", "Next job script", "▲ critical", "requested "]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    said = " ".join(text.split())
    assert "Next time ask for 4 cores, 1 GPU and a walltime of 3:15:00: that saves 43" in said
    assert "core-hours and 2.69 GPU-hours a run." in said
    assert "#PBS -l nodes=1:ppn=20:gpus=1" not in text  # not again beside each finding


def test_the_course_s_case_as_json() -> None:
    plain = json.loads(to_json(report(COURSE)))
    directives = plain["directives"]
    assert directives["scheduler"] == "torque"
    assert directives["lines"] == [
        "#PBS -N cnn.tf.gpu",
        "#PBS -q k40",
        "#PBS -l nodes=1:ppn=4:gpus=1",
        "#PBS -l walltime=3:15:00",
    ]
    assert directives["saves"]["core_hours"] == pytest.approx(16 * 9667 / 3600)
    assert directives["saves"]["gpu_hours"] == pytest.approx(9667 / 3600)
    assert directives["saves"]["memory_byte_hours"] is None
    assert directives["based_on"] == "this run"
    assert [one["rule"] for one in plain["findings"]] == ["gpu-memory-held", "walltime-over-asked"]
    assert plain["findings"][0]["waste"]["gpu_hours"] == pytest.approx(9667 / 3600, rel=0.01)


def test_no_header_from_a_run_that_failed() -> None:
    failed = report(COURSE, exit_code=1)
    assert json.loads(to_json(failed))["directives"] is None
    assert failed.advice is not None
    assert failed.advice.refused == "it failed: a run that succeeds may need more"
    text = terminal.text(failed, False)
    assert "No header is suggested: it failed" in text
    assert "saves" not in text
    assert text.count("+ #PBS -l nodes=1:ppn=20:gpus=1") == 1  # what the finding says stays


def test_a_good_run_is_reported_in_one_line_without_a_suggestion() -> None:
    good = COURSE._replace(
        cores=19.0,
        gpus=(COURSE.gpus[0],) * 2 if COURSE.gpus else (),
        job=ASKED._replace(walltime_s=12_000),
    )
    made = report(good)
    assert made.findings == []
    assert made.advice is not None
    assert made.advice.changes == ()
    text = terminal.text(made, False)
    assert text.count("nothing to change") == 1
    assert "#PBS" not in text


def test_less_would_have_done_without_a_finding() -> None:
    """Cores that feed devices are nobody's fault, but fewer would do."""
    feeds = COURSE._replace(
        gpus=(COURSE.gpus[0],) * 2 if COURSE.gpus else (), job=ASKED._replace(walltime_s=12_000)
    )
    made = report(feeds)
    assert made.findings == []
    text = terminal.text(made, False)
    assert "nothing to change" not in text
    assert "less would have done" in text
    assert "+ #PBS -l nodes=1:ppn=4:gpus=2" in text


def test_outside_of_a_job_nothing_is_suggested() -> None:
    made = report(COURSE._replace(job=None))
    assert made.advice is None
    assert json.loads(to_json(made))["directives"] is None


def test_a_short_run_gets_no_suggested_script() -> None:
    text = terminal.text(report(COURSE._replace(length_s=60.0)), False)
    assert "script" not in text
    assert "suggested" not in text


def test_the_site_s_share_decides_how_many_cores() -> None:
    share = {"memory-over-share": {"memory_per_core_bytes": 4 * GIB}}
    large = COURSE._replace(used=30.0 * GIB)
    made = report(large, thresholds=share).advice
    assert made is not None
    assert "#PBS -l nodes=1:ppn=9:gpus=1" in made.lines


def test_a_job_on_two_nodes_is_asked_about_as_a_whole_once() -> None:
    two = job(nodes=("qb002", "qb003"), cores_count=40, walltime_s=99_999)
    busy = Shape(length_s=3600, cores=19.0, used=2.0 * GIB, cpu_count=20, job=two)
    idle = busy._replace(host="qb003", cores=0.1)
    made = report(busy, idle)
    assert [(one.rule, one.host) for one in made.findings] == [
        ("node-unused", "qb003"),
        ("walltime-over-asked", ""),
    ]
    text = terminal.text(made, False)
    assert "On qb003. The program runs on other nodes only" in text
    assert "On ." not in text
    assert made.advice is not None
    assert "#PBS -l nodes=1:ppn=20" in made.advice.lines


def test_a_job_that_waits_is_a_report_of_its_own() -> None:
    waits = job(state=JobState.QUEUED, reason="Resources", submitted_at_s=START_S - 60)
    of = run(kind="job", job=waits, ended_at_s=None, wall_s=None, started_at_s=START_S)
    made = build(of, Timeline(1.0, waits))
    assert [one.title for one in made.findings] == ["waits: Resources"]


def test_the_costliest_finding_comes_first_within_a_severity() -> None:
    dear = finding("cpu-low", waste=Waste(core_hours=40.0), duration_s=1.0)
    gpu = finding("gpu-unused", waste=Waste(gpu_hours=3.0), duration_s=2.0)  # 48 core-hours
    free = finding("cpu-oversubscribed", duration_s=9999.0)
    worst = finding("memory-killed", severity=Severity.CRITICAL, duration_s=0.0)
    assert settled([free, dear, worst, gpu]) == [worst, gpu, dear, free]


def test_a_finding_about_all_nodes_silences_on_each() -> None:
    hung = finding("looks-hung", host="")
    went = finding("gpu-went-idle", entity="GPU 0")
    assert settled([went, hung]) == [hung]


def test_samples_are_read_once() -> None:
    """Making the report leaves the timeline as it was."""
    made = Timeline(10.0, ASKED)
    made.add_all(samples(COURSE))
    first = build(run(job=ASKED, wall_s=9667.0, started_at_s=START_S), made)
    second = build(run(job=ASKED, wall_s=9667.0, started_at_s=START_S), made)
    assert first.findings == second.findings
    assert first.advice == second.advice
