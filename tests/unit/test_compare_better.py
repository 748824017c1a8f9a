"""`hpcwatch compare`: which run reached the better result, and what that took."""

from __future__ import annotations

import json
from typing import Any

import pytest
from unit_parts import full_sample, run

from hpcwatch.analysis.compare import compare
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.recording.store import Event
from hpcwatch.views.compare import text as compare_text
from hpcwatch.views.compare.better import better_text
from hpcwatch.views.compare.to_json import to_json
from hpcwatch.views.text import render


def report(wall_s: float, results: dict[str, Any], **fields: Any) -> Report:
    timeline = Timeline(1.0)
    timeline.add_all(full_sample(second) for second in range(1, 5))
    made = build(run(wall_s=wall_s, **fields), timeline)
    return made._replace(events=[Event(1.0, "log", results)])


def said(*reports: Report) -> str | None:
    return better_text(compare(reports))


def test_more_accuracy_is_better_and_its_price_is_said() -> None:
    one, two = report(100, {"test_accuracy": 0.92}), report(150, {"test_accuracy": 0.96})
    words = "test_accuracy 0.96, A 0.92 (50 % less error). B took 50 % more time"
    assert (said(one, two) or "").startswith(f"B is better: {words}")
    assert (said(two, one) or "").startswith("A is better: test_accuracy 0.96, B 0.92")


def test_less_loss_is_better_and_may_cost_less() -> None:
    one, two = report(100, {"test_loss": 0.2}), report(50, {"test_loss": 0.1})
    assert (said(one, two) or "").startswith(
        "B is better: test_loss 0.1, A 0.2 (50 % less). B took 50 % less time"
    )


def test_an_accuracy_in_percent_is_compared_without_a_share() -> None:
    one, two = report(100, {"accuracy": 92.0}), report(100, {"accuracy": 96.0})
    assert said(one, two) == "B is better: accuracy 96, A 92. B took about as much as A."


def test_a_difference_as_between_seeds_is_none() -> None:
    one, two = report(100, {"test_accuracy": 0.9928}), report(200, {"test_accuracy": 0.9931})
    words = "As good as each other: B test_accuracy 0.9931, A 0.9928. B took 100 % more time"
    assert (said(one, two) or "").startswith(words)


def test_of_three_the_best_is_compared_with_the_next() -> None:
    three = [report(100, {"test_accuracy": value}) for value in (0.5, 0.9, 0.8)]
    assert (said(*three) or "").startswith("B is better: test_accuracy 0.9, C 0.8")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"test_accuracy": 0.9}),
        ({"score_of_mine": 1.0}, {"score_of_mine": 2.0}),
        ({"epoch_s": 1.0, "seconds": 3.0}, {"epoch_s": 2.0, "seconds": 2.0}),
        ({"test_accuracy": "0.8"}, {"test_accuracy": 0.9}),
    ],
)
def test_nothing_is_better_where_the_results_do_not_say_so(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert said(report(100, first), report(200, second)) is None


@pytest.mark.parametrize("fields", [{"exit_code": 1}, {"ended_at_s": None}])
def test_a_run_that_did_not_end_well_is_not_judged(fields: dict[str, Any]) -> None:
    good, bad = report(100, {"loss": 2.0}), report(100, {"loss": 1.0}, **fields)
    assert said(good, bad) is None


def test_the_text_has_it_below_the_runs_and_names_are_clean() -> None:
    name = "\x1b[31mloss"
    compared = compare([report(100, {name: 2.0}), report(100, {name: 1.0})])
    rows = [render(line, coloured=False) for line in compare_text.lines(compared, 100)]
    (row,) = [row for row in rows if "is better" in row]
    assert rows.index(row) == 3
    assert "\x1b" not in row


def test_the_json_has_the_sentence_or_null() -> None:
    one, two = report(100, {"test_loss": 0.2}), report(50, {"test_loss": 0.1})
    plain = json.loads(to_json(compare([one, two])))
    assert plain["better"] == said(one, two)
    assert plain["better"].startswith("B is better")
    assert json.loads(to_json(compare([report(1, {}), report(1, {})])))["better"] is None
