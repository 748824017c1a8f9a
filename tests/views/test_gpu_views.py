"""How devices of every kind are shown: divided, sick, throttled, with and without activity."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from live_scenes import board, job, picture, sample, texts
from states import finding, live, two_gpus
from states import gpu as device
from test_text import foreign

from hpcwatch.analysis.findings import Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB, format_of_bytes
from hpcwatch.cluster.schedulers.job import JobNode
from hpcwatch.probe.schema import Gpu, GpuProcess, JobUse, Mig
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.gpus import GpusPage
from hpcwatch.views.live.head_amounts import used_text
from hpcwatch.views.live.once import text_of
from hpcwatch.views.run.line import device_memory_text, line
from hpcwatch.views.run.panel_rows import rows
from hpcwatch.views.run.state import GpuState, live_state
from hpcwatch.views.text import line_width, render

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "findings"))
from finding_samples import Device, Shape, found
from finding_samples import job as asked
from finding_samples import live as window

HOST = "qb002"
PARENT = Gpu(0, "GPU-41", "NVIDIA H100", power_w=420.0, memory_used_bytes=30 * GIB,
             memory_total_bytes=80 * GIB, mig_instance_count=2)  # fmt: skip


def instance(number: int, profile: str = "1g.10gb", **fields: Any) -> Gpu:
    mig = Mig(0, "GPU-41", number, 0, profile)
    return Gpu(0, f"MIG-{number}", f"NVIDIA H100 MIG {profile}", mig=mig, **fields)


DIVIDED = [
    PARENT,
    instance(9, memory_used_bytes=4 * GIB, memory_total_bytes=9 * GIB, sm_active_pct=61.0,
             processes=[GpuProcess(21270, 4 * GIB)]),
    instance(13, memory_used_bytes=1 << 20, memory_total_bytes=9 * GIB, processes=[]),
]  # fmt: skip


def scene(gpus: list[Gpu] | None, the_job: Any = None, **changes: Any) -> Board:
    """One node with these devices, read a few times."""
    the_job = the_job or job(nodes=(HOST,), nodes_count=1, gpus_count=None)
    timeline = Timeline(2.0, the_job)
    for step in range(0, 121, 2):
        timeline.add(sample(HOST, float(step), gpus=gpus, **changes))
    return board(picture((HOST,), job=the_job, timeline=timeline))


def page(of: Board, width: int = 240) -> list[str]:
    return texts(GpusPage().lines(of, "", width, 40))


def test_instances_stand_below_their_device_with_their_labels() -> None:
    shown = page(scene(DIVIDED))
    assert [row.split()[1] for row in shown[1:]] == ["0", "0", "0"]
    assert "divided into 2 instances" in shown[1]
    assert "0 MIG 1g.10gb #9 " in shown[2]
    assert "0 MIG 1g.10gb #13" in shown[3]
    assert "420 W" in shown[1]
    head = shown[0]
    for row in shown[1:]:  # unknown is never 0
        assert cell(head, row, "util") == "–"
        assert cell(head, row, "idle") == "–"
    assert [cell(head, row, "SM") for row in shown[1:]] == ["–", "61 %", "–"]


def cell(head: str, row: str, title: str) -> str:
    """What stands below a title that is right-aligned."""
    end = head.index(f" {title} ") + 1 + len(title)
    return row[:end].split("  ")[-1].strip()


def test_divided_devices_do_not_count_and_activity_is_work() -> None:
    assert "1 of 2 GPUs" in used_text(scene(DIVIDED))
    assert "– of 1 GPU" in used_text(scene([PARENT, instance(13)]))


def test_every_figure_of_a_device_has_its_place_where_there_is_room() -> None:
    hot = Gpu(
        0, "GPU-0", "Tesla K40m", util_pct=93.0, memory_used_bytes=GIB, memory_total_bytes=2 * GIB,
        power_w=100.0, power_limit_w=235.0, temperature_celsius=92.0,
        temperature_limit_celsius=95.0,
        sm_clock_mhz=705.0, sm_clock_max_mhz=875.0, sm_active_pct=12.0, energy_j=1e6,
        clocks_held_by=["idle", "heat"], processes=[GpuProcess(21270), GpuProcess(999)],
    )  # fmt: skip
    _, row = page(scene([hot]))
    for said in (
        *("93 %", "12 %", "0 min", "1 of 2 GiB", "100 of 235 W", "92 of 95 °C"),
        *("705 of 875 MHz", " heat ", "0 Wh", "python 21270, 999"),
    ):
        assert said in row, said
    assert "idle, heat" not in row
    narrow = page(scene([hot]), 80)
    assert all(len(one) <= 80 for one in narrow)
    assert "93 %" in narrow[1]
    assert "heat" in narrow[1]


def test_columns_of_which_no_device_tells_anything_are_left_out() -> None:
    head, _ = page(scene([Gpu(0, "GPU-0", "Tesla M2050", util_pct=5.0)]))
    for title in ("SM", "energy", "clock", "held down by"):
        assert f" {title} " not in head
    assert "temp" in head


def test_only_the_jobs_devices_are_listed() -> None:
    four = [Gpu(index, f"GPU-{index}", "A100", util_pct=9.0) for index in range(4)]
    share = (JobNode(HOST, 4, None, 1, (2,)),)
    own = job(nodes=(HOST,), nodes_count=1, gpus_count=1, allocation=share)
    shown = page(scene(four, own))
    assert [row.split()[1] for row in shown[1:]] == ["2"]
    assert "1 of 1 GPU" in used_text(scene(four, own))


def test_a_device_that_does_not_answer_says_why() -> None:
    sick = [Gpu(0, "GPU-0", "K40", util_pct=9.0), Gpu(1, "GPU-1", "K40")]
    shown = page(scene(sick, errors={"gpu 1": "the driver has not\nanswered for 5 s"}))
    assert "the driver has not answered for 5 s" in shown[2]
    assert "answered" not in shown[1]


def test_a_picture_on_paper_says_why_nothing_is_known() -> None:
    of = scene(None, errors={"gpu": "Driver Not \x1b[31mLoaded"})
    text = text_of(of.picture, 100, None, coloured=False)
    assert "GPUs are unknown: qb002: Driver Not " in text
    assert "\x1b" not in text
    assert "GPUs are unknown" not in text_of(scene([]).picture, 100, None, coloured=False)


@pytest.mark.parametrize(
    ("signs", "words"),
    [([], "none, no GPU was ever opened"), (["libcuda.so"], "none"), (None, "none")],
)
def test_nobody_is_on_it_and_whether_anybody_ever_was(signs: list[str] | None, words: str) -> None:
    use = JobUse(found_by="cgroup", gpu_signs=signs)
    _, row = page(scene([Gpu(0, "GPU-0", "K40", util_pct=0.0, processes=[])], job=use))
    assert row.endswith(f"  {words}")


def test_whose_processes_they_are_may_not_be_told() -> None:
    use = JobUse(found_by="user", gpu_signs=[])
    _, row = page(scene([Gpu(0, "GPU-0", "K40", util_pct=0.0, processes=[])], job=use))
    assert row.endswith("  none")


def panel(*gpus: GpuState, width: int = 100, **changes: Any) -> list[str]:
    return [render(row, False).rstrip() for row in rows(live(gpus=list(gpus), **changes), width, 6)]


def test_the_panel_knows_instances_by_their_labels_and_activity() -> None:
    one = GpuState(DIVIDED[1], [61.0] * 20)
    two = GpuState(DIVIDED[2], [math.nan] * 20)
    text = "\n".join(panel(one, two))
    assert "GPU 0 MIG 1g.10gb #9  SM 61 %     4 of 9 GiB     –" in text
    assert "GPU 0 MIG 1g.10gb #13       – 1 MiB of 9 GiB     –" in text
    said = render(line(live(gpus=[one, two]), 200), False)
    assert "GPU 0 MIG 1g.10gb #9 SM 61 %  GPU 0 MIG 1g.10gb #13 –" in said


def test_the_panel_says_why_a_device_or_all_of_them_are_unknown() -> None:
    reason = "the driver has not answered for 7 s"
    sick = device(1, None, None, None)._replace(trouble=reason)
    text = "\n".join(panel(device(0, 77.0), sick))
    assert f"GPU 1 – {reason}" in text
    assert "GPU 0  77 %" in text
    assert "GPUs – Driver Not Loaded" in panel(gpu_trouble="Driver Not Loaded")


@given(foreign)
def test_whatever_a_driver_says_the_panel_keeps_its_width(text: str) -> None:
    named = GpuState(instance(9, profile=text), [], trouble=None)
    sick = GpuState(instance(9), [], trouble=text)
    state = live(gpus=[named, sick, device(0, 77.0)])
    for width in (40, 80, 200):
        shown = rows(state, width, 6)
        assert max(map(line_width, shown)) <= width
        assert not any("\x1b" in span.text for row in shown for span in row)


def test_a_state_holds_the_jobs_devices_and_their_troubles() -> None:
    errors = {"gpu 0": "lost"}
    history = scene(DIVIDED, errors=errors).by_host[HOST].history
    assert history is not None
    state = live_state(history, 1.0, 4, None, [], None)
    assert [one.gpu.label for one in state.gpus] == [
        "GPU 0 MIG 1g.10gb #9",
        "GPU 0 MIG 1g.10gb #13",
    ]
    assert state.gpus[0].history_pct[-1] == 61
    assert [one.trouble for one in state.gpus] == ["lost", "lost"]


def test_the_sign_of_a_finding_is_on_the_instance_it_is_about() -> None:
    about = finding("memory full", Severity.WARNING, "GPU 0 MIG 1g.10gb #13")
    of = scene(DIVIDED)
    of = board(of.picture._replace(findings=[about]))
    shown = page(of)
    assert ["●" in row for row in shown[1:]] == [False, False, True]


def test_the_panel_gives_the_whole_advice_of_the_case_hpcwatch_began_with() -> None:
    """Two Tesla K40m and one python (21270), in a terminal of 110 columns."""
    first = Device(util=77.0, held=11_011.0 * MIB, power=104.0)
    idle = Device(util=0.0, held=10_950.0 * MIB, power=61.0)
    shape = Shape(
        length_s=720,
        gpus=(first, idle),
        job=asked(gpus_count=2),
        cpu_count=20,
        frameworks=["TensorFlow"],
    )
    (held,) = found(window(shape)).values()
    state = live(gpus=two_gpus(), findings=[held])
    shown = [render(row, coloured=False).rstrip() for row in rows(state, 110, 6)]
    advice = " ".join(shown[-2:])
    assert shown[-2].startswith(
        "● GPU 1 idle 12 min, holds 10.7 GiB · python (21270) works on GPU 0"
    )
    assert "TensorFlow reserves every GPU it sees" in advice
    assert "export CUDA_VISIBLE_DEVICES=0 and ask for fewer GPUs" in advice
    assert advice.endswith("or use all with tf.distribute.MirroredStrategy.")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"memory_used_bytes": 4 * GIB, "memory_total_bytes": 8 * GIB}, "4 of 8 GiB"),
        # Unified memory: the device has none of its own.
        ({"processes": [GpuProcess(1, 3 * GIB), GpuProcess(2, GIB)]}, "4 GiB held"),
        ({"processes": [GpuProcess(1, None)]}, format_of_bytes(None, None)),
        ({"processes": []}, format_of_bytes(None, None)),
        ({}, format_of_bytes(None, None)),
    ],
)
def test_memory_of_a_device_that_has_none_of_its_own(fields: dict[str, Any], text: str) -> None:
    assert device_memory_text(Gpu(0, "GPU-1", "NVIDIA GB10", **fields)) == text


def test_what_moves_between_devices_is_shown_where_it_is_known() -> None:
    def at(second: float) -> Gpu:
        moved = round(second * (1 << 30))
        return Gpu(0, "GPU-41", "NVIDIA H100", util_pct=90.0, memory_used_bytes=GIB,
                   nvlink_sent_bytes=moved, nvlink_received_bytes=moved)  # fmt: skip

    the_job = job(nodes=(HOST,), nodes_count=1, gpus_count=None)
    timeline = Timeline(2.0, the_job)
    for step in range(0, 121, 2):
        timeline.add(sample(HOST, float(step), gpus=[at(float(step))]))
    head, row = page(board(picture((HOST,), job=the_job, timeline=timeline)), 260)
    assert cell(head, row, "NVLink/s") == "2 G"
    assert "PCIe/s" not in head
