"""GPUs through the whole program: from a driver's answers to what a person reads."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import driver
import pytest
from gpu_runs import GpuRun, devices, gpu_environment, gpu_run, in_torque, known
from program import Hpcwatch
from stretch import stretch

from hpcwatch.probe.schema import Sample

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
K40M = driver.scenario("two_k40m")
DEADLINE_S = 3.0
"""Of the reader: a call that takes longer is told of."""
LENGTH_S = 2 * 3600.0


def recorded_hours(
    hpcwatch: Hpcwatch, text: str, variables: dict[str, str], mapped: str | None = None
) -> Path:
    """A recording of a few seconds that stands for two hours."""
    with gpu_run(hpcwatch, text, variables=variables, mapped=mapped) as run:
        first = run.until(lambda one: bool(one.gpus), "the devices")
        run.until(lambda _: is_long(run.samples(), first), "some seconds")
        run.finish()
        length_s = run.report["summary"]["wall_s"]
    stretch(run.output, LENGTH_S / length_s)
    return run.output


def is_long(samples: list[Sample], first: Sample) -> bool:
    """Whether one late sample, or a late first one, stays a small part of the two hours."""
    gaps_s = [after.uptime_s - before.uptime_s for before, after in pairwise(samples)]
    late_s = first.uptime_s - samples[0].uptime_s
    return samples[-1].uptime_s - first.uptime_s > max(6.0, 24 * max(gaps_s), 6 * late_s)


def reported(hpcwatch: Hpcwatch, recording: Path) -> dict[str, Any]:
    """Its report as JSON."""
    plain: dict[str, Any] = json.loads(hpcwatch("report", recording, "--format", "json").out)
    return plain


def test_the_case_that_hpcwatch_began_with(hpcwatch: Hpcwatch) -> None:
    """Two Tesla K40m, driver 352.93, and one python: the second device is held and idle."""
    library = "libtensorflow_framework.so.2"
    recording = recorded_hours(hpcwatch, K40M, in_torque(hpcwatch), library)
    plain = reported(hpcwatch, recording)
    found = [one for one in plain["findings"] if one["rule"].startswith("gpu-")]
    assert [one["rule"] for one in found] == ["gpu-memory-held"], found
    (finding,) = found
    assert (finding["rule"], finding["entity"]) == ("gpu-memory-held", "GPU 1")
    assert finding["severity"] == "critical"
    assert finding["title"].startswith("GPU 1 idle for ")
    assert finding["title"].endswith("held 10.6 GiB")
    assert "works on GPU 0 only. TensorFlow reserves every GPU it sees" in finding["advice"]
    ways_out = ("export CUDA_VISIBLE_DEVICES=0 and ask for fewer GPUs", "tf.distribute.Mirr")
    assert all(way in finding["advice"] for way in ways_out)
    cores = len(os.sched_getaffinity(0))
    assert [(one["old"], one["new"]) for one in finding["directives"]] == [
        # No Torque answers here: what else the line asked for is not known.
        (f"#PBS -l nodes=1:ppn={cores}:gpus=2:…", f"#PBS -l nodes=1:ppn={cores}:gpus=1:…")
    ]
    busy, idle = plain["summary"]["gpus"]
    assert (busy["use"], idle["use"]) == ("worked", "did nothing")
    assert 74 <= busy["util_mean_pct"] <= 80
    assert idle["util_max_pct"] == 0
    assert idle["memory_peak_bytes"] == 10_950 << 20
    assert idle["energy_j"] == pytest.approx(61 * LENGTH_S, rel=0.4)
    text = hpcwatch("report", recording).out
    assert "▲ critical GPU 1 idle for " in text
    assert "0 %, did nothing" in text
    assert re.search(r"Tesla K40m, 10.7 of 11.2 GiB at most, 0.\d+ kWh, idle \d+ min", text)
    marked = hpcwatch("report", recording, "--format", "markdown").out
    page = hpcwatch("report", recording, "--format", "html").out
    for said in (text, marked, page):
        plain_text = " ".join(said.split())
        assert "GPU 1 idle for" in plain_text
        assert "TensorFlow reserves every GPU it sees" in plain_text
        assert all(way in plain_text for way in ways_out)
    assert "<h2>GPUs</h2>" in page
    assert "| did nothing |" in marked
    shown = hpcwatch("replay", recording, "--once", "--at", "1:50:00", COLUMNS="160")
    assert (shown.code, shown.err) == (0, "")
    live = shown.out
    assert "GPU 1 idle" in live
    assert "TensorFlow reserves every GPU it sees" in live


def test_a_device_that_was_never_opened_is_told_from_one_that_did_nothing(
    hpcwatch: Hpcwatch,
) -> None:
    text = "".join(
        f"{line}\n" for line in K40M.splitlines() if "process" not in line and " util " not in line
    )
    text += "0 util 0\n1 util 0\n0 memory_used 65M\n1 memory_used 65M\n"
    recording = recorded_hours(hpcwatch, text, in_torque(hpcwatch))
    plain = reported(hpcwatch, recording)
    titles = [one["title"] for one in plain["findings"] if one["rule"] == "gpu-unused"]
    assert [title.partition(": ")[2] for title in titles] == ["never opened"] * 2
    assert {gpu["use"] for gpu in plain["summary"]["gpus"]} == {"was never opened"}
    assert "0 %, never opened" in hpcwatch("report", recording).out


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1", "SLURMD_NODENAME": os.uname().nodename},
        {"PBS_JOBID": "7.qb3", "CUDA_VISIBLE_DEVICES": "GPU-5b3c2a1f-0000-4d40-8a0b-000000000001"},
        {"PBS_JOBID": "7.qb3", "CUDA_VISIBLE_DEVICES": "1"},
    ],
    ids=["slurm", "uuid", "index"],
)
def test_of_a_nodes_devices_only_the_jobs_are_told_of(
    hpcwatch: Hpcwatch, variables: dict[str, str]
) -> None:
    text = "".join(f"{line}\n" for line in K40M.splitlines() if not line.startswith("0 process"))
    with gpu_run(hpcwatch, text, variables=variables) as run:
        sample = run.until(lambda one: known(2)(one) and one.job, "the devices")
        if "CUDA_VISIBLE_DEVICES" in variables:
            run.until(lambda one: one.job and one.job.visible_devices, "its environment")
        run.finish()
    assert len(sample.gpus or []) == 2
    assert [gpu["index"] for gpu in run.report["summary"]["gpus"]] == [1]
    assert "GPU 0" not in run.err
    assert "GPU 1" in run.err


def test_mig_instances_are_devices_of_their_own(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, driver.scenario("mig")) as run:
        sample = run.until(known(3), "the instances")
        run.finish()
    assert list(devices(sample)) == ["GPU 0", "GPU 0 MIG 3g.40gb #1", "GPU 0 MIG 1g.10gb #7"]
    gpus = run.report["summary"]["gpus"]
    assert [gpu["label"] for gpu in gpus] == ["GPU 0 MIG 3g.40gb #1", "GPU 0 MIG 1g.10gb #7"]
    assert {(gpu["util_mean_pct"], gpu["idle_s"], gpu["use"]) for gpu in gpus} == {
        (None, None, "unknown")
    }
    rows = [row for row in run.err.splitlines() if row.startswith("GPU 0 MIG")]
    assert [row.split()[5] for row in rows] == ["–", "–"]


def test_where_an_instances_activity_is_known_it_stands_beside(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, driver.scenario("mig_gpm")) as run:
        run.until(lambda one: known(2)(one) and active_pct(one), "the activity")
        run.finish()
    (gpu,) = run.report["summary"]["gpus"]
    assert (gpu["label"], gpu["use"]) == ("GPU 0 MIG 1g.10gb #9", "worked")
    assert (gpu["util_mean_pct"], gpu["sm_active_mean_pct"]) == (None, pytest.approx(61, abs=1))
    assert "GPU 0 MIG 1g.10gb #9  SM 61 %" in run.err


def active_pct(sample: Sample) -> float | None:
    return (sample.gpus or [])[-1].sm_active_pct


def test_a_stranger_on_the_device_is_known_by_number_only(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, driver.scenario("other_user")) as run:
        sample = run.until(lambda one: known(1)(one) and (one.gpus or [])[0].processes, "it")
        run.finish()
    ((process,),) = [gpu.processes or [] for gpu in sample.gpus or []]
    assert (process.pid, process.uid) == (1, 0)
    assert 1 not in [one.pid for one in sample.processes or []]
    assert [one["gpu_memory_peak_bytes"] for one in run.report["processes"]] == [None]


def test_pids_of_another_world_are_unknown(hpcwatch: Hpcwatch) -> None:
    text = driver.scenario("other_user").replace("0 process 1 ", "0 process 4190000 ")
    with gpu_run(hpcwatch, text) as run:
        sample = run.until(known(1), "the device")
        run.finish()
    assert [gpu.processes for gpu in sample.gpus or []] == [None]


def test_throttling_and_what_holds_the_clocks_down(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, driver.scenario("throttling"), stopped=True) as run:
        cool = run.until(known(1), "the device")
        assert devices(cool)["GPU 0"].throttled_pct == 0
        run.at(6)
        hot = run.until(lambda one: (devices(one)["GPU 0"].throttled_pct or 0) > 0, "the heat")
        run.finish()
    assert "heat, by hardware" in (devices(hot)["GPU 0"].clocks_held_by or [])
    (gpu,) = run.report["summary"]["gpus"]
    assert {"hardware slow-down", "heat, by hardware"} <= set(gpu["clocks_held_by"])
    assert "slowed by power limit, hardware slow-down, heat, by hardware" in " ".join(
        run.err.split()
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("lost", "GPU is lost"), ("disappears", "does not list it any more")]
)
def test_a_device_that_is_lost_stays_on_the_screen_with_the_reason(
    hpcwatch: Hpcwatch, name: str, reason: str
) -> None:
    with gpu_run(hpcwatch, driver.scenario(name), stopped=True) as run:
        run.until(known(2), "both devices")
        run.at(4)
        sick = run.until(lambda one: reason in complaints(one), "the complaint")
        run.until(
            lambda one: one.uptime_s > sick.uptime_s and devices(one)["GPU 0"].util_pct,
            "another sample of the other",
        )
        run.finish()
    assert reason in " ".join(run.err.split())
    assert reason in " ".join(run.report["quality"]["probe_errors"].values())


def test_a_sick_device_is_told_of_in_every_report(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, driver.scenario("lost"), stopped=True) as run:
        run.until(known(2), "both devices")
        run.at(4)
        run.until(lambda one: any(gpu.xids for gpu in one.gpus or []), "the Xid")
        run.finish()
    assert [one["rule"] for one in run.report["findings"]] == ["gpu-lost"]
    (_, sick) = run.report["summary"]["gpus"]
    assert (sick["xids"], sick["coverage_pct"] < 100) == (["79"], True)
    texts = [run.err]
    for name in ("text", "markdown", "html"):
        texts.append(hpcwatch("report", run.output, "--format", name).out)
    texts.append(hpcwatch("replay", run.output, "--once", COLUMNS="160").out)
    for text in texts:
        said = " ".join(text.split())
        assert "GPU 1 was lost after 0:0" in said
        assert "Tell the help desk: node" in said
    assert "Xid 79" in " ".join(texts[0].split())


def test_errors_that_came_late_are_read_at_the_end(hpcwatch: Hpcwatch) -> None:
    """They are read every half minute, and this run is shorter."""
    with gpu_run(hpcwatch, driver.scenario("ecc_and_xid"), stopped=True) as run:
        run.until(known(1), "the device")
        run.at(6)
        run.until(lambda one: (one.gpus or [])[0].xids == ["48", "63"], "the Xids")
        run.finish()
    assert {one["rule"] for one in run.report["findings"]} >= {"gpu-ecc", "gpu-xid"}
    (gpu,) = run.report["summary"]["gpus"]
    assert gpu["ecc_uncorrected_count"] == 3


def complaints(sample: Sample) -> str:
    return " ".join((sample.errors or {}).values())


def test_a_call_that_hangs_delays_neither_the_samples_nor_the_end(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, driver.scenario("hang"), stopped=True) as run:
        healthy = run.until(known(2), "both devices")
        run.at(4)
        stuck = run.until(lambda one: "gpu 1" in (one.errors or {}), "the complaint")
        run.until(lambda one: one.uptime_s > stuck.uptime_s + 1, "a second more")
        assert run.finish() < DEADLINE_S + 20  # the call never ends
    gaps_s = [
        after.uptime_s - before.uptime_s
        for before, after in pairwise(run.samples())
        if after.uptime_s > healthy.uptime_s
    ]
    # No call is waited for: the reader gives it up after ``DEADLINE_S``, each time.
    assert sorted(gaps_s)[len(gaps_s) // 2] < DEADLINE_S / 2
    assert len([gap_s for gap_s in gaps_s if gap_s > DEADLINE_S - 0.5]) < 2, gaps_s
    assert devices(run.samples()[-1])["GPU 0"].util_pct
    assert devices(run.samples()[-1])["GPU 1"].util_pct is None
    assert "gpu 1: the driver has not answered for" in " ".join(run.err.split())


def test_a_library_without_a_driver_is_no_trouble(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, "- fail nvmlInitWithFlags 9\n", "--view", "line") as run:
        run.until(lambda one: one.gpus == [], "that there are none")
        run.finish()
    assert "Driver Not Loaded" not in run.err


def test_a_driver_that_does_not_start_is_told_with_its_reason(hpcwatch: Hpcwatch) -> None:
    with gpu_run(hpcwatch, "- fail nvmlInitWithFlags 18\n", "--view", "line") as run:
        run.until(lambda one: "gpu" in (one.errors or {}), "the complaint")
        run.finish()
    assert run.report["summary"]["gpus"] == []
    assert "gpu: RM has detected" in " ".join(run.err.split())


@pytest.fixture
def terminal(tmp_path: Path) -> Any:
    folder = tmp_path / "terminal"
    folder.mkdir()
    with Terminal(folder, columns=130) as made:
        yield made


def typed(terminal: Terminal, run: GpuRun) -> None:
    names = ("LD_LIBRARY_PATH", "PYTHONPATH", "HPCWATCH_HOME")
    words = [f"{name}={run.environment[name]}" for name in names]
    script = run.output.parent / "start.sh"
    script.write_text(f"env {shlex.join(words)} {shlex.join(run.words)}\n")
    terminal.type(f"sh {script}")


@needs_tmux
def test_the_panel_shows_both_devices(hpcwatch: Hpcwatch, terminal: Terminal) -> None:
    run = GpuRun(hpcwatch, K40M, stopped=True)
    typed(terminal, run)
    terminal.wait_until(lambda: panel_row(terminal, "GPU 1   0 %"), "both devices")
    terminal.wait_until(
        lambda: (
            (row := (panel_row(terminal, "GPU 1") or [""])[0])
            and row.startswith("GPU 0  77 % 10.8 of 11.2 GiB 104 W")
            and "GPU 1   0 % 10.7 of 11.2 GiB  61 W" in row
        ),
        "what both do",
    )
    (run.output.parent / "end").touch()
    terminal.wait_for("Tesla K40m")


@needs_tmux
def test_the_panel_says_which_device_does_not_answer(
    hpcwatch: Hpcwatch, terminal: Terminal
) -> None:
    run = GpuRun(hpcwatch, driver.scenario("hang"), stopped=True)
    typed(terminal, run)
    terminal.wait_until(lambda: panel_row(terminal, "GPU 1"), "both devices")
    run.at(4)
    terminal.wait_until(
        lambda: panel_row(terminal, "GPU 1 – the driver has not answered for"), "the reason"
    )
    (run.output.parent / "end").touch()
    terminal.wait_for("Unknown: ")


def panel_row(terminal: Terminal, text: str) -> list[str]:
    return [row for row in terminal.screen() if text in row]


def test_the_live_view_of_this_host(hpcwatch: Hpcwatch) -> None:
    environment = gpu_environment(hpcwatch, driver.scenario("throttling") + "\nclock /nowhere\n")
    shown = hpcwatch("top", "--once", COLUMNS="220", LD_LIBRARY_PATH=environment["LD_LIBRARY_PATH"])
    assert shown.code == 0, shown.err
    (row,) = [row for row in shown.out.splitlines() if "NVIDIA A100" in row]
    for cell in ("340 of 400 W", "of 92 °C", "1380 of 1410 MHz", "power limit"):
        assert cell in row


DEMOS = {
    "idle-gpu": ("gpu-memory-held", "GPU 1 idle for"),
    "memory": ("gpu-memory-full", "GPU 0 memory"),
    "throttling": ("gpu-throttled", "GPU 1 slowed down by heat"),
}


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_shows_what_it_is_about(hpcwatch: Hpcwatch, name: str) -> None:
    page = hpcwatch.folder / "report.json"
    assert hpcwatch("demo", name, "-o", page).code == 0
    rule, title = DEMOS[name]
    rules = [one["rule"] for one in json.loads(page.read_text())["findings"]]
    assert rules[0] == rule
    assert [one for one in rules if one.startswith("gpu-")] == [rule]
    picture = hpcwatch("demo", name, COLUMNS="160")
    assert picture.code == 0, picture.err
    assert "▲" in picture.out or "●" in picture.out
    if name == "idle-gpu":
        assert re.search(r"qb002 +1 .* 0 % +▲ +≥ 6\d min", picture.out)
    text = hpcwatch("demo", name, "--report").out
    assert title in text


def test_the_demos_are_listed_and_small(hpcwatch: Hpcwatch) -> None:
    listed = hpcwatch("demo", "--list").out.splitlines()
    assert [row.split()[0] for row in listed] == list(DEMOS)
    folder = Path(__file__).resolve().parents[2] / "hpcwatch" / "demos"
    assert sorted(path.name for path in folder.iterdir()) == sorted(DEMOS)
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 500_000
    wrong = hpcwatch("demo", "nothing")
    assert (wrong.code, wrong.complaint) == (
        2,
        "hpcwatch: no demo nothing: there are idle-gpu, memory, throttling",
    )
