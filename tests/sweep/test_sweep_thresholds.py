"""The rules of sweeps just below and just above each threshold, and thresholds of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from program import Hpcwatch

from hpcwatch.sweep import findings, joblog, outcome
from hpcwatch.sweep.joblog import JoblogRow
from hpcwatch.sweep.outcome import Outcome
from hpcwatch.sweep.sharing import Sharing


def ran(*rows: tuple[str, float, float, int]) -> Outcome:
    """An outcome of tasks (host, start, length, exit code)."""
    made = [
        JoblogRow(seq, host, start, length, code, 0, "t")
        for seq, (host, start, length, code) in enumerate(rows, 1)
    ]
    return outcome.of_joblog("j", made, "here")


def tail(busy_share: float, length_s: float = 1000.0, tasks_count: int = 4) -> Outcome:
    """Three slots; in the last fifth they are busy for such a share of the time."""
    from_s = 0.8 * length_s
    rows = [("c", 0.0, length_s, 0), ("b", 0.0, from_s, 0)]
    rows.append(("a", from_s, (3 * busy_share - 1) * 0.2 * length_s, 0))
    count = tasks_count - 3
    rows += [("a", from_s / count * n, from_s / count, 0) for n in range(count)]
    return ran(*rows)


def slower(factor: float, tasks_count: int = 3) -> Outcome:
    others = [("b", 100.0 * n, 90.0, 0) for n in range(max(tasks_count, 3))]
    return ran(*others, *(("a", 300.0 * n, 90.0 * factor, 0) for n in range(tasks_count)))


def failing(count: int, others_count: int = 0) -> Outcome:
    """Of twelve tasks on each of two hosts so many failed, and on the other one so many."""
    own = [("a", 100.0 * n, 90.0, int(n < count)) for n in range(12)]
    return ran(*own, *(("b", 100.0 * n, 90.0, int(n < others_count)) for n in range(12)))


def shared(seconds: float) -> Outcome:
    one = Sharing("a", "GPU 0", "GPU 1", 10.0, seconds, (1, 2))
    return ran(("a", 0.0, 300.0, 0))._replace(sharings=[one])


def given_twice(seconds: float) -> Outcome:
    made = ran(("a", 0.0, 300.0, 0), ("a", 300.0 - seconds, 300.0, 0), ("a", 900.0, 300.0, 0))
    devices = ["0", "0", "1"]
    bars = [bar._replace(device=one) for bar, one in zip(made.bars, devices, strict=True)]
    return made._replace(bars=bars)


def used(share: float, length_s: float = 100.0) -> Outcome:
    made = ran(("a", 0.0, length_s, 0), ("b", 0.0, length_s, 0))
    rows = [row._replace(cpu_s=share * 20 * length_s) for row in made.rows]
    return made._replace(
        rows=rows, places=[place._replace(cores_count=20) for place in made.places]
    )


def short(seconds: float, count: int = 20) -> Outcome:
    return ran(*(("a", 10.0 * n, seconds, 0) for n in range(count)))


@pytest.mark.parametrize(
    ("rule", "below", "above"),
    [
        ("sweep-tail", tail(0.501), tail(0.499)),
        ("sweep-tail", tail(0.4, length_s=59.0), tail(0.4, length_s=61.0)),
        ("sweep-tail", tail(0.4, tasks_count=3), tail(0.4, tasks_count=4)),
        ("sweep-slow-host", slower(1.29), slower(1.31)),
        ("sweep-slow-host", slower(2.0, tasks_count=2), slower(2.0, tasks_count=3)),
        ("sweep-slow-host", failing(2), failing(3)),
        ("sweep-slow-host", failing(5, 2), failing(6, 2)),
        ("sweep-gpu-collision", shared(59.0), shared(60.0)),
        ("sweep-gpu-collision", given_twice(59.0), given_twice(61.0)),
        ("sweep-one-per-node", used(0.301), used(0.299)),
        ("sweep-one-per-node", used(0.1, length_s=59.0), used(0.1, length_s=61.0)),
        ("sweep-short-tasks", short(1.01), short(0.99)),
        ("sweep-short-tasks", short(0.5, count=19), short(0.5, count=20)),
    ],
)
def test_each_rule_on_both_sides_of_each_threshold(
    rule: str, below: Outcome, above: Outcome
) -> None:
    assert rule not in {finding.rule for finding in findings.evaluate(below)}
    assert rule in {finding.rule for finding in findings.evaluate(above)}


@pytest.mark.parametrize(
    ("rule", "name", "value", "made"),
    [
        ("sweep-tail", "busy_share", 0.3, tail(0.4)),
        ("sweep-tail", "tail_share", 1.0, tail(0.4)),
        ("sweep-tail", "least_s", 2000, tail(0.4)),
        ("sweep-tail", "least_tasks_count", 5, tail(0.4)),
        ("sweep-slow-host", "slower", 3, slower(2.0)),
        ("sweep-slow-host", "least_tasks_count", 4, slower(2.0)),
        ("sweep-slow-host", "failures_ratio", 4.0, failing(6, 2)),
        ("sweep-slow-host", "least_failures_count", 4, failing(3)),
        ("sweep-gpu-collision", "least_s", 61, shared(60.0)),
        ("sweep-one-per-node", "most_share", 0.05, used(0.1)),
        ("sweep-one-per-node", "least_s", 200, used(0.1)),
        ("sweep-short-tasks", "short_s", 0.4, short(0.5)),
        ("sweep-short-tasks", "least_tasks_count", 21, short(0.5)),
    ],
)
def test_each_threshold_can_be_ones_own(rule: str, name: str, value: Any, made: Outcome) -> None:
    assert rule in {finding.rule for finding in findings.evaluate(made, {})}
    own = {rule: {name: value}}
    assert rule not in {finding.rule for finding in findings.evaluate(made, own)}


def test_all_thresholds_are_tried_above() -> None:
    tried = {
        (rule, name)
        for mark in test_each_threshold_can_be_ones_own.pytestmark
        for rule, name, *_ in mark.args[1]
    }
    assert tried == {(rule, name) for rule, own in findings.defaults().items() for name in own}


def write_joblog(path: Path) -> None:
    """A run with a tail: one of two slots is idle for the last half."""
    rows = [(1, 0.0, 50.0), (2, 0.0, 50.0), (3, 50.0, 50.0), (4, 50.0, 1.0)]
    lines = [JoblogRow(seq, ":", start, wall, 0, 0, "t").line() for seq, start, wall in rows]
    path.write_text("\n".join([joblog.HEAD, *lines, ""]))


def test_a_configuration_is_obeyed_shown_and_checked(hpcwatch: Hpcwatch) -> None:
    log = hpcwatch.folder / "joblog"
    write_joblog(log)
    assert "sweep-tail" not in hpcwatch("sweep", "--from-joblog", log).out
    path = hpcwatch.configure("[findings.sweep-tail]\nbusy_share = 0.51\n")
    assert "sweep-tail" in hpcwatch("sweep", "--from-joblog", log).out
    shown = hpcwatch("config").out
    assert "[findings.sweep-tail]" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("busy_share = 0.51")]
    assert line.endswith(f"# {path}, line 2")
    hpcwatch.configure("[findings.sweep-tail]\nbusy_shar = 0.5\n")
    for arguments in (["config"], ["sweep", "--from-joblog", str(log)]):
        ended = hpcwatch(*arguments)
        assert ended.code == 2
        assert "line 2: no key findings.sweep-tail.busy_shar" in ended.err
        assert "did you mean findings.sweep-tail.busy_share?" in ended.err
    hpcwatch.configure("[findings.sweep-tial]\nbusy_share = 0.5\n")
    assert "did you mean findings.sweep-tail?" in hpcwatch("config").err


def test_explain_shows_how_to_override(hpcwatch: Hpcwatch) -> None:
    for rule, own in findings.defaults().items():
        text = hpcwatch("explain", rule).out
        assert "Source: " in text
        assert f"[findings.{rule}]" in text
        for name, value in own.items():
            assert f"  {name} = {value}\n" in text


def test_a_wrong_name_to_sort_by_does_not_cost_the_results(hpcwatch: Hpcwatch) -> None:
    log = hpcwatch.folder / "joblog"
    write_joblog(log)
    ended = hpcwatch("sweep", "--from-joblog", log, "--sort", "nosuch")
    assert (ended.code, "4 tasks on 1 host" in ended.out) == (0, True)
    assert "--sort nosuch: it is one of: time, cpu, memory" in ended.err
