"""A sample's line: what is written comes back, and what is foreign is refused in one way."""

from __future__ import annotations

import itertools
import json
import tracemalloc
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcwatch.base.units import unit_of
from hpcwatch.probe.ranges import range_of
from hpcwatch.probe.schema import (
    Cgroup,
    Exported,
    Gpu,
    GpuProcess,
    JobUse,
    LogPiece,
    Mig,
    MountUse,
    Node,
    Process,
    RankUse,
    Sample,
    Stranger,
    Window,
    from_line,
    to_line,
)
from hpcwatch.probe.typed import meaning
from hpcwatch.recording.merging import GAUGES

PARTS = (Node, Cgroup, JobUse, Process, GpuProcess, Mig, Gpu, Stranger, Exported, MountUse)
RECORDS = (*PARTS, Window, Sample, LogPiece, RankUse)
IDENTITIES = {"pid", "ppid", "uid", "owner_uid", "index", "parent_index", "rank"}
IDENTITIES |= {"gpu_instance_id", "compute_instance_id", "pcie_generation", "pcie_generation_max"}
LEAVES = {str: st.text(max_size=12), bool: st.booleans()}


def strategy(hint: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a field of the schema: those that its annotation and its unit allow."""
    if hint in LEAVES:
        return LEAVES[hint]
    if hint is int:
        return st.integers(min_value=0, max_value=int(min(range_of(name).high, 2**62)))
    if hint is float:
        most = int(64 * min(range_of(name).high, 2**34))
        return st.integers(min_value=0, max_value=most).map(lambda number: number / 64)
    if hint in RECORDS:
        return st.builds(hint, **{one: strategy(of, one) for one, of in hints(hint).items()})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        (inner,) = (one for one in arguments if one is not type(None))
        return st.none() | strategy(inner, name)
    if origin is list:
        return st.lists(strategy(arguments[0], name), max_size=3)
    if origin is tuple:
        return st.tuples(*(strategy(one, name) for one in arguments))
    assert origin is dict
    return st.dictionaries(strategy(arguments[0]), strategy(arguments[1], name), max_size=3)


def hints(record: type) -> dict[str, Any]:
    own = typing.get_type_hints(record)
    return {name: meaning(hint) for name, hint in own.items()}


def is_numeric(hint: Any) -> bool:
    return hint in (int, float) or any(is_numeric(inner) for inner in typing.get_args(hint))


def numeric_fields() -> list[tuple[type, str]]:
    return [
        (record, name)
        for record in RECORDS
        for name, hint in hints(record).items()
        if is_numeric(hint) and name not in IDENTITIES and name not in ("gauges", "more")
    ]


@pytest.mark.parametrize(("record", "name"), numeric_fields())
def test_every_number_names_its_unit(record: type, name: str) -> None:
    assert unit_of(name) is not None, f"{record.__name__}.{name} carries no unit"


@pytest.mark.parametrize("kind", GAUGES)
def test_gauges_are_fields_of_their_record(kind: str) -> None:
    record = {"node": Node, "cgroup": Cgroup, "job": JobUse, "gpu": Gpu}[kind]
    assert set(GAUGES[kind]) <= set(hints(record))


@settings(max_examples=150, deadline=None)
@given(strategy(Sample))
def test_a_sample_comes_back(sample: Sample) -> None:
    line = to_line(sample)
    assert "\n" not in line
    assert line.isascii()
    assert from_line(line) == sample


@given(strategy(Sample), st.data())
@settings(max_examples=60, deadline=None)
def test_a_torn_line_is_refused(sample: Sample, data: st.DataObject) -> None:
    line = to_line(sample)
    end = data.draw(st.integers(min_value=0, max_value=len(line) - 1))
    with pytest.raises(ValueError, match=r".*"):
        from_line(line[:end])


def minimal(**changed: Any) -> dict[str, Any]:
    return {"version": 1, "host": "n1", "at_s": 1.0, "uptime_s": 1.0, **changed}


def test_unknown_keys_are_ignored_at_every_level() -> None:
    plain = minimal(
        future=1, node={"cpu_count": 2, "future": {}}, gpus=[{"index": 0, "uuid": "u", "name": "x"}]
    )
    plain["gpus"][0]["future"] = [1]
    sample = from_line(json.dumps(plain))
    assert sample.node == Node(cpu_count=2)
    assert sample.gpus == [Gpu(0, "u", "x")]


def test_a_newer_schema_is_refused_by_number() -> None:
    with pytest.raises(ValueError, match=r"schema 2, newer than this hpcwatch"):
        from_line(json.dumps(minimal(version=2)))


@pytest.mark.parametrize("version", ["Infinity", "-Infinity", "1e999", "9" * 400, "NaN", "2.5"])
def test_a_version_of_any_number_is_refused_or_known(version: str) -> None:
    line = json.dumps(minimal()).replace('"version": 1', f'"version": {version}')
    if version in ("-Infinity", "NaN"):
        assert from_line(line).host == "n1"
    else:
        with pytest.raises(ValueError, match="newer than this hpcwatch"):
            from_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "null",
        "5",
        "[]",
        "{}",
        "not json",
        '{"version": "1"}',
        '{"version": 1}',
        "[" * 100_000,
        '{"version":1,"host":' + "[" * 100_000,
    ],
    ids=lambda line: repr(line[:20]),
)
def test_foreign_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        from_line(line)


WRONG: dict[str, list[Any]] = {
    "host": [5, ["n1"], {"a": 1}],
    "at_s": ["1", [1.0], True],
    "uptime_s": ["1", {}],
    "node": [5, "x", [1], {"cpu_count": "2"}, {"core_busy_s": 3}, {"cpu_user_s": [1.0]}],
    "cgroup": [1, {"path": "/"}, {"path": 5, "is_job": True}],
    "job": [{}, {"found_by": "tree", "used_bytes": "1"}, {"found_by": "tree", "cpu_user_s": []}],
    "processes": [5, "x", {"a": 1}, [5], [{"pid": 1}], [{"pid": "1", "ppid": 1}]],
    "gpus": [5, [5], [{"index": 0}], [{"index": 0, "uuid": ["u"], "name": "x"}]],
    "errors": [5, "x", ["x"], {"a": 5}],
    "window": [5, {}, {"started_at_s": 1, "sample_count": 2, "gauges": 5}]
    + [
        {"started_at_s": 1, "sample_count": 2, "gauges": {"job.used_bytes": gauge}}
        for gauge in (5, [1, 2], [1, 2, "3"], [1, 2, 3, 4], None)
    ],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_values_of_a_wrong_kind_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        from_line(json.dumps(minimal(**{name: value})))


@pytest.mark.parametrize("name", ["name", "state"])
def test_a_process_with_a_number_for_a_text_is_refused(name: str) -> None:
    process = {"pid": 1, "ppid": 0, "name": "x", "state": "R", name: 5}
    with pytest.raises(ValueError, match=r".*"):
        from_line(json.dumps(minimal(processes=[process])))


@pytest.mark.parametrize("argv", [5, "python", [1], [None]])
def test_a_process_with_odd_arguments_is_refused(argv: object) -> None:
    process = {"pid": 1, "ppid": 0, "name": "x", "state": "R", "argv": argv}
    with pytest.raises(ValueError, match=r".*"):
        from_line(json.dumps(minimal(processes=[process])))


def test_numbers_are_written_short() -> None:
    window = Window(1.0, 3, {"job.used_bytes": (1.0, 10 / 3, 5.0)})
    line = to_line(Sample("n1", 10 / 3, 1.0, window=window))
    assert "3.333333," in line
    assert "3.33333333" not in line


ALIKE = (
    '"node":{"cpu_user_s":7.5}',
    '"node":{"core_busy_s":[1.5,7.5]}',
    '"job":{"found_by":"tree","process_count":1,"seen_count":1,"cpu_user_s":7.5}',
    '"window":{"started_at_s":1.0,"sample_count":2,"gauges":{"job.used_bytes":[1,2.5,7.5]}}',
)


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 400])
@pytest.mark.parametrize("known", ALIKE)
def test_a_number_out_of_its_range_is_unknown_and_noted(known: str, wrong: str) -> None:
    line = f'{{"host":"n1","at_s":1.0,"uptime_s":2.0,{known},"version":1}}'
    for _ in range(2):  # what is learnt of the first line is used on the second
        assert to_line(from_line(line)) == line
        sample = from_line(line.replace("7.5", wrong))
        name = next(name for name in ("cpu_user_s", "core_busy_s", "used_bytes") if name in known)
        assert name in (sample.errors or {})["out of range"]
        assert name not in to_line(sample._replace(errors=None))


@pytest.mark.parametrize("name", ["at_s", "uptime_s"])
@pytest.mark.parametrize("wrong", ["NaN", "1e18", "-1e18", "1e308"])
def test_a_line_of_a_time_that_cannot_be_is_refused(name: str, wrong: str) -> None:
    line = json.dumps(minimal()).replace(f'"{name}": 1.0', f'"{name}": {wrong}')
    with pytest.raises(ValueError, match=f"{name} cannot be"):
        from_line(line)


@pytest.mark.parametrize("value", [1e308, 101.5, -0.5])
def test_a_device_is_known_but_for_what_is_odd(value: float) -> None:
    device = {"index": 0, "uuid": "u", "name": "x", "util_pct": value, "power_w": 250.0}
    sample = from_line(json.dumps(minimal(gpus=[device])))
    assert sample.gpus == [Gpu(0, "u", "x", power_w=250.0)]
    assert sample.errors == {"out of range": "util_pct"}


@pytest.mark.parametrize("wrong", ['"7"', "true", "[7.0]"])
@pytest.mark.parametrize("known", ALIKE)
def test_a_line_like_one_that_was_good_is_checked_all_the_same(known: str, wrong: str) -> None:
    line = f'{{"host":"n1","at_s":1.0,"uptime_s":2.0,{known},"version":1}}'
    for _ in range(2):  # what is learnt of the first line is used on the second
        assert to_line(from_line(line)) == line
        with pytest.raises(ValueError, match="no"):
            from_line(line.replace("7.5", wrong))


def test_the_order_of_keys_and_unknown_ones_between_them_do_not_matter() -> None:
    known = {"pid": 7, "ppid": 1, "name": "x", "state": "R", "argv": ["x"], "user": None}
    expected = Process(7, 1, "x", "R", ["x"])
    for names in itertools.permutations(known):
        process = {name: known[name] for name in names}
        odd = {"future": "x", **process, "another": [1]}
        for _ in range(2):  # what is learnt of the first is used on the second
            sample = from_line(json.dumps(minimal(processes=[process, odd, process])))
            assert sample.processes == [expected] * 3
            with pytest.raises(ValueError, match="no text"):
                from_line(json.dumps(minimal(processes=[process, {**process, "argv": [1]}])))


def test_remembered_foreign_keys_take_little_memory() -> None:
    line = json.dumps(minimal(node={"cpu_count": 2}))
    tracemalloc.start()
    try:
        for number in range(200):
            key = f"{number}" * 20_000
            node = from_line(line.replace('"cpu_count"', f'"{key}": 1, "cpu_count"')).node
            assert node == Node(cpu_count=2)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 1e6


def test_a_count_that_no_number_can_hold_is_unknown() -> None:
    line = '{"host":"n1","at_s":1.0,"uptime_s":2.0,"node":{"cpu_count":8},"version":1}'
    assert from_line(line).node == Node(cpu_count=8)
    assert from_line(line.replace("8", "8" * 400)).node == Node()
