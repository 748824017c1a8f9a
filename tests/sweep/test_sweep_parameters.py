"""Parameters, combinations and the command's places: what is taken, and what is refused why."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.sweep import combinations, gpus, slots, template, values
from hpcwatch.sweep.best import Goal, best, chosen
from hpcwatch.sweep.best import parse as parse_goal
from hpcwatch.sweep.outcome import TaskRow


def taken(text: str) -> tuple[str, ...]:
    return values.parse(text).values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=1,2,3", ("1", "2", "3")),
        ("n=1..4", ("1", "2", "3", "4")),
        ("n=-2..2:2,9", ("-2", "0", "2", "9")),
        ("n=08,8", ("08", "8")),
        ('n="a,b", c', ("a,b", " c")),
        ("n=a=b,", ("a=b", "")),
        ("n=lin:0..1:3", ("0", "0.5", "1")),
        ("n=log:1e-4..1e-1:4", ("0.0001", "0.001", "0.01", "0.1")),
        ("n=log:1e-1..1e-3:3", ("0.1", "0.01", "0.001")),
    ],
)
def test_values_as_people_write_them(text: str, expected: tuple[str, ...]) -> None:
    assert taken(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n", "has no values"),
        ("n=", "has no values"),
        ("=1", "cannot name a parameter"),
        ("1n=1", "cannot name a parameter"),
        ("a b=1", "cannot name a parameter"),
        ("n=1,1", "twice"),
        ("n=1,1..3", "twice"),
        ("n=5..1", "empty range"),
        ("n=1..5:0", "empty range"),
        ("n=1..9999999999", "more than"),
        ("n=lin:0..1:1", "1 values"),
        ("n=lin:a..b:3", "range of numbers"),
        ("n=lin:0..inf:3", "finite"),
        ("n=log:0..1:3", "above 0"),
        ("n=log:1:3", "a range"),
        ("n=lin:0..1:99999999", "a range"),
        ('n="a', "cannot read"),
        ("n=a\0b", "NUL"),
    ],
)
def test_an_invalid_list_of_values_is_refused(text: str, said: str) -> None:
    with pytest.raises(HpcwatchError, match=said) as caught:
        values.parse(text)
    assert (caught.value.exit_code, bool(caught.value.hint)) == (EXIT_USAGE, True)


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.integers(2, 50),
    st.sampled_from(["lin", "log"]),
)
def test_intervals_begin_and_end_at_the_given_values(
    low: float, high: float, count: int, kind: str
) -> None:
    text = f"n={kind}:{low!r}..{high!r}:{count}"
    try:
        found = [float(value) for value in taken(text)]
    except HpcwatchError as error:
        assert "twice" in error.message  # so close that six digits do not tell them apart
        return
    assert len(found) == count
    assert math.isclose(found[0], low, rel_tol=1e-5)
    assert math.isclose(found[-1], high, rel_tol=1e-5)
    steps = [b - a for a, b in pairwise(found)]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)


def grid(*texts: str) -> list[dict[str, str]]:
    return combinations.grid([values.parse(text) for text in texts])


def test_the_last_parameter_varies_fastest() -> None:
    found = [tuple(one.values()) for one in grid("a=1,2", "b=x,y,z")]
    assert found == [("1", "x"), ("1", "y"), ("1", "z"), ("2", "x"), ("2", "y"), ("2", "z")]


def test_grids_that_cannot_be() -> None:
    with pytest.raises(HpcwatchError, match="twice"):
        grid("a=1", "a=2")
    with pytest.raises(HpcwatchError, match="lacks the number of values"):
        grid("a=log:1..2")
    with pytest.raises(HpcwatchError, match="1,000,000 tasks"):
        grid("a=1..1000", "b=1..1000")


@given(st.integers(1, 24), st.integers(0, 2**31))
def test_a_random_choice_has_no_repeats_and_is_reproducible(count: int, seed: int) -> None:
    parameters = [values.parse("a=1..4"), values.parse("b=x,y"), values.parse("c=7,8,9")]
    found = combinations.drawn(parameters, count, seed)
    assert found == combinations.drawn(parameters, count, seed)
    assert len({tuple(one.items()) for one in found}) == count
    everything = combinations.grid(parameters)
    assert all(one in everything for one in found)
    assert count < 24 or sorted(map(str, found)) == sorted(map(str, everything))


def test_a_random_choice_of_intervals() -> None:
    found = combinations.drawn([values.parse("lr=log:1e-4..1e-1"), values.parse("k=1,2")], 200, 7)
    rates = [float(one["lr"]) for one in found]
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)
    # Evenly in the logarithm: about a third in each decade.
    assert 40 < sum(rate < 1e-3 for rate in rates) < 95
    assert {one["k"] for one in found} == {"1", "2"}
    with pytest.raises(HpcwatchError, match="of only 6 combinations"):
        combinations.drawn([values.parse("a=1..6")], 7, 1)


def test_a_table_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufefflayers,"note"\n1,"a, b"\n\n2,"line\nbreak"\n')
    expected = [{"layers": "1", "note": "a, b"}, {"layers": "2", "note": "line\nbreak"}]
    assert combinations.table(str(path)) == expected
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n1\n"))
    rows = combinations.table("-")
    assert rows == [{"x": "1"}]
    assert combinations.times(rows, [values.parse("y=a,b")]) == [
        {"x": "1", "y": "a"},
        {"x": "1", "y": "b"},
    ]
    with pytest.raises(HpcwatchError, match="twice"):
        combinations.times(rows, [values.parse("x=a,b")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1\n", "line 2: 1 values"),
        ("a,a\n1,2\n", "twice"),
        ("a b\n1\n", "cannot name"),
        ("a,b\n", "holds no tasks"),
        ("", "holds no tasks"),
        ('a\n"1\n', "is not CSV"),
        ("a\nx\0y\n", "NUL"),
    ],
)
def test_invalid_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(HpcwatchError, match=said):
        combinations.table(str(path))
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(HpcwatchError, match="UTF-8"):
        combinations.table(str(path))
    with pytest.raises(HpcwatchError, match="cannot read"):
        combinations.table(str(tmp_path / "none"))


def test_places_in_the_command() -> None:
    command = ["python", "t.py", "--lr={lr}", "{n}{n}", "{{n}}", '{"a": 1}', "{}", "{ n }"]
    template.check(command, ["lr", "n", "unused"], ["lr", "n"])
    filled = template.filled(command, {"lr": "1e-3", "n": "{lr}"})
    assert filled == ["python", "t.py", "--lr=1e-3", "{lr}{lr}", "{n}", '{"a": 1}', "{}", "{ n }"]
    with pytest.raises(HpcwatchError, match=r"uses \{lyers"):
        template.check(["t.py", "{lyers}"], ["layers"], [])
    with pytest.raises(HpcwatchError, match="does not use lr"):
        template.check(["t.py", "{n}"], ["n", "lr"], ["n", "lr"])
    with pytest.raises(HpcwatchError, match="no command"):
        template.check([], ["n"], [])


def test_slots_as_people_write_them() -> None:
    host = slots.Host("qb001", list(range(20)), ["0", "1"])
    counts = [
        slots.count_of(slots.parse(text), host) for text in ("1", "12", "per-gpu", "per-core:4")
    ]
    assert counts == [1, 12, 2, 5]
    for text in ("0", "-1", "per-core", "per-core:0", "per-node", "99999", "1.5", ""):
        with pytest.raises(HpcwatchError, match="--slots"):
            slots.parse(text)
    assert gpus.visible_devices({}) is None
    assert gpus.visible_devices({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert gpus.visible_devices({"CUDA_VISIBLE_DEVICES": "1, GPU-a,-1"}) == ["1", "GPU-a"]


def test_the_result_to_rank_by() -> None:
    told: list[dict[str, Any]] = [
        {"loss": 0.3, "name": "x"},
        {"loss": 0.1, "accuracy": 0.9},
        {"accuracy": 0.9},
    ]
    rows = [TaskRow(number, {}, "ok", True, results=one) for number, one in enumerate(told, 1)]

    def winner(goal: Goal | None) -> int | None:
        top = best(rows, goal)
        return None if top is None else top.number

    goal = chosen(row.results for row in rows)
    assert goal == Goal("accuracy", False)
    assert winner(goal) == 2  # the first of equals
    assert winner(parse_goal("loss")) == 2
    assert winner(parse_goal("max:loss")) == 1
    assert winner(parse_goal("name")) is None
    assert chosen([{"epoch": 3, "ok": True, "note": "x"}]) is None
    for text in ("", "min:", "most:loss"):
        with pytest.raises(HpcwatchError):
            parse_goal(text)
