"""Memory shares, growth, requests and kinds: just below and just above every threshold."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import Device, Shape, When, ended, found, job, live, scope, timeline

from hpcwatch.analysis.findings import Severity
from hpcwatch.base.units import GIB, MIB

SHARE: dict[str, Any] = {"memory_over_share": {"memory_per_core_bytes": 4 * GIB}}
PART = job(node_cores_count=4)
OVER = "memory-over-share job"


def using(used: Any, **more: Any) -> Shape:
    return Shape(**{"used": used, "job": PART, "cpu_count": 20, **more})


@pytest.mark.parametrize(("gib", "fires"), [(15.9, False), (16.1, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_over_the_share_of_its_cores(gib: float, fires: bool, when: When) -> None:
    rules = found(when(using(gib * GIB)), **SHARE)
    assert (OVER in rules) is fires
    if fires:
        assert rules[OVER].directives[0].new == "#PBS -l nodes=1:ppn=5"
        assert rules[OVER].severity == Severity.CRITICAL


def test_over_share_guards() -> None:
    assert OVER not in found(live(using(20.0 * GIB)))  # no site share is configured
    assert OVER not in found(live(using(90.0 * GIB, job=job())), **SHARE)  # the whole node
    assert OVER not in found(live(using(20.0 * GIB, cpu_count=None)), **SHARE)
    assert OVER not in found(live(using(20.0 * GIB, job=None)), **SHARE)
    brief = using(lambda at: (20.0 if at > 810 else 1.0) * GIB)
    assert OVER not in found(live(brief), **SHARE)
    assert OVER in found(live(using(lambda at: (20.0 if at > 800 else 1.0) * GIB)), **SHARE)


GROWING = "memory-growing job"
LIMITED = job("slurm", node_memory_bytes=10 * GIB)


def growing(per_hour: float, length_s: float = 3600.0, **more: Any) -> Shape:
    """Memory that grows by such a share of 10 GiB an hour."""
    return Shape(
        **{
            "length_s": length_s,
            "used": lambda at: (2.0 + 10 * per_hour * at / 3600) * GIB,
            "job": LIMITED,
            **more,
        }
    )


@pytest.mark.parametrize(("per_hour", "fires"), [(0.099, False), (0.101, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_growing(per_hour: float, fires: bool, when: When) -> None:
    assert (GROWING in found(when(growing(per_hour)))) is fires


def test_growing_needs_an_hour_and_a_limit() -> None:
    assert GROWING not in found(live(growing(0.2, 3590)))
    assert GROWING not in found(ended(growing(0.2, 3590)))
    assert GROWING not in found(live(growing(0.2, job=job())))


def test_memory_that_levels_off_is_not_growing() -> None:
    def levels(at: float) -> float:
        return (2.0 + min(at, 6000.0) / 1000) * GIB  # ten of twelve blocks rise

    assert GROWING not in found(ended(growing(0.0, 7200, used=levels)))
    still = growing(0.0, 7200, used=lambda at: (2.0 + at / 1000) * GIB)
    assert GROWING in found(ended(still))


@pytest.mark.parametrize(("flat_blocks", "fires"), [(1, True), (2, False)])
def test_growing_in_most_blocks(flat_blocks: int, fires: bool) -> None:
    def used(at: float) -> float:  # it falls a little in the first blocks, then grows
        block = at // 600
        if block < flat_blocks:
            return (4.0 - at / 60_000) * GIB
        return (4.0 + (at - 600 * flat_blocks) / 1000) * GIB

    assert (GROWING in found(ended(growing(0.0, 3600, used=used)))) is fires


ASKED = "memory-over-asked job"
BIG = job("slurm", node_cores_count=4, node_memory_bytes=100 * GIB)


@pytest.mark.parametrize(
    ("gib", "severity"), [(70.1, None), (66.0, 1), (35.1, 1), (34.9, 2), (1.0, 2)]
)
def test_over_asked(gib: float, severity: int | None) -> None:
    rules = found(ended(using(gib * GIB, job=BIG)))
    assert (rules[ASKED].severity if ASKED in rules else None) == severity
    assert ASKED not in found(live(using(gib * GIB, job=BIG)))


def test_over_asked_says_what_to_ask_for() -> None:
    finding = found(ended(using(20.0 * GIB, job=BIG)))[ASKED]
    assert finding.directives[0].new == "#SBATCH --mem=24G"
    assert "Ask for 24 GiB" in finding.advice


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({"job": BIG._replace(node_memory_bytes=16 * GIB), "used": 1.0 * GIB}, {}),
        ({"job": BIG._replace(node_cores_count=17)}, {}),
        ({"cpu_count": None}, {}),
        ({"used": None}, {}),
        ({"oom_kills": lambda at: 1.0 if at > 500 else 0.0}, {}),
        ({}, {"signal": 9}),
        ({"length_s": 290.0}, {}),
        ({"job": BIG._replace(nodes=("qb002", "qb003"))}, {}),
    ],
)
def test_over_asked_guards(more: dict[str, Any], options: dict[str, Any]) -> None:
    shape = using(10.0 * GIB, job=BIG)._replace(**more)
    assert ASKED not in found(ended(shape, **options))


SWAPPING = "memory-swapping job"


@pytest.mark.parametrize(
    ("more", "fires"),
    [
        ({"swap_rate": 0.99e6, "job": job()}, False),
        ({"swap_rate": 1.01e6, "job": job()}, True),
        ({"swap_rate": 9e6}, False),  # whose it is, is not known
        ({"swap_rate": 9e6, "swap": lambda at: at * 1000}, True),
        ({"swap": lambda at: at / 900 * 255 * MIB}, False),
        ({"swap": lambda at: at / 890 * 257 * MIB}, True),
        ({"swap": 400.0 * MIB}, False),  # it was there before
        ({}, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_swapping(more: dict[str, Any], fires: bool, when: When) -> None:
    assert (SWAPPING in found(when(using(GIB, **more)))) is fires


def test_swapping_for_a_minute() -> None:
    def burst(length_s: float) -> Shape:
        return using(
            GIB,
            interval_s=1,
            job=job(),
            swap_rate=lambda at: 1.1e6 if 400 < at <= 400 + length_s else 0.0,
        )

    assert SWAPPING not in found(ended(burst(50)))
    assert SWAPPING in found(ended(burst(60)))
    assert SWAPPING not in found(live(burst(60)))


FILES = "memory-in-files job"


@pytest.mark.parametrize(
    ("files", "used", "severity"),
    [
        (0.99e9, 2e9, None),
        (1.01e9, 2e9, 1),
        (1.9e9, 10e9, None),
        (2.1e9, 9.6e9, 1),
        (2.1e9, 9.7 * GIB, 2),
        (None, 2e9, None),
        (2e9, None, None),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_in_files(
    files: float | None, used: float | None, severity: int | None, when: When
) -> None:
    rules = found(when(using(used, files=files, job=LIMITED)))
    assert (rules[FILES].severity if FILES in rules else None) == severity


CACHE = "memory-cache-only job"


@pytest.mark.parametrize(
    ("used", "cache", "pressure", "fires"),
    [
        (0.5, 0.46, 0.005, True),
        (0.5, 0.44, 0.005, False),
        (0.69, 0.3, 0.005, True),
        (0.71, 0.29, 0.005, False),
        (0.5, 0.46, 0.011, False),
        (0.5, 0.46, None, False),
        (0.5, None, 0.005, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_cache_only(
    used: float, cache: float | None, pressure: float | None, fires: bool, when: When
) -> None:
    shape = Shape(
        used=used * 4 * GIB,
        cache=None if cache is None else cache * 4 * GIB,
        cgroup_limit=4 * GIB,
        pressure=pressure,
    )
    rules = found(when(shape))
    assert (CACHE in rules) is fires
    if fires:
        assert rules[CACHE].advice.startswith("No change needed, because")


VMEM = "vmem-near-limit job"


@pytest.mark.parametrize(("virtual", "fires"), [(0.9, False), (0.91, True), (None, False)])
@pytest.mark.parametrize("when", [live, ended])
def test_vmem(virtual: float | None, fires: bool, when: When) -> None:
    asked = job(vmem_bytes=100 * GIB)
    shape = using(GIB, job=asked, virtual=None if virtual is None else virtual * 100 * GIB)
    rules = found(when(shape))
    assert (VMEM in rules) is fires
    assert VMEM not in found(when(shape._replace(job=job())))
    if fires:
        assert [tuple(one) for one in rules[VMEM].directives] == [
            ("torque", "#PBS -l vmem=100gb", None)
        ]
        assert "CUDA" not in rules[VMEM].advice


def test_vmem_of_cuda_and_of_several_nodes() -> None:
    asked = job(vmem_bytes=166 * GIB, gpus_count=1)
    shape = using(GIB, job=asked, virtual=160.0 * GIB, gpus=(Device(util=60.0, held=GIB),))
    assert "CUDA reserves" in found(live(shape))[VMEM].advice
    two = asked._replace(nodes=("qb002", "qb003"), gpus_count=0)
    pair = shape._replace(job=two, virtual=80.0 * GIB, gpus=())
    made = timeline(pair, pair._replace(host="qb003"))
    assert VMEM in found(scope(made, pair, is_live=True))
