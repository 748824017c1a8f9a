"""Hours, waste, the one change, sums that say how many jobs they cover, and quantiles."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any

import pytest

from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.history import GPU_IN_CORES, Hours, Totals, Worst, change_for, hours_of
from hpcwatch.analysis.history_groups import NO_NAME, OTHERS, RUNNING, Groups
from hpcwatch.analysis.history_quantiles import Quantiles
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers.history import PastJob, Source
from hpcwatch.cluster.schedulers.job import JobState

FREE = Rates()


def job(**fields: Any) -> PastJob:
    """A job that has completed after 2 h on 20 cores, of which one was busy."""
    base: dict[str, Any] = {
        "id": "7",
        "scheduler": "slurm",
        "state": JobState.COMPLETED,
        "started_at_s": 1e6,
        "ended_at_s": 1e6 + 7200,
        "ran_s": 7200.0,
        "walltime_s": 10800,
        "nodes_count": 1,
        "cores_count": 20,
        "gpus_count": 0,
        "cpu_s": 7200.0,
        "memory_requested_bytes": 8 * GIB,
        "memory_bytes": 6 * GIB,
        "memory_from": Source.STEP,
    }
    return PastJob(**{**base, **fields})


def change(**fields: Any) -> str:
    one = job(**fields)
    return change_for(one, hours_of(one, FREE))


def test_hours() -> None:
    assert hours_of(job(), FREE) == Hours(40, 38, 0, 0)
    assert hours_of(job(gpus_count=2, gpus_used=0.5), FREE) == Hours(40, 38, 4, 3)


def test_more_cpu_than_cores_is_no_negative_waste() -> None:
    assert hours_of(job(cpu_s=1e9, gpus_count=1, gpus_used=1.5), FREE) == Hours(40, 0, 2, 0)


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        ({"cpu_s": None}, Hours(40, None, 0, 0)),
        ({"cores_count": None}, Hours(None, None, 0, 0)),
        ({"gpus_count": None}, Hours(40, 38, None, None)),
        ({"gpus_count": 2}, Hours(40, 38, 4, None)),
        ({"ran_s": None}, Hours(None, None, None, None)),
    ],
)
def test_what_is_unknown_makes_no_zero(fields: dict[str, Any], hours: Hours) -> None:
    assert hours_of(job(**fields), FREE) == hours


def test_a_job_that_never_started_took_nothing() -> None:
    assert hours_of(job(ran_s=0.0, cpu_s=None, gpus_count=None), FREE) == Hours(0, 0, 0, 0)


def test_costs() -> None:
    rates = Rates(1.0, 10.0, "EUR")
    hours = hours_of(job(gpus_count=2, gpus_used=0.5), rates)
    assert (hours.cost, hours.idle_cost, hours.waste) == (80, 68, 68)
    assert hours_of(job(gpus_count=None), rates).cost is None, "devices may have been used"
    assert hours_of(job(gpus_count=None), Rates(1.0)).cost == 40


def test_sums_say_how_many_jobs_they_cover() -> None:
    totals = Totals()
    for one in (job(), job(cpu_s=None), job(cores_count=None)):
        totals.add(one, hours_of(one, FREE))
    assert (totals.jobs_count, totals.core.known_count, totals.idle_core.known_count) == (3, 2, 1)
    assert (totals.core.value, totals.idle_core.value) == (80, 38)


def test_the_worst_are_those_with_the_most_waste() -> None:
    worst = Worst()
    for index in range(100):
        one = job(id=str(index), ran_s=3600.0 * ((index * 37) % 100), cpu_s=0.1)
        worst.add(one, hours_of(one, FREE))
    assert [int(one.id) * 37 % 100 for one, _ in worst.jobs()] == [99, 98, 97, 96, 95]


def test_an_idle_device_weighs_more_than_a_core() -> None:
    assert Hours(None, 1.0, None, 2.0).waste == 1 + 2 * GPU_IN_CORES


def test_a_few_minutes_are_no_waste_to_name() -> None:
    worst = Worst()
    one = job(ran_s=10.0, cpu_s=0.1)
    worst.add(one, hours_of(one, FREE))
    assert worst.jobs() == []


CHANGES = [
    ({}, "1 of 20 cores busy on average: request 1, or make the program use them"),
    ({"cpu_s": 7200 * 4.2}, "4.2 of 20 cores busy on average: request 6, or make the program"),
    ({"cpu_s": 7200 * 18}, ""),
    ({"cpu_s": None}, ""),
    ({"state": JobState.OUT_OF_MEMORY, "memory_bytes": 8 * GIB}, "out of memory: request 12 GiB"),
    ({"state": JobState.OUT_OF_MEMORY, "nodes_count": 2}, "request 6 GiB per node"),
    ({"state": JobState.OUT_OF_MEMORY, "memory_requested_bytes": None}, "request more"),
    ({"is_step_out_of_memory": True}, "it ran out of memory"),
    ({"state": JobState.TIMEOUT}, "it ended at its walltime: request 4:30:00, or write"),
    ({"gpus_count": 2, "gpus_used": 0.0}, "its 2 GPUs did nothing: request none"),
    ({"gpus_count": 1, "gpus_used": 0.0}, "its 1 GPU did nothing: request none"),
    ({"gpus_count": 4, "gpus_used": 1.2}, "1.2 of 4 GPUs busy: request 2"),
    (
        {"gpus_count": 4, "gpus_used": 1.2, "gpus_from": Source.PEAKS},
        "at most 1.2 of 4 GPUs busy",
    ),
    ({"gpus_count": 2, "gpus_used": 1.9}, ""),
    ({"gpus_count": 2}, ""),
    ({"cores_count": 1, "memory_bytes": GIB}, "1 of 8 GiB of memory used: request 2 GiB"),
    ({"cores_count": 1, "memory_bytes": GIB, "memory_from": Source.TASK}, ""),
    ({"cores_count": 1, "walltime_s": 72000}, "2:00:00 of 20:00:00 used: request 2:25:00"),
    ({"ended_at_s": None}, ""),
]


@pytest.mark.parametrize(("fields", "words"), CHANGES)
def test_the_one_change(fields: dict[str, Any], words: str) -> None:
    said = change(**fields)
    assert words in said
    assert bool(words) == bool(said)


def quantiles_of(values: list[float]) -> Quantiles:
    made = Quantiles()
    for value in values:
        made.add(value)
    return made


def test_few_figures_are_exact() -> None:
    spread = quantiles_of([float(value) for value in range(1, 101)]).spread()
    assert spread is not None
    assert spread == (1, 25, 50, 75, 95, 100, 100)
    assert quantiles_of([7.0]).spread() == (7, 7, 7, 7, 7, 7, 1)
    assert Quantiles().spread() is None


def test_many_figures_are_within_half_a_percent() -> None:
    chance = random.Random(3)
    values = [chance.lognormvariate(8, 3) for _ in range(50_000)] + [0.0] * 100
    chance.shuffle(values)
    spread = quantiles_of(values).spread()
    assert spread is not None
    ordered = sorted(values)
    assert (spread.least, spread.most, spread.known_count) == (0.0, ordered[-1], len(values))
    for found, share in zip(spread[1:5], (0.25, 0.5, 0.75, 0.95)):
        exact = ordered[int(share * len(ordered))]
        assert found == pytest.approx(exact, rel=0.0075)


def test_unknown_figures_are_left_out() -> None:
    made = quantiles_of([1.0])
    made.add(None)
    spread = made.spread()
    assert spread is not None
    assert spread.known_count == 1


def test_groups_keep_no_jobs() -> None:
    chance = random.Random(4)
    groups = Groups("name")

    def feed(count: int) -> None:
        for _ in range(count):
            one = job(ran_s=chance.uniform(1, 1e6), name=f"n{chance.randrange(20)}")
            groups.add(one, hours_of(one, FREE))

    feed(30_000)
    tracemalloc.start()
    feed(30_000)
    grown_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown_bytes < 2_000_000, "30,000 jobs would take ten"
    assert sum(group.totals.jobs_count for group in groups.groups()) == 60_000


def test_names_without_end_share_a_group() -> None:
    groups = Groups("name")
    for index in range(25_000):
        groups.add(job(name=f"n{index}", cpu_s=None, cores_count=None), Hours(*[None] * 4))
    found = groups.groups()
    assert len(found) == 20_001
    assert max(found, key=lambda group: group.totals.jobs_count).name == OTHERS


def test_jobs_without_the_key() -> None:
    for by, name in (("account", NO_NAME), ("day", RUNNING)):
        groups = Groups(by)
        one = job(ended_at_s=None)
        groups.add(one, hours_of(one, FREE))
        assert [group.name for group in groups.groups()] == [name]
    arrays = Groups("array")
    arrays.add(job(), hours_of(job(), FREE))
    assert (arrays.groups(), arrays.left_out_count) == ([], 1)


def test_days_are_in_their_order() -> None:
    groups = Groups("day")
    for day in (3, 1, 2):
        one = job(ended_at_s=1.7e9 + 86400 * day)
        groups.add(one, hours_of(one, FREE))
    names = [group.name for group in groups.groups()]
    assert names == sorted(names)
    assert len(names) == 3
