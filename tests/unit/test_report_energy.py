"""Energy of a run: what is provably its own, with its coverage, its source and its emissions."""

from __future__ import annotations

from typing import Any

import pytest
from unit_parts import START_S, run

from hpcwatch.analysis.costs import Grid, Rates
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.report.energy import MountTraffic
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import Job, JobNode
from hpcwatch.probe.schema import Exported, Gpu, JobUse, MountUse, Node, Sample
from hpcwatch.recording.merging import merge
from hpcwatch.views.report import terminal
from hpcwatch.views.report.energy_rows import energy_words, mount_words
from hpcwatch.views.report.facts import totals

NO_GRID = Grid()
WHOLE = Job("1", "slurm", nodes=("n1",), cores_count=8, node_cores_count=8)


def sample(at_s: float, package_j: list[float] | None = None, **more: Any) -> Sample:
    exported = None
    if package_j is not None:
        exported = Exported(at_s - 0.1, package_j, [at_s], "node_exporter")
    fields: dict[str, Any] = {"exported": exported, **more}
    return Sample(
        "n1",
        START_S + at_s,
        at_s,
        node=Node(cpu_count=8, memory_total_bytes=1 << 34),
        job=JobUse("cgroup", 1, 1, cpu_user_s=at_s, cpu_system_s=0.0),
        **fields,
    )


def report_of(samples: list[Sample], job: Job | None = WHOLE, grid: Grid = NO_GRID) -> Report:
    length_s = samples[-1].at_s - START_S
    of = run(
        job=job,
        ended_at_s=samples[-1].at_s,
        wall_s=length_s,
        hosts=["n1"],
        kind="job" if job else "run",
        interval_s=10.0,
    )
    timeline = Timeline(of.interval_s, of.job)
    timeline.add_all(samples)
    return build(of, timeline, rates=Rates(grid=grid))


def steady(watts: float) -> list[Sample]:
    """100 s with a reading every 10 s of two packages of so many watts each."""
    return [sample(t, [watts * t, watts * t] if t % 10 == 0 else None) for t in range(0, 101, 5)]


def test_the_processors_energy_is_the_growth_of_their_counters() -> None:
    energy = report_of(steady(100.0)).energy
    assert energy is not None
    assert energy.cpu_kwh == pytest.approx((2 * 100 * 100 + 100) / 3.6e6)  # and 1 W of memory
    assert energy.cpu_coverage_pct == pytest.approx(100.0)
    assert energy.cpu_source == "node_exporter"
    assert energy.gpu_kwh is None
    assert energy.co2e_g is None


@pytest.mark.parametrize(
    "job",
    [
        WHOLE._replace(node_cores_count=7),
        WHOLE._replace(node_cores_count=None),
        None,
    ],
)
def test_a_shared_nodes_energy_is_nobodys(job: Job | None) -> None:
    assert report_of(steady(100.0), job).energy is None


def test_a_counter_that_wraps_leaves_a_gap() -> None:
    samples = [sample(t, [j, 0.0]) for t, j in ((0, 10.0), (50, 60.0), (60, 5.0), (100, 45.0))]
    energy = report_of(samples).energy
    assert energy is not None
    assert energy.cpu_kwh == pytest.approx((50 + 40 + 90) / 3.6e6)
    assert energy.cpu_coverage_pct == pytest.approx(90.0)


def test_another_exporters_counters_are_not_joined() -> None:
    samples = steady(100.0)
    other = Exported(49.9, [9e9, 9e9], [50.0], "CEEMS")
    samples[10] = samples[10]._replace(exported=other)
    energy = report_of(samples).energy
    assert energy is not None
    assert energy.cpu_coverage_pct == pytest.approx(80.0)
    assert energy.cpu_kwh is not None
    assert energy.cpu_kwh < 1e-2


def test_a_thinned_recording_keeps_the_energy() -> None:
    samples = steady(100.0)
    thin = [merge(one, other) for one, other in zip(samples[::2], samples[1::2])]
    whole, less = report_of(samples[:20]).energy, report_of(thin).energy
    assert whole is not None
    assert less is not None
    assert less.cpu_kwh == pytest.approx(whole.cpu_kwh)


def test_the_power_holds_between_two_readings_and_not_for_ever() -> None:
    samples = [*steady(100.0), sample(130), sample(160)]
    report = report_of(samples)
    column = report.timeline.hosts["n1"].columns["node_cpu_power_w"].mean
    assert column[0] != column[0]
    assert column[3] == pytest.approx(201.0)
    assert column[-2] == pytest.approx(201.0)
    assert column[-1] != column[-1]


def gpu(number: int, at_s: float, **more: Any) -> Gpu:
    fields: dict[str, Any] = {
        "energy_j": 1000.0 + 250.0 * at_s,
        "util_pct": 50.0,
        "device_file": f"/dev/nvidia{number}",
        **more,
    }
    return Gpu(number, f"GPU-{number}", "A100", **fields)


def test_only_the_jobs_own_devices_count() -> None:
    job = WHOLE._replace(
        node_cores_count=4, gpus_count=1, allocation=(JobNode("n1", gpu_indices=(1,)),)
    )
    samples = [sample(t, gpus=[gpu(0, 9 * t), gpu(1, t)]) for t in range(0, 101, 10)]
    energy = report_of(samples, job).energy
    assert energy is not None
    assert energy.gpu_kwh == energy.kwh == pytest.approx(250 * 100 / 3.6e6)
    assert energy.gpu_coverage_pct == pytest.approx(100.0)
    assert energy.cpu_kwh is None
    assert report_of(samples, job._replace(allocation=())).energy is None  # which is not known
    assert report_of(samples, None).energy is None


def test_devices_that_are_only_likely_the_jobs_do_not_count() -> None:
    job = WHOLE._replace(node_cores_count=4, gpus_count=None)
    use = JobUse("cgroup", 1, 1, cpu_user_s=1.0, cpu_system_s=0.0, visible_devices=["0"])
    samples = [sample(t, gpus=[gpu(0, t), gpu(1, t)])._replace(job=use) for t in range(0, 101, 10)]
    report = report_of(samples, job)
    assert [device.index for device in report.summary.gpus] == [0]
    assert report.energy is None


def test_emissions_come_with_their_range() -> None:
    middle = report_of(steady(100.0), grid=Grid(None, 200.0, 400.0)).energy
    assert middle is not None
    assert middle.kwh is not None
    assert middle.co2e_g == pytest.approx(300 * middle.kwh)
    assert middle.co2e_low_g == pytest.approx(200 * middle.kwh)
    assert middle.co2e_high_g == pytest.approx(400 * middle.kwh)
    one = report_of(steady(100.0), grid=Grid(350.0)).energy
    assert one is not None
    assert one.co2e_low_g is None
    assert "g CO2e" in energy_words(one)
    assert " to " in energy_words(middle)


def test_the_report_says_the_energy_and_its_source() -> None:
    report = report_of(steady(100.0), grid=Grid(300.0, 250.0, 390.0))
    text = " ".join(terminal.text(report, False, 100).split())
    assert "Energy processors and memory 5.58 Wh (node_exporter)" in text
    assert "1.68 g CO2e (1.4 g to 2.18 g)" in text
    assert ("Energy", energy_words(report.energy)) in totals(report)  # type: ignore[arg-type]


def test_traffic_by_mount_is_what_was_moved_meanwhile() -> None:
    def use(at_s: float, read: int, written: int | None) -> Sample:
        mounts = [MountUse("/scratch", read, written), MountUse("/home\x1b[2J", 5, 5)]
        return sample(at_s)._replace(exported=Exported(at_s, mounts=mounts, mounts_from="CEEMS"))

    report = report_of([use(0, 100, 7), use(50, 300, None), use(100, 1124, 7)])
    assert report.mounts == [
        MountTraffic("n1", "/home\x1b[2J", 0, 0, "CEEMS"),
        MountTraffic("n1", "/scratch", 1024, 0, "CEEMS"),
    ]
    words = mount_words(report.mounts)
    assert words[0] == "/scratch: read 1 KiB, wrote 0 B (CEEMS)"
    assert "\x1b" not in words[1]
    assert "/scratch: read 1 KiB" in terminal.text(report, False, 100)


def test_a_node_that_names_new_mounts_for_ever_is_bounded() -> None:
    samples = [
        sample(t)._replace(exported=Exported(t, mounts=[MountUse(f"/{t}", 1, 1)]))
        for t in range(1, 400)
    ]
    assert len(report_of(samples).mounts) == 256


def test_dcgms_activity_is_shown_and_judged_with_its_source() -> None:
    job = WHOLE._replace(gpus_count=1, allocation=(JobNode("n1", gpu_indices=(0,)),))
    told = {"sm_active_pct": 20.0, "tensor_active_pct": 3.0, "activity_from": "dcgm-exporter"}
    busy = {"util_pct": 99.0, "util_max_pct": 100.0, "memory_util_pct": 20.0}
    samples = [sample(t, gpus=[gpu(0, t, **told, **busy)]) for t in range(0, 1201, 10)]
    report = report_of(samples, job)
    (device,) = report.summary.gpus
    assert device.activity_from == "dcgm-exporter"
    assert device.tensor_active_mean_pct == pytest.approx(3.0)
    (finding,) = (one for one in report.findings if one.rule == "gpu-busy-shallow")
    assert finding.evidence["sm_active_from"] == "dcgm-exporter"
    text = " ".join(terminal.text(report, False, 100).split())
    assert "active by dcgm-exporter: SM 20 %, tensor cores 3 %" in text
