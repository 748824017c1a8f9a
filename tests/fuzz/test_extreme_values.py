"""Every number of every file that is read, set to what it cannot be: no command breaks or hangs.

One process does all: a recording is damaged in one place, and each way to look at it is taken.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from unit_parts import START_S, full_sample, job, run

from hpcwatch.analysis.compare import compare
from hpcwatch.analysis.costs import Rates
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli import replay
from hpcwatch.cli import runs as listing
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import report as reading
from hpcwatch.probe.encode import to_plain
from hpcwatch.probe.schema import (
    Cgroup,
    Gpu,
    GpuProcess,
    Process,
    Sample,
    Stranger,
    to_line,
)
from hpcwatch.recording.merging import merge
from hpcwatch.recording.previous_runs import earlier_runs
from hpcwatch.recording.store import Event, RunDirectory
from hpcwatch.sweep import joblog, outcome
from hpcwatch.views.compare import text as compare_text
from hpcwatch.views.compare import to_json as compare_json
from hpcwatch.views.report import formats

EXTREMES: tuple[Any, ...] = (0, -1, 1e18, 1e308, float("nan"), float("inf"), "text", [1])
SECONDS = 14
Path_ = tuple[Any, ...]


def rich_sample(second: int) -> Sample:
    """A sample with something in every part."""
    plain = full_sample(second)
    process = Process(
        7, 1, "python", "R", ["python", "train.py"], "alice", START_S, 3.0 * second, 0.1, 20,
        1 << 30, 1 << 30, 1 << 30, 1 << 31, 0, 100, 100, 16,
    )  # fmt: skip
    gpu = Gpu(
        0, "GPU-1", "Tesla K40m", util_pct=77.0, util_max_pct=80.0, util_zero_pct=5.0,
        memory_used_bytes=1 << 30, memory_total_bytes=1 << 33, power_w=100.0, energy_j=9.0 * second,
        temperature_celsius=60.0, processes=[GpuProcess(7, 1 << 30, sm_util_pct=40.0)],
    )  # fmt: skip
    other = gpu._replace(index=1, uuid="GPU-2", util_pct=0.0)
    return plain._replace(
        cgroup=Cgroup("/job", True, 1 << 30, 1 << 20, 1 << 33, "/", 1 << 30, 0, 3.0 * second),
        job=job(3.9 * second, 1 << 30, rss_bytes=1 << 30, thread_count=20, read_bytes=1000),
        processes=[process],
        gpus=[gpu, other],
        strangers=[Stranger(9, "other", "root", False, START_S, 1.0 * second, 0.0)],
    )


class Recording:
    """Lines and documents of a sound recording, to be damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        samples = [rich_sample(second) for second in range(SECONDS)]
        samples[8:10] = [merge(samples[8], samples[9])]
        self.samples = [json.loads(to_line(one)) for one in samples]
        asked = Job(
            "1.qb3", "torque", name="train", nodes=("n1",), cores_count=16, node_cores_count=16,
            memory_bytes=1 << 34, node_memory_bytes=1 << 34, walltime_s=3600, gpus_count=2,
            started_at_s=START_S,
        )  # fmt: skip
        self.run = json.loads(json.dumps(to_plain(run(id="hurt", job=asked, name="train"))))
        fields = {"phase": "train", "pid": 7}
        self.events: list[Any] = [
            Event(START_S + 1, "phase begin", fields)._asdict(),
            Event(START_S + 5, "epoch", {"epoch": 1, "accuracy": 0.9, "duration_s": 4.0})._asdict(),
            Event(START_S + 9, "phase end", {**fields, "duration_s": 8.0})._asdict(),
            Event(START_S + 10, "signal", {"signal": "SIGTERM (15)"})._asdict(),
        ]
        self.write(self.run, self.samples, self.events)
        made = reading.load(RunDirectory(str(folder)))
        self.report = json.loads("".join(formats.pieces(made, "json")))

    def write(self, run: Any, samples: list[Any], events: list[Any], report: Any = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / "run.json").write_text(json.dumps(run))
        (self.folder / "samples.jsonl").write_text("".join(json.dumps(s) + "\n" for s in samples))
        (self.folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
        if report is not None:
            (self.folder / "report.json").write_text(json.dumps(report))


def numbers(plain: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield where in a document numbers stand; of a list the first alone."""
    if isinstance(plain, dict):
        for name, value in plain.items():
            yield from numbers(value, (*path, name))
    elif isinstance(plain, list):
        for place, value in list(enumerate(plain))[:1]:
            yield from numbers(value, (*path, place))
    elif isinstance(plain, int | float) and not isinstance(plain, bool):
        yield path


def changed(plain: Any, path: Path_, value: Any) -> Any:
    made = copy.deepcopy(plain)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return made


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = Recording(tmp_path / "runs" / "hurt")
    later = tmp_path / "runs" / "later"
    later.mkdir()
    text = json.dumps({**made.run, "id": "later", "started_at_s": START_S + 1000})
    (later / "run.json").write_text(text)
    with open(made.folder / "samples.jsonl") as lines:
        (later / "samples.jsonl").write_text(next(lines) + next(lines))
    return made


Look = Callable[[Recording, pytest.CaptureFixture[str]], str]


def looked_at(recording: Recording, capsys: pytest.CaptureFixture[str]) -> str:
    """Take every way to look at a recording; return what they said."""
    said = ""
    try:
        made = reading.load(RunDirectory(str(recording.folder)))
        for name in formats.FORMATS:
            said += "".join(formats.pieces(made, name, earlier_runs(made.run)))
        both = compare([made, made], Rates())
        said += compare_json.to_json(both, "")
        said += str(list(compare_text.lines(both, 100, Rates())))
        replay.main(["--once", str(recording.folder)])
    except HpcwatchError as error:
        said += str(error)
    return said + seen_from_others(recording, capsys)


def seen_from_others(recording: Recording, capsys: pytest.CaptureFixture[str]) -> str:
    """Take the ways that read its report.json: a later run's report, and the lists of runs."""
    said = ""
    try:
        later = reading.load(RunDirectory(str(recording.folder.parent / "later")))
        said += "".join(formats.pieces(later, "markdown", earlier_runs(later.run)))
    except HpcwatchError as error:
        said += str(error)
    listing.main([])
    listing.main(["--format", "json", "--with-findings"])
    return said + capsys.readouterr().out


def all_in_time(
    cases: Sequence[Callable[..., None]],
    recording: Recording,
    capsys: pytest.CaptureFixture[str],
    look: Look = looked_at,
) -> None:
    """Try each damage: nothing is raised, and none takes more than twice the time and a bit."""
    look(recording, capsys)
    begun = time.process_time()
    look(recording, capsys)
    usual_s = time.process_time() - begun
    for damage in cases:
        damage()
        for is_last in (False, True):  # a neighbour on this machine may have cost the time
            begun = time.process_time()
            said = look(recording, capsys)
            took_s = time.process_time() - begun
            if took_s < 2 * usual_s + 0.1:
                break
            assert not is_last, f"{damage} took {took_s:.2f} s, {usual_s:.2f} s were usual"
        assert "Traceback" not in said


def test_numbers_of_samples(recording: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    """All the odd values of a field stand in one recording, each in a line of its own."""
    paths = dict.fromkeys(path for one in recording.samples for path in numbers(one))
    assert len(paths) > 80
    cases = []
    for path in paths:
        if path[0] == "version":
            continue

        def damage(path: Path_ = path) -> None:
            lines = list(recording.samples)
            places = [place for place, one in enumerate(lines) if path in set(numbers(one))]
            for place, value in zip(
                places[1 : len(EXTREMES) + 1] or places, EXTREMES, strict=False
            ):
                lines[place] = changed(lines[place], path, value)
            recording.write(recording.run, lines, recording.events)

        cases.append(damage)
    all_in_time(cases, recording, capsys)


def test_numbers_of_the_first_and_the_last_sample(
    recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = []
    for place in (0, -1):
        for path in [("at_s",), ("uptime_s",), ("job", "used_bytes"), ("gpus", 0, "power_w")]:
            for value in EXTREMES:

                def damage(place: int = place, path: Path_ = path, value: Any = value) -> None:
                    lines = list(recording.samples)
                    lines[place] = changed(lines[place], path, value)
                    recording.write(recording.run, lines, recording.events)

                cases.append(damage)
    all_in_time(cases, recording, capsys)


@pytest.mark.parametrize("document", ["run", "events", "report"])
def test_numbers_of_the_other_files(
    recording: Recording, capsys: pytest.CaptureFixture[str], document: str
) -> None:
    cases = []
    plain = getattr(recording, document)
    places = numbers(plain)
    if document == "events":
        places = iter([(place, *path) for place, one in enumerate(plain) for path in numbers(one)])
    for path in places:
        values = EXTREMES if document != "report" else EXTREMES[3:4] + EXTREMES[6:]
        for value in values:

            def damage(path: Path_ = path, value: Any = value) -> None:
                parts = {"run": recording.run, "events": recording.events, "report": None}
                parts[document] = changed(plain, path, value)
                recording.write(
                    parts["run"], recording.samples, parts["events"] or [], parts["report"]
                )

            cases.append(damage)
    all_in_time(cases, recording, capsys, seen_from_others if document == "report" else looked_at)


def test_numbers_of_a_joblog(capsys: pytest.CaptureFixture[str]) -> None:
    for place in (0, 2, 3, 4, 5, 6, 7):
        for value in (*EXTREMES, "9" * 400, "9" * 5000):
            fields = ["1", ":", "1700000000.000", "2.5", "0", "0", "0", "0", "true"]
            fields[place] = str(value)
            good = "2\t:\t1700000000.000\t2.5\t0\t0\t0\t0\ttrue"
            rows = joblog.parse("\n".join([joblog.HEAD, "\t".join(fields), good]))
            made = outcome.of_joblog("log", rows, "here")
            assert made.rows
            assert made.end_s - made.start_s < 1e10


def test_two_devices_of_one_uuid_are_told(
    recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [changed(one, ("gpus", 1, "uuid"), "GPU-1") for one in recording.samples]
    recording.write(recording.run, lines, recording.events)
    made = reading.load(RunDirectory(str(recording.folder)))
    assert "has the UUID of another one" in str(made.quality.probe_errors)
    assert "Traceback" not in looked_at(recording, capsys)


def test_odd_values_are_unknown_and_noted(recording: Recording) -> None:
    lines = list(recording.samples)
    lines[5] = changed(lines[5], ("gpus", 0, "util_pct"), 1e308)
    hurt = changed(changed(recording.run, ("wall_s",), 1e11), ("started_at_s",), -1e18)
    recording.write(hurt, lines, recording.events)
    made = reading.load(RunDirectory(str(recording.folder)))
    errors = made.quality.probe_errors
    assert errors["n1: out of range"] == "util_pct"
    assert errors["the run's file: out of range"] == "started_at_s, wall_s"
    assert made.summary.gpus[0].util_max_pct == 80.0


def test_a_nested_event_and_a_nested_run_are_no_trouble(
    recording: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    event = Event(START_S + 2, "log", {"deep": deep, "wide": {"a": deep}})._asdict()
    recording.write({**recording.run, "parameters": {"a": "b"}}, recording.samples, [event])
    assert "[…]" in looked_at(recording, capsys)
    (recording.folder / "run.json").write_text('{"version": 1, "job": ' + "[" * 50_000)
    assert "it is damaged" in looked_at(recording, capsys)
