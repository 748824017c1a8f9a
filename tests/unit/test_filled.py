"""Our samples of a job and somebody else's in one timeline: ours win, and nothing counts twice."""

from __future__ import annotations

from typing import Any

import pytest

from hpcwatch.analysis.report.nodes import read_s_of
from hpcwatch.analysis.report.records import whole
from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.analysis.timeline.filled import contradicted, filled, is_filled
from hpcwatch.analysis.timeline.others import Others, short
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.probe.schema import Cgroup, Gpu, Node, Sample, Window

START_S = 1_700_000_000.0
STEP_S = 60.0


def ours(after_s: float, cpu_s: float = 0.0, peak: int | None = None, **more: Any) -> Sample:
    group = Cgroup("/job", is_job=True, cpu_s=cpu_s or after_s, used_bytes=400, peak_bytes=peak)
    return Sample("n1.site", START_S + after_s, 5e6 + after_s, cgroup=group, **more)


def theirs(after_s: float, used: int | None = 100, host: str = "n1", **more: Any) -> Sample:
    group = Cgroup("", is_job=True, cpu_s=after_s, used_bytes=used)
    return Sample(host, START_S + after_s, 1000 + after_s, cgroup=group, **more)


def joined(own: list[Sample], others: list[Sample], interval_s: float = 10.0) -> Timeline:
    seen = Timeline(interval_s)
    seen.add_all(own)
    return filled(iter(own), seen, Others(others, STEP_S), interval_s, None)


def host_of(own: list[Sample], others: list[Sample]) -> HostTimeline:
    (host,) = joined(own, others).hosts.values()
    return host


def at_s(host: HostTimeline) -> list[float]:
    return [one - START_S for one in host.at_s]


def each(first_s: int, last_s: int, step_s: int) -> range:
    return range(first_s, last_s + 1, step_s)


def test_of_the_time_that_we_watched_nothing_is_another_s() -> None:
    own = [ours(after_s) for after_s in each(600, 700, 10)]
    host = host_of(own, [theirs(after_s) for after_s in each(0, 1200, 60)])
    assert at_s(host) == [*each(0, 540, 60), *each(600, 700, 10), *each(720, 1200, 60)]
    assert sum(host.span_s) <= 1200.0
    used = whole(host, "used_bytes")
    assert used.known_s == pytest.approx(1200, abs=60)
    cores = whole(host, "cpu_cores")
    assert [one for one in cores.mean if one == one] == pytest.approx([1.0] * 28)


def test_a_gap_between_our_samples_is_filled_and_a_stored_window_is_not() -> None:
    window = Window(START_S + 600, 60, {})
    own = [ours(0), ours(10), ours(1200, window=window), ours(1210)]
    host = host_of(own, [theirs(after_s) for after_s in each(0, 1200, 60)])
    assert at_s(host) == [0, 10, *each(60, 540, 60), 1200, 1210]
    assert host.interval_s == STEP_S


def test_a_counter_that_two_sources_count_is_not_added_up() -> None:
    own = [ours(after_s) for after_s in each(600, 700, 10)]
    host = host_of(own, [theirs(after_s) for after_s in each(0, 1200, 60)])
    assert host.filled is not None
    assert (host.cpu_s, host.filled.cpu_s) == (700, 1200)


def test_a_mark_of_the_kernel_bounds_nothing_that_came_later() -> None:
    own = [ours(after_s, peak=500) for after_s in (0, 10)]
    later = [theirs(60, used=900)]
    assert host_of(own, later).marks.most_bytes is None
    assert host_of(own, later).used_peak_bytes == 900
    again = host_of([*own, ours(100, peak=950)], later)
    assert again.marks.most_bytes == 950


def gpu(uuid: str, index: int, util_pct: float) -> Gpu:
    return Gpu(index, uuid, "A100", util_pct=util_pct)


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ([("GPU-a", 0), ("GPU-b", 1)], {"GPU-a", "GPU-b"}),
        ([("GPU-b", 0)], {"GPU-b"}),
        ([("0", 0), ("1", 1)], {"GPU-a", "GPU-b"}),
        ([("0", 0)], set()),  # it may be the number within the job
        ([("2", 2), ("3", 3)], set()),
        ([("GPU-x", 0), ("GPU-y", 1)], set()),
    ],
)
def test_a_device_is_ours_by_its_uuid_else_if_all_numbers_are(
    names: list[tuple[str, int]], known: set[str]
) -> None:
    own = [ours(after_s, gpus=[gpu("GPU-a", 0, 0.0), gpu("GPU-b", 1, 0.0)]) for after_s in (0, 10)]
    seen = [gpu(uuid, index, 80.0) for uuid, index in names]
    host = host_of(own, [theirs(after_s, gpus=seen) for after_s in each(60, 600, 60)])
    assert set(host.gpus) == {"GPU-a", "GPU-b"}
    assert {uuid for uuid in host.gpus if whole(host, "util_pct", uuid).highest() == 80} == known
    assert all(one.health.coverage == 1.0 for one in host.gpus.values())


def test_a_device_that_we_cannot_read_is_not_lost() -> None:
    host = host_of(
        [ours(after_s) for after_s in each(300, 600, 10)],
        [theirs(after_s, gpus=[gpu("GPU-a", 0, 80.0)]) for after_s in each(0, 900, 60)],
    )
    (device,) = host.gpus.values()
    assert device.health.coverage is None
    assert device.health.lost_at_s is None
    assert whole(host, "util_pct", "GPU-a").known_s == pytest.approx(600, abs=60)


def test_the_time_that_is_read_is_that_for_which_all_is_known() -> None:
    own = [ours(after_s) for after_s in each(0, 100, 10)]
    blind = [theirs(after_s, used=None) for after_s in each(160, 1000, 60)]
    host = host_of(own, blind)
    assert read_s_of(host) == pytest.approx(100, abs=11)


def test_a_larger_count_at_an_earlier_time_is_not_of_this_job() -> None:
    own = [ours(after_s) for after_s in each(600, 700, 10)]
    ahead = [theirs(after_s)._replace(cgroup=Cgroup("", is_job=True, cpu_s=9.0 * after_s))
             for after_s in each(0, 1200, 60)]  # fmt: skip
    made = joined(own, ahead)
    assert contradicted(made) == ["n1.site"]
    left = joined(own, list(Others(ahead, STEP_S).without(contradicted(made)).samples))
    assert (contradicted(left), is_filled(left)) == ([], False)


def test_a_count_of_more_than_the_nodes_cores_can_use_is_wrong() -> None:
    """We saw the job's processes alone, so that no count of ours contradicts it."""
    job = Job("7", "slurm", nodes=("n1.site",), started_at_s=START_S)
    node = Node(cpu_count=4, memory_total_bytes=1000, memory_available_bytes=500)
    own = [ours(after_s, node=node)._replace(cgroup=None) for after_s in (0, 10)]
    seen = Timeline(10.0, job)
    seen.add_all(own)
    for cores, wrong in ((3.9, []), (5.0, ["n1.site"])):
        counts = [
            theirs(after_s)._replace(cgroup=Cgroup("", is_job=True, cpu_s=cores * after_s))
            for after_s in each(60, 600, 60)
        ]
        assert contradicted(filled(own, seen, Others(counts, STEP_S), 10.0, job)) == wrong


def test_a_node_that_we_did_not_watch_has_their_interval() -> None:
    own = [ours(after_s) for after_s in (0, 10)]
    made = joined(own, [theirs(after_s, host="n2") for after_s in each(0, 600, 60)])
    assert (list(made.hosts), is_filled(made)) == (["n1.site", "n2"], True)
    assert sum(made.hosts["n2"].span_s) == 600


def test_an_address_has_no_domain() -> None:
    assert [short(one) for one in ("N1.site", "n1", "10.0.0.5")] == ["n1", "n1", "10.0.0.5"]
