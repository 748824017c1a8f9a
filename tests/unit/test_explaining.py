"""What `hpcwatch compare` says of why one run took longer or more memory: figures, no guesses."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from program import Hpcwatch
from unit_parts import GIB, START_S, full_sample, run

from hpcwatch.analysis.compare import compare
from hpcwatch.analysis.compare_why import explained
from hpcwatch.analysis.report import ProcessSummary, Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.events import EPOCH, PHASE_BEGIN, PHASE_END
from hpcwatch.recording.store import Event
from hpcwatch.views.compare import text as compare_text
from hpcwatch.views.text import render


def report(wall_s: float, cpu_s: float | None, threads_count: int = 20, **figures: Any) -> Report:
    """A run of so long that took so much CPU time, without GPUs."""
    timeline = Timeline(1.0)
    for second in range(1, 5):
        sample = full_sample(second)
        assert sample.job is not None
        use = sample.job._replace(thread_count=threads_count)
        timeline.add(sample._replace(job=use, gpus=[]))
    made = build(run(wall_s=wall_s), timeline)
    summary = made.summary._replace(
        cpu_s=cpu_s, cores_used_mean=None if cpu_s is None else cpu_s / wall_s, gpus=[], **figures
    )
    return made._replace(summary=summary)


def said(first: Report, other: Report) -> dict[str, str]:
    return {one.what: one.text for one in explained(first, other)}


def test_the_same_work_on_more_cores() -> None:
    told = said(report(240, 240, threads_count=1), report(62, 240, threads_count=4))
    assert told == {
        "time": "CPU time alike (4:00 and 4:00), 3.87 cores busy rather than 1;"
        " 4 threads rather than 1"
    }


def test_more_work_on_as_many_cores() -> None:
    assert said(report(50, 100), report(100, 200)) == {
        "time": "100 % more CPU time (1:40 and 3:20), as many cores busy (2 and 2)"
    }


def test_processes_with_both_signs_or_neither() -> None:
    assert said(report(100, 100), report(100 / 3, 50))["time"].startswith(
        "50 % less CPU time (1:40 and 50 s), 1.5 cores busy rather than 1"
    )
    assert "differ by less than 10 % each" in said(report(100, 100), report(104, 102))["time"]


def test_waiting_is_reported_where_less_than_a_core_was_busy() -> None:
    told = said(report(100, 20), report(40, 20))["time"]
    assert told.endswith("0.5 cores busy rather than 0.2; waited 20 s rather than 1:20")
    assert "waited" not in said(report(100, 100), report(50, 100))["time"]


@pytest.mark.parametrize(
    "other",
    [
        report(101, 240),
        report(400, None),
        report(400, 0.0),
        report(400, 240)._replace(run=run(exit_code=1)),
        report(400, 240)._replace(run=run(ended_at_s=None, exit_code=None)),
    ],
)
def test_unknown_and_small_changes_and_failed_runs_are_not_explained(other: Report) -> None:
    assert said(report(100, 240), other) == {}
    assert said(other, report(100, 240)) == {}


def on_gpus(wall_s: float, *shares_pct: float | None) -> Report:
    timeline = Timeline(1.0)
    timeline.add_all(full_sample(second) for second in range(1, 5))
    made = build(run(wall_s=wall_s), timeline)
    (gpu,) = made.summary.gpus
    gpus = [gpu._replace(util_mean_pct=share) for share in shares_pct]
    return made._replace(summary=made.summary._replace(cpu_s=None, gpus=gpus))


def test_gpus_that_wait_and_gpus_with_more_to_do() -> None:
    told = said(on_gpus(100, 90.0), on_gpus(200, 45.0))
    assert told == {
        "GPU time": "GPUs worked about as long (1:30 and 1:30), 45 % of the time rather than 90 %"
    }
    told = said(on_gpus(100, 90.0), on_gpus(50, 90.0))
    assert told == {"GPU time": "GPUs worked (1:30 and 45 s), 90 % of the time"}
    assert said(on_gpus(100, 90.0, None), on_gpus(200, 45.0)) == {}
    assert said(on_gpus(100), on_gpus(200)) == {}


def with_largest(peak_bytes: int, largest_bytes: int | None, **figures: Any) -> Report:
    process = ProcessSummary("n1", 7, "python", None, 1.0, largest_bytes, None)
    made = report(100, 100, memory_peak_bytes=peak_bytes, **figures)
    return made._replace(processes=[process])


def test_memory_by_processes_by_files_and_by_one_process() -> None:
    one = with_largest(2 * GIB, 2 * GIB, processes_max=1)
    four = with_largest(8 * GIB, 2 * GIB, processes_max=4)
    assert said(one, four)["memory"] == (
        "4 processes rather than 1, about as much in each (2 GiB and 2 GiB)"
    )
    small = with_largest(2 * GIB, GIB, memory_files_bytes=0)
    files = with_largest(9 * GIB, GIB, memory_files_bytes=7 * GIB, memory_files_where="/dev/shm")
    assert said(small, files)["memory"] == "files in /dev/shm: 7 GiB rather than 0 B"
    large = with_largest(5 * GIB, 4 * GIB, memory_files_bytes=0)
    assert said(small, large)["memory"] == (
        "its largest process (python) held 4 GiB rather than 1 GiB"
    )
    assert said(small, with_largest(5 * GIB, 2 * GIB)) == {}  # most of it is elsewhere
    assert said(small, with_largest(5 * GIB, None)) == {}


def told(name: str, at_s: float, **fields: Any) -> Event:
    return Event(START_S + at_s, name, fields)


def trained(seconds: float, epochs_count: int, accuracy: float) -> Report:
    """A run that read for 5 s, then trained."""
    events = [
        told(PHASE_BEGIN, 0, phase="read"),
        told(PHASE_END, 5, phase="read"),
        told(PHASE_BEGIN, 5, phase="train\x1b[2J"),
        *(told(EPOCH, 6 + epoch, accuracy=accuracy, note="x") for epoch in range(epochs_count)),
        told(PHASE_END, 5 + seconds, phase="train\x1b[2J"),
        told(PHASE_BEGIN, 5 + seconds, phase="write"),
    ]
    return report(100, 100)._replace(events=events)


def test_reported_phases_and_results_are_compared() -> None:
    compared = compare([trained(30, 3, 0.9712), trained(60, 6, 0.9931)])
    assert [(one.name, one.values) for one in compared.phases] == [
        ("train\x1b[2J", [30.0, 60.0]),
        ("read", [5.0, 5.0]),
        ("write", [None, None]),
    ]
    assert [(one.name, one.values) for one in compared.results] == [
        ("epochs reported", [3, 6]),
        ("accuracy", [0.9712, 0.9931]),
    ]
    lines = [" ".join(render(one, False).split()) for one in compare_text.lines(compared, 100)]
    assert r"in train\x1b[2J 30 s 1:00 +30 s (+100 %) slower" in lines
    assert "accuracy 0.9712 0.9931 +0.0219 (+2.3 %)" in lines
    assert "epochs reported 3 6 +3 (+100 %)" in lines


def test_epochs_that_a_program_numbers_are_not_counted_too() -> None:
    def numbered(count: int) -> Report:
        events = [told(EPOCH, 6 + number, epoch=number) for number in range(1, count + 1)]
        return report(100, 100)._replace(events=events)

    compared = compare([numbered(3), numbered(6)])
    assert [(one.name, one.values) for one in compared.results] == [("epoch", [3, 6])]


def test_a_value_keeps_its_option_and_of_modules_only_the_other_ones_are_told() -> None:
    def with_(argv: list[str], modules: str) -> Report:
        environment = {"LOADEDMODULES": modules, "_LMFILES_": f"/m/{modules}"}
        return report(100, 100)._replace(run=run(argv=argv, environment=environment))

    first = with_(["a", "--epochs", "3", "--out", "x"], "gcc/9:openmpi/4:hdf5/1")
    second = with_(["a", "--epochs", "30", "--out", "x"], "gcc/12:openmpi/4:hdf5/1")
    differences = {one.what: one.values for one in compare([first, second]).differences}
    assert differences == {
        "arguments": ["… --epochs 3 …", "… --epochs 30 …"],
        "LOADEDMODULES": ["gcc/9 …", "gcc/12 …"],
    }


def test_reasons_for_lower_clocks_are_compared() -> None:
    def held_by(*reasons: list[str] | None) -> Report:
        made = on_gpus(100, *([90.0] * len(reasons)))
        gpus = [
            gpu._replace(clocks_held_by=one)
            for gpu, one in zip(made.summary.gpus, reasons, strict=True)
        ]
        return made._replace(summary=made.summary._replace(gpus=gpus))

    def told(first: Report, second: Report) -> list[str | None]:
        (found,) = [
            one.values for one in compare([first, second]).differences if "clocks" in one.what
        ]
        return found

    assert told(held_by([], []), held_by(["heat"], ["power limit", "heat"])) == [
        "nothing",
        "heat, power limit",
    ]
    assert told(held_by(["heat"], ["heat"]), held_by(["heat"], None)) == ["heat", None]


@pytest.mark.parametrize("width", [30, 40, 63, 64, 80])
def test_an_explanation_is_read_in_any_width(width: int) -> None:
    compared = compare([report(100, 100, 1), report(50, 300, 4)])
    lines = [render(one, False).rstrip() for one in compare_text.lines(compared, width)]
    text = " ".join(" ".join(lines[lines.index("What explains it") :]).split())
    assert "200 % more CPU time (1:40 and 5:00), 6 cores busy rather than 1;" in text
    assert "4 threads rather than 1" in text
    assert "1 thread rather than 4" in said(report(50, 300, 4), report(100, 100, 1))["time"]


def test_a_number_stays_beside_its_unit() -> None:
    compared = compare([with_largest(2 * GIB, GIB), with_largest(5 * GIB, 4 * GIB)])
    for width in range(64, 100):
        lines = [render(one, False).strip() for one in compare_text.lines(compared, width)]
        assert not {"GiB", "GiB rather than 1 GiB"} & set(lines), width


def test_shares_change_by_points() -> None:
    first, second = report(100, 100), report(100, 100)
    first = first._replace(summary=first.summary._replace(cpu_efficiency_pct=48.0))
    second = second._replace(summary=second.summary._replace(cpu_efficiency_pct=52.0))
    lines = [render(one, False) for one in compare_text.lines(compare([first, second]), 80)]
    (line,) = [one for one in lines if one.startswith("CPU efficiency")]
    assert " ".join(line.split()) == "CPU efficiency 48 % 52 % +4 points better"


def test_different_kinds_of_nodes_are_reported() -> None:
    first, second = report(100, 100), report(100, 100)
    (host,) = second.timeline.hosts.values()
    assert host.last is not None and host.last.node is not None
    node = host.last.node._replace(cpu_count=40, memory_total_bytes=256 * GIB)
    host.last = host.last._replace(node=node)
    differences = {one.what: one.values for one in compare([first, second]).differences}
    assert differences == {
        "a node's cores": ["16", "40"],
        "a node's memory": ["64 GiB", "256 GiB"],
    }


_WORK = """
import sys, threading, time
count = int(sys.argv[1])
end = time.monotonic() + 0.6
threads = [threading.Thread(target=time.sleep, args=(1.0,)) for _ in range(count)]
for one in threads: one.start()
while time.process_time() < 0.5: pass
for one in threads: one.join()
time.sleep(float(sys.argv[2]))
"""


def test_two_real_runs(hpcwatch: Hpcwatch) -> None:
    for name, words in (("first", ("1", "0")), ("second", ("3", "4"))):
        hpcwatch(
            "run", "--name", name, "--interval", "0.2", "--", sys.executable, "-c", _WORK, *words
        )
    plain = json.loads(hpcwatch("compare", "first", "second", "--format", "json").out)
    assert plain["explanations"][0] == []
    (time,) = [one for one in plain["explanations"][1] if one["what"] == "time"]
    assert "4 threads rather than 2" in time["text"]
    assert "waited" in time["text"]
    shown = hpcwatch("compare", "first", "second").out
    assert "What explains it\n  time  " in shown
    assert "arguments               … 1 0 → … 3 4" in shown
