"""The report as text: at most 80 columns, and nothing foreign reaches the terminal raw."""

from __future__ import annotations

import math
import re
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_parts import GIB, START_S, full_sample, run

from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.clean import clean
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.schema import Gpu, Process, Sample
from hpcwatch.views.report import facts, tables, terminal
from hpcwatch.views.text import Span, cut, fit, line_width, sparkline, width_of

COLOURS = re.compile(r"\x1b\[[\d;]*m")
HOSTILE = st.text(max_size=40) | st.sampled_from(
    [
        "\x1b[2J\x1b[31mred",
        "a\nb\rc\td\x08",
        "\x9b31m",
        "\u202eevil",
        "日本語" * 20,
        "e\u0301" * 50,
        "x" * 500,
        "\udcff\udcfe",
        "\U0001f468\u200d\U0001f469",
        "\ufe0f\u2028",
        "",
    ]
)


def report(**fields: Any) -> Report:
    """A report in which everything a user or a cluster names is given."""
    names = {
        "host": "n1",
        "name": "python",
        "argv": ["python"],
        "error": "broken",
        "advice": "do",
        "title": "wrong",
        "job": None,
        "gpu": "K40m",
        **fields,
    }
    gpu = Gpu(0, names["gpu"], names["gpu"], util_pct=50.0, memory_used_bytes=GIB, energy_j=9e9)
    process = Process(2**22, 1, names["name"], "R", names["argv"], cpu_user_s=1e6, cpu_system_s=0.0)
    changed: dict[str, Any] = {
        "host": names["host"],
        "gpus": [gpu],
        "processes": [process],
        "errors": {names["error"]: names["error"]},
    }
    samples: list[Sample] = [full_sample(t)._replace(**changed) for t in range(5)]
    job = None if names["job"] is None else Job(names["job"], "torque", walltime_s=360000)
    foreign = names["name"]
    of = run(
        argv=names["argv"], hosts=[names["host"]], job=job, name=foreign, cwd=foreign, user=foreign
    )
    timeline = Timeline(1.0, job)
    timeline.add_all(samples)
    finding = Finding(
        "memory-near-limit",
        Severity.CRITICAL,
        names["host"],
        "job",
        START_S,
        1.0,
        names["title"],
        {},
        names["advice"],
        (Directive("torque", names["title"], names["advice"]),),
    )
    return build(of, timeline)._replace(findings=[finding])


def rows(made: Report, coloured: bool, width: int) -> list[str]:
    text = terminal.text(made, coloured, width)
    assert text.endswith("\n")
    return text[:-1].split("\n")


@settings(deadline=None, max_examples=80)
@given(st.data(), st.booleans(), st.sampled_from([20, 40, 79, 80, 200]))
def test_hostile_names_neither_widen_nor_command(
    data: st.DataObject, coloured: bool, width: int
) -> None:
    names = ("host", "name", "error", "advice", "title", "job", "gpu")
    fields: dict[str, Any] = {name: data.draw(HOSTILE) for name in names}
    fields["argv"] = data.draw(st.lists(HOSTILE, min_size=1, max_size=4))
    for row in rows(report(**fields), coloured, width):
        plain = COLOURS.sub("", row) if coloured else row
        assert width_of(plain) <= min(width, 80)
        assert clean(plain) == plain


@pytest.mark.parametrize("width", [1, 2, 5, 10, 11, 12, 13])
def test_a_terminal_of_a_few_columns_gets_what_fits(width: int) -> None:
    assert all(width_of(row) <= width for row in rows(report(), False, width))


def test_no_colour_means_no_escape() -> None:
    assert "\x1b" not in terminal.text(report(), False)
    assert "\x1b[" in terminal.text(report(), True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "ended normally after 1:40"),
        ({"exit_code": 3}, "failed (exit 3)"),
        ({"exit_code": None, "signal": 9}, "killed by SIGKILL (9)"),
        ({"exit_code": None, "signal": 99}, "killed by signal 99"),
        ({"wall_s": 1.5}, "ended normally after 1.5 s"),
    ],
)
def test_how_a_run_ended(fields: dict[str, Any], said: str) -> None:
    made = build(run(**fields), Timeline(1.0))
    assert said in terminal.text(made, False)


def test_what_is_unknown_shows_as_a_dash() -> None:
    gone = dict.fromkeys(("cpu_user_s", "cpu_system_s", "memory_peak_bytes"))
    text = terminal.text(build(run(**gone), Timeline(1.0)), False)
    assert "CPU time   – (user –, system –)" in text
    assert "read –, wrote –" in text
    assert not re.search(r"\bnan\b|None", text)


@given(st.text(max_size=60))
def test_cleaned_text_is_harmless_and_stays_so(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert not {unicodedata.category(letter) for letter in once} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    once.encode()


@given(st.text(max_size=60).map(clean), st.integers(min_value=0, max_value=30))
def test_cut_text_fits(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width


@given(
    st.lists(st.text(max_size=12).map(clean), max_size=6),
    st.integers(min_value=0, max_value=30),
)
def test_fitted_lines_fit(texts: list[str], width: int) -> None:
    line = [Span(text) for text in texts]
    assert line_width(fit(line, width)) <= width


@given(
    st.lists(st.just(math.nan) | st.floats(min_value=0, max_value=1e15), max_size=100),
    st.just(0.0) | st.floats(min_value=1e-3, max_value=1e15),
    st.integers(min_value=0, max_value=40),
)
def test_a_sparkline_has_one_sign_a_column(values: list[float], top: float, width: int) -> None:
    assert len(sparkline(values, top, width)) == min(len(values), width)


@pytest.mark.parametrize(
    ("job", "asked"),
    [
        (None, "93.1 GiB"),  # what the node allows
        (Job("1", "torque"), "–"),
        (Job("1", "torque", node_memory_bytes=4 << 30), "4 GiB"),
    ],
)
def test_the_node_s_memory_is_not_a_request(job: Job | None, asked: str) -> None:
    sample = full_sample(0)
    node = sample.node
    assert node is not None
    bare = sample._replace(cgroup=None, node=node._replace(memory_total_bytes=100_000_000_000))
    timeline = Timeline(1.0, job)
    timeline.add_all([bare, bare._replace(at_s=bare.at_s + 1, uptime_s=bare.uptime_s + 1)])
    made = build(run(job=job, hosts=[bare.host]), timeline)
    (row,) = (row for row in terminal.text(made, False).split("\n") if row.startswith("Memory  "))
    assert row[11:22].strip() == asked
    (cells,) = (row for row in tables.asked_and_used(made).rows if row[0] == "Memory")
    assert cells[1] == asked


def test_a_job_that_nobody_watched_shows_what_it_requested() -> None:
    job = Job("1", "torque", memory_bytes=6 << 30, nodes=("a", "b"))
    text = terminal.text(build(run(job=job, kind="job"), Timeline(1.0, job)), False)
    assert "Memory     6 GiB" in text


def test_it_says_when_whose_which_job_and_where() -> None:
    job = Job("305669.qb3", "torque", name="cnn.tf.gpu", queue="k40")
    made = build(
        run(job=job, cwd="/home/alice/mnist", user="alice", started_at_s=START_S),
        Timeline(1.0, job),
    )
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(START_S))
    wanted = f"{when} · alice · job cnn.tf.gpu in k40 · /home/alice/mnist"
    assert rows(made, False, 80)[2] == wanted
    long = made._replace(run=made.run._replace(cwd="/very/long" * 20 + "/experiment"))
    row = rows(long, False, 80)[2]
    assert (len(row), row.endswith("/experiment"), " · …" in row) == (80, True, True)


@pytest.mark.parametrize("wall_s", [0.2, 59.0, 61.0, 299.0, 301.0])
def test_there_is_a_verdict_however_short_the_run(wall_s: float) -> None:
    made = build(run(wall_s=wall_s, ended_at_s=START_S + wall_s), Timeline(1.0, None))
    row = rows(made, False, 80)[3]
    if wall_s < 300:
        assert row == "No findings; in less than 5 min little can be judged."
    else:
        assert row.startswith("No findings")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "Measured every 1 s, 1 reading;"),
        (5, "Measured every 1 s, 5 readings;"),
        (40, "Measured at least every 1 s, 40 readings;"),
    ],
)
def test_how_often_a_short_run_was_measured(count: int, said: str) -> None:
    """Of 4 s: the first seconds are measured more often than the interval says."""
    made = report()
    quality = made.quality._replace(samples=count, interval_s=1.0, coverage_pct=100.0)
    made = made._replace(
        summary=made.summary._replace(wall_s=4.0), quality=quality._replace(monitor_cpu_s=1.0)
    )
    assert said in " ".join(" ".join(rows(made, False, 80)).split())
    assert said.split(", ")[0] in facts.measured(made)[0]


def test_a_job_whose_nodes_are_not_known_leaves_no_gap() -> None:
    made = report(job="305669")
    made = made._replace(run=made.run._replace(hosts=[]))
    (ending,) = (row for row in rows(made, False, 80) if "305669" in row)
    assert ending.startswith("python · 305669 · ")
    assert " ·  · " not in ending
