"""Samples as columns: rates from counters, gaps, windows, and what is forgotten."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_parts import GIB, START_S, full_sample, job, sample

from hpcwatch.analysis.timeline import HOST_METRICS, HostTimeline, Timeline, cpu_counter_s
from hpcwatch.probe.schema import Cgroup, Gpu, GpuProcess, JobUse, Node, Process, Sample
from hpcwatch.recording.merging import merge


def host(samples: list[Sample], interval_s: float = 1.0, **options: Any) -> HostTimeline:
    timeline = Timeline(interval_s, **options)
    timeline.add_all(samples)
    (only,) = timeline.hosts.values()
    return only


def column(of: HostTimeline, metric: str) -> list[float]:
    return list(of.columns[metric].mean)


def test_cores_are_the_rate_of_the_cpu_counter() -> None:
    made = host([sample(t, job=job(cpu)) for t, cpu in ((0, 0.0), (1, 2.0), (3, 3.0))])
    assert column(made, "cpu_cores")[1:] == [2.0, 0.5]
    assert math.isnan(column(made, "cpu_cores")[0])


def test_cores_are_never_negative_and_nothing_counts_twice() -> None:
    made = host([sample(t, job=job(cpu)) for t, cpu in ((0, 0.0), (1, 4.0), (2, 3.0), (3, 5.0))])
    assert column(made, "cpu_cores")[1:] == [4.0, 0.0, 1.0]


def test_a_counter_that_was_reset_is_unknown_for_one_sample() -> None:
    values = ((0, 100), (1, 300), (2, 50), (3, 150))
    nodes = [Node(net_received_bytes=value, net_sent_bytes=0) for _, value in values]
    made = host([sample(t, node=node) for (t, _), node in zip(values, nodes, strict=True)])
    rates = column(made, "net_bytes_per_s")
    assert [rates[1], rates[3]] == [200.0, 100.0]
    assert math.isnan(rates[2])


def test_an_unknown_counter_is_unknown_not_zero() -> None:
    made = host([sample(t, job=job(t)) for t in range(3)])
    for metric in ("read_bytes_per_s", "node_busy_cores", "used_bytes", "limit_bytes"):
        assert all(math.isnan(value) for value in column(made, metric)), metric


def test_a_sample_that_is_not_later_is_left_out() -> None:
    made = host([sample(t) for t in (0, 1, 1, 0.5, 2)])
    assert list(made.at_s) == [START_S, START_S + 1, START_S + 2]
    assert made.reading_count == 3


def test_a_gap_is_not_covered() -> None:
    made = host([sample(t, job=job(t, GIB)) for t in (0, 1, 2, 62, 63)])
    part = made.part("used_bytes", START_S, START_S + 63)
    assert list(made.span_s) == [0, 1, 1, 2.5, 1]
    assert part.known_s == 5.5
    assert part.coverage == pytest.approx(5.5 / 63)


def test_a_part_begins_after_its_start_and_ends_with_its_end() -> None:
    made = host([sample(t, job=job(t, t * GIB)) for t in range(11)])
    part = made.part("used_bytes", START_S + 2.5, START_S + 7)
    assert [at - START_S for at in part.at_s] == [3, 4, 5, 6, 7]
    assert part.span_s == [0.5, 1, 1, 1, 1]
    assert part.coverage == 1.0
    assert part.average() == pytest.approx((0.5 * 3 + 4 + 5 + 6 + 7) / 4.5 * GIB)
    assert (min(part.low), part.highest(), part.last()) == (3 * GIB, 7 * GIB, 7 * GIB)
    assert part.time_where(lambda low, mean, high: mean > 5 * GIB) == 2


def test_a_part_of_nothing_is_unknown() -> None:
    part = host([sample(0)]).part("used_bytes", START_S + 5, START_S + 9)
    assert part.coverage == 0
    assert all(math.isnan(value) for value in (part.average(), part.highest(), part.last()))
    assert host([sample(0)]).part("used_bytes", START_S, START_S).coverage == 0


def merged(samples: list[Sample]) -> Sample:
    first, *rest = samples
    for one in rest:
        first = merge(first, one)
    return first


def test_a_window_keeps_its_spike_and_stands_for_its_time() -> None:
    peaks = [1, 1, 30, 1, 1, 1, 1, 2]
    samples = [full_sample(t, gib * GIB) for t, gib in enumerate(peaks)]
    made = host([merged(samples[:4]), merged(samples[4:])])
    part = made.part("used_bytes", START_S + 3, START_S + 7)
    for metric in ("used_bytes", "rss_bytes"):
        assert made.columns[metric].high[0] == 30 * GIB
    assert made.used_peak_bytes == 30 * GIB
    assert part.average() == pytest.approx(1.25 * GIB)
    assert part.coverage == 1.0
    assert made.reading_count == 8
    # What counts against the node's memory is everybody's.
    assert made.columns["charged_bytes"].high[0] == 46 * GIB


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=2**45), min_size=4, max_size=40), st.data())
def test_thinning_changes_neither_peak_nor_cpu_nor_mean(
    used: list[int], data: st.DataObject
) -> None:
    samples = [sample(t, job=job(t / 2, value)) for t, value in enumerate(used)]
    size = data.draw(st.integers(min_value=2, max_value=8))
    thin = [merged(samples[n : n + size]) for n in range(0, len(samples), size)]
    fine, coarse = host(samples), host(thin)
    assert fine.used_peak_bytes == coarse.used_peak_bytes
    assert fine.reading_count == coarse.reading_count
    start_s, end_s = START_S + size - 1, START_S + len(samples) - 1
    if end_s > start_s:
        means = [one.part("cpu_cores", start_s, end_s).average() for one in (fine, coarse)]
        assert means[0] == pytest.approx(means[1])
        means = [one.part("used_bytes", start_s, end_s).average() for one in (fine, coarse)]
        assert means[0] == pytest.approx(means[1], abs=1)


def test_live_only_the_latest_samples_are_kept() -> None:
    samples = [full_sample(t, 9 * GIB if t == 3 else GIB) for t in range(1000)]
    made = host(samples, most_samples=100)
    assert 100 <= len(made.at_s) <= 125
    for metric in HOST_METRICS:
        assert len(made.columns[metric].high) == len(made.at_s)
    for gpu in made.gpus.values():
        assert {len(one.low) for one in gpu.columns.values()} == {len(made.at_s)}
    assert made.used_peak_bytes == 9 * GIB, "what was largest stays known"
    assert made.reading_count == 1000
    assert list(made.at_s)[-1] == START_S + 999


def test_a_long_run_of_short_processes_does_not_fill_memory() -> None:
    timeline = Timeline(1.0, most_samples=100)
    for second in range(3000):
        pids = range(10 * second, 10 * second + 10)
        listed = [Process(pid, 1, "x", "R", ["x"] * 5, cpu_user_s=0.01) for pid in pids]
        timeline.add(sample(second, processes=listed))
    (made,) = timeline.hosts.values()
    assert len(made.processes) < 5000


def test_a_short_busy_process_among_thousands_is_remembered() -> None:
    timeline = Timeline(1.0, most_samples=100)
    for second in range(1000):
        cpu_s = 500.0 if second == 10 else 0.01
        pids = range(10 * second, 10 * second + 10)
        listed = [Process(pid, 1, "x", "R", cpu_user_s=cpu_s, rss_bytes=1) for pid in pids]
        timeline.add(sample(second, processes=listed))
    (made,) = timeline.hosts.values()
    assert set(range(100, 110)) <= set(made.processes)


def gpu(uuid: str, **fields: Any) -> Gpu:
    return Gpu(0, uuid, "K40m", **fields)


def test_a_device_that_comes_late_or_goes_is_unknown_meanwhile() -> None:
    made = host(
        [
            sample(0, gpus=[]),
            sample(1, gpus=[gpu("a", util_pct=50.0)]),
            sample(2, gpus=None),
            sample(3, gpus=[gpu("a", util_pct=70.0), gpu("b")]),
        ]
    )
    utils = list(made.gpus["a"].columns["util_pct"].mean)
    assert [utils[1], utils[3]] == [50.0, 70.0]
    assert [math.isnan(value) for value in utils] == [True, False, True, False]
    assert len(made.gpus["b"].columns["util_pct"].mean) == 4


def test_memory_held_on_a_device_is_the_job_s_own() -> None:
    listed = [Process(7, 1, "python", "R")]
    holders = [GpuProcess(7, 5 * GIB), GpuProcess(8, 2 * GIB)]
    made = host([sample(0, processes=listed, gpus=[gpu("a", processes=holders)])])
    assert list(made.gpus["a"].columns["held_bytes"].mean) == [5 * GIB]
    assert made.gpus["a"].holders == {7: 5 * GIB}
    unknown = host([sample(0, processes=listed, gpus=[gpu("a", processes=[GpuProcess(7)])])])
    assert math.isnan(unknown.gpus["a"].columns["held_bytes"].mean[0])


def test_the_spike_of_a_device_survives_a_window() -> None:
    samples = [
        sample(t, gpus=[gpu("a", util_pct=10.0, util_max_pct=most)])
        for t, most in enumerate((20.0, 99.0, 20.0))
    ]
    made = host([merged(samples)])
    assert made.gpus["a"].columns["util_pct"].high[0] == 99.0


def test_the_cpu_counter_that_counts() -> None:
    group = Cgroup("/job", True, cpu_s=50.0)
    assert cpu_counter_s(sample(0, job=job(7.0), cgroup=group)) == 7.0
    other = job(7.0)._replace(found_by="cgroup")
    assert cpu_counter_s(sample(0, job=other, cgroup=group)) == 50.0
    assert cpu_counter_s(sample(0, job=other, cgroup=group._replace(is_job=False))) == 7.0
    assert cpu_counter_s(sample(0)) is None


@given(st.lists(st.sampled_from(["job", "node", "none"]), min_size=1, max_size=30))
def test_columns_are_as_long_as_there_are_samples(kinds: list[str]) -> None:
    parts: dict[str, dict[str, Any]] = {"job": {"job": job(1.0)}, "node": {"node": Node()}}
    made = host([sample(t, **parts.get(kind, {})) for t, kind in enumerate(kinds)])
    assert {len(one.mean) for one in made.columns.values()} == {len(kinds)}


def test_facts_about_a_process_stay_known() -> None:
    def listed(name: str, argv: list[str] | None, peak: int | None, rss: int | None) -> Any:
        return [Process(7, 1, name, "R", argv, peak_bytes=peak, rss_bytes=rss)]

    made = host([sample(0, processes=listed("python", ["python", "a.py"], 50, 40))])
    made.append(sample(1, processes=listed("python", None, None, 60)))
    made.append(sample(2, processes=listed("python", None, 20, 20)))
    known = made.processes[7]
    assert (known.argv, known.peak_bytes, known.rss_bytes) == (["python", "a.py"], 60, 20)
    made.append(sample(3, processes=listed("bash", None, None, None)))
    assert made.processes[7].argv is None, "another program now"
    assert made.processes[7].peak_bytes == 60
    made.append(sample(4))
    assert made.processes[7].name == "bash", "as it was last named"


def test_cores_of_a_process_since_the_sample_before() -> None:
    def listed(cpu_s: float) -> list[Process]:
        return [Process(7, 1, "python", "R", cpu_user_s=cpu_s, cpu_system_s=0.0)]

    made = host([sample(0, processes=listed(5.0)), sample(2, processes=listed(8.0))])
    assert made.process_cores == {7: 1.5}
    made = host([sample(0, processes=listed(5.0)), sample(1, processes=[])])
    assert made.process_cores == {}
    made = host([sample(0, processes=listed(5.0)), sample(1, processes=listed(4.0))])
    assert made.process_cores == {7: 0.0}, "its number was given to another process"


def test_a_merged_sample_shows_what_each_showed_where_others_are_hidden() -> None:
    """With hidepid the job's memory is the node's: live and recorded agree after thinning."""
    hidden = JobUse("visible", process_count=1, used_bytes=GIB)
    samples = [
        sample(t, job=hidden, node=Node(memory_total_bytes=64 * GIB, memory_available_bytes=left))
        for t, left in ((0, 50 * GIB), (1, 4 * GIB), (2, 40 * GIB), (3, 44 * GIB))
    ]
    live = host(samples)
    recorded = host([merge(samples[0], samples[1]), merge(samples[2], samples[3])])
    assert list(live.columns["used_bytes"].high) == [14 * GIB, 60 * GIB, 24 * GIB, 20 * GIB]
    assert list(recorded.columns["used_bytes"].high) == [60 * GIB, 24 * GIB]
    assert list(recorded.columns["used_bytes"].low) == [14 * GIB, 20 * GIB]
    assert recorded.used_peak_bytes == live.used_peak_bytes == 60 * GIB


def in_job(t: float, rest: JobUse | None, errors: dict[str, str] | None = None) -> Sample:
    own = JobUse("tree", 1, 1, cpu_user_s=t, cpu_system_s=0.0, used_bytes=GIB, is_whole_job=True)
    return sample(t, job=own, rest=rest, errors=errors)


def beside(cpu_s: float, used_bytes: int | None = 2 * GIB) -> JobUse:
    return JobUse("shepherd", 1, 1, cpu_user_s=cpu_s, cpu_system_s=0.0, used_bytes=used_bytes)


def test_a_job_is_unknown_while_its_other_processes_cannot_be_read() -> None:
    failed = in_job(2, None, {"job": "PermissionError: no"})
    made = host([in_job(0, beside(0)), in_job(1, beside(3)), failed, in_job(3, beside(9))])
    cores, used = column(made, "cpu_cores"), column(made, "used_bytes")
    assert cores[1] == 4.0
    assert math.isnan(cores[2])
    assert math.isnan(cores[3])
    assert [used[0], used[1], used[3]] == [3 * GIB] * 3
    assert math.isnan(used[2])


def test_a_part_whose_memory_is_unknown_makes_the_job_s_unknown() -> None:
    made = host([in_job(0, beside(0)), in_job(1, beside(1, used_bytes=None))])
    assert column(made, "used_bytes")[0] == 3 * GIB
    assert math.isnan(column(made, "used_bytes")[1])


def test_the_sums_of_the_latest_sample_are_those_of_its_columns() -> None:
    samples = [full_sample(t) for t in range(4)]
    made = Timeline(1.0)
    kept = []
    for one in samples:
        made.add(one)
        (only,) = made.hosts.values()
        kept.append(only.sums_at(len(only.at_s) - 1))
    again = [only.sums_at(index) for index in range(4)]
    assert str(kept) == str(again)
    last = kept[-1]
    assert last.cores == only.columns["cpu_cores"].mean[-1] > 0
    assert last.used_bytes == only.columns["used_bytes"].mean[-1] > 0
    utils = [gpu.columns["util_pct"].mean[-1] for gpu in only.gpus.values()]
    assert last.gpus == sum(utils) / 100 > 0
    only.forget(2)
    assert only.sums_at(1) == last


def test_after_the_end_of_the_job_the_sums_say_nothing() -> None:
    made = host([full_sample(t) for t in range(4)])
    assert made.sums_at(3).used_bytes > 0
    made.end_at(made.at_s[1])
    assert math.isnan(made.sums_at(3).used_bytes)
    assert made.sums_at(1).used_bytes > 0
