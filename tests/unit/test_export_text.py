"""Both text formats, judged by Prometheus' own parsers: hostile names change nothing."""

from __future__ import annotations

import math

import pytest
from export_scenes import classically, families, openly, sample, scene, value
from hypothesis import given
from hypothesis import strategies as st
from report_scenes import ATTACKS

from hpcwatch.export import text
from hpcwatch.export.families import GAUGE, Family, Point
from hpcwatch.export.points import points_of

FAMILY = Family("a_bytes", GAUGE, 'A "quoted" \\ help\nof two lines.')

HOSTILE = (
    'quo"te',
    "back\\slash",
    "new\nline",
    '\\n"}\nhpcwatch_cpus 99\n#',
    '"} 1\na_bytes{x="',
    "",
    "ünïcode ☃",
    "# EOF",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_comes_back_as_it_was(name: str) -> None:
    points = [Point(FAMILY, (("node", name), ("gpu", "0")), 1.5)]
    for told in (openly(points), classically(points)):
        assert [(one.labels["node"], one.value) for one in told] == [(name, 1.5)]


@given(st.text(max_size=40), st.floats(allow_nan=False, allow_infinity=False))
def test_any_text_is_one_label_and_any_number_is_itself(name: str, number: float) -> None:
    points = [Point(FAMILY, (("node", name),), number)]
    for told in (openly(points), classically(points)):
        assert len(told) == 1
        assert told[0].value == number
        assert told[0].labels.keys() == {"node"}
        if name.isprintable():
            assert told[0].labels["node"] == name


@pytest.mark.parametrize("attack", [*ATTACKS, "x" * 100_000, "a\x00b", "\udcff", "\r\n"])
def test_no_attack_leaves_its_label(attack: str) -> None:
    for told in (openly(points_of(_attacked(attack))), classically(points_of(_attacked(attack)))):
        assert value(told, "hpcwatch_cpus") == 8
        assert all(one.name.startswith("hpcwatch_") for one in told)
        assert all(len(word) <= 512 for one in told for word in one.labels.values())
        letters = "".join(word for one in told for word in one.labels.values())
        assert letters.replace("\n", "").isprintable()


def _attacked(attack: str):  # type: ignore[no-untyped-def]
    gpus = [gpu._replace(name=attack, uuid=attack) for gpu in sample("n", 0).gpus or []][:1]
    made = scene([sample(attack, step, gpus=gpus) for step in (0, 1)])
    job = made.about.job
    assert job is not None
    named = job._replace(id=attack, name=attack, queue=attack)
    return made._replace(about=made.about._replace(job=named, user=attack, name=attack))


def test_of_two_numbers_with_the_same_labels_one_is_written() -> None:
    points = [Point(FAMILY, (("a", "1"),), 1), Point(FAMILY, (("a", "1"),), 2)]
    assert [one.value for one in openly(points)] == [1]


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_unknown(odd: float) -> None:
    assert openly([Point(FAMILY, (), odd)]) == []


def test_openmetrics_names_units_and_ends_with_its_mark() -> None:
    made = text.openmetrics(points_of(scene()))
    assert made.endswith("\n# EOF\n")
    found = {one.name: one for one in families(made)}
    assert found["hpcwatch_cpu_seconds"].type == "counter"
    assert found["hpcwatch_cpu_seconds"].unit == "seconds"
    assert found["hpcwatch_gpu_utilization_ratio"].unit == "ratio"
    assert found["hpcwatch_job"].type == "info"
    assert found["hpcwatch_processes"].unit == ""
