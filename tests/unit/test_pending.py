"""A line that is merged as its samples come holds what merging them one by one makes of them."""

from __future__ import annotations

from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from unit_parts import full_sample

from hpcwatch.probe.schema import Cgroup, Gpu, JobUse, Node, Sample, from_line, to_line
from hpcwatch.recording.merging import count, merge
from hpcwatch.recording.pending import Pending


def record(kind: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Records with these fields; hypothesis does not understand their annotations."""
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


number = st.none() | st.integers(0, 1 << 40)
share = st.none() | st.floats(0, 100)
nodes = record(Node, runnable_count=number, memory_available_bytes=number, load_1min_count=share)
groups = record(
    Cgroup, path=st.just("/g"), is_job=st.booleans(), used_bytes=number, cache_bytes=number
)
uses = record(
    JobUse,
    found_by=st.sampled_from(["tree", "cgroup", "visible"]),
    process_count=st.integers(0, 3),
    used_bytes=number,
    huge_bytes=st.sampled_from([None, 0, 1 << 30]),
    is_whole_job=st.sampled_from([None, True, False]),
)
gpus = record(
    Gpu,
    index=st.just(0),
    uuid=st.sampled_from(["GPU-a", "GPU-b"]),
    name=st.just("H100"),
    util_pct=share,
    memory_used_bytes=number,
    clocks_held_by=st.none() | st.lists(st.sampled_from(["heat", "power"]), max_size=2),
)
readings = record(
    Sample,
    host=st.just("n1"),
    at_s=st.just(0.0),
    uptime_s=st.just(0.0),
    node=st.none() | nodes,
    cgroup=st.none() | groups,
    job=st.none() | uses,
    rest=st.none() | uses,
    gpus=st.none() | st.lists(gpus, max_size=3),
    errors=st.none()
    | st.fixed_dictionaries({}, optional={"job": st.just("?"), "gpu": st.just("!")}),
)


def in_time(samples: list[Sample]) -> list[Sample]:
    return [one._replace(at_s=10.0 + at, uptime_s=5.0 + at) for at, one in enumerate(samples)]


def pending(samples: list[Sample]) -> Pending:
    made = Pending(samples[0])
    for sample in samples[1:]:
        made.add(sample)
    return made


@given(st.lists(readings, min_size=1, max_size=8))
def test_any_samples(told: list[Sample]) -> None:
    samples = in_time(told)
    made = pending(samples)
    assert made.merged() == reduce(merge, samples)
    assert made.count == len(samples)


@given(st.lists(st.lists(readings, min_size=1, max_size=3), min_size=1, max_size=4))
def test_some_samples_that_are_merged_already(told: list[list[Sample]]) -> None:
    samples = [reduce(merge, in_time(part)) for part in told]
    made = pending(samples)
    assert made.merged() == reduce(merge, samples)
    assert made.count == sum(map(count, samples))


def test_samples_without_a_gauge() -> None:
    samples = in_time([Sample("n1", 0.0, 0.0)] * 3)
    assert pending(samples).merged() == reduce(merge, samples)


def test_two_devices_of_one_name() -> None:
    twice = [Gpu(0, "GPU-a", "H100", util_pct=1.0), Gpu(1, "GPU-a", "H100", util_pct=2.0)]
    samples = in_time([Sample("n1", 0.0, 0.0, gpus=twice)] * 3)
    assert pending(samples).merged() == reduce(merge, samples)


def test_an_unread_rest_of_the_job() -> None:
    use, group = JobUse("tree", 1, used_bytes=7, is_whole_job=True), Cgroup("/g", is_job=False)
    told = [None, {"job": "denied"}, None, None, {"job": "denied"}, {"job": "denied"}, None]
    for rest in (None, JobUse("cgroup", 1, used_bytes=5)):
        samples = in_time(
            [Sample("n1", 0, 0, cgroup=group, job=use, rest=rest, errors=one) for one in told]
        )
        assert pending(samples).merged() == reduce(merge, samples)


def test_the_same_line_to_the_letter() -> None:
    samples = [full_sample(second) for second in range(20)]
    assert to_line(pending(samples).merged()) == to_line(reduce(merge, samples))


def test_a_line_goes_on_after_it_was_looked_at() -> None:
    samples = [full_sample(second) for second in range(5)]
    made = pending(samples[:4])
    assert from_line(to_line(made.merged())).window == reduce(merge, samples[:4]).window
    made.add(samples[4])
    assert made.merged() == reduce(merge, samples)
