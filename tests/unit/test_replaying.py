"""A recording by time, the clock of a replay, and the pictures in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from unit_parts import GIB, START_S, full_sample, run

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.config import Settings
from hpcwatch.monitor.live_findings import About, Looking
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.replay import Replayer
from hpcwatch.probe.schema import Sample, to_line
from hpcwatch.recording.playback import Clock, Recording
from hpcwatch.recording.store import Event, RunDirectory


class Wall:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def wall() -> Wall:
    return Wall()


def recorded(folder: Path, samples: list[Sample], **fields: Any) -> RunDirectory:
    directory = RunDirectory.create(str(folder / "run"))
    directory.write_run(run(**fields))
    text = "".join(to_line(one) + "\n" for one in samples)
    (folder / "run" / "samples.jsonl").write_text(text)
    return directory


def test_the_clock_goes_with_its_speed_and_stops_at_the_end(wall: Wall) -> None:
    clock = Clock(600, 10, wall)
    wall.now_s += 19.2
    assert clock.at_s == pytest.approx(192)
    assert clock.words == "replay 3:12 of 10:00, ×10"
    wall.now_s += 1000
    assert (clock.at_s, clock.words) == (600, "replay 10:00 of 10:00, at its end")
    assert clock.is_at_end


def test_a_paused_clock_stands_still(wall: Wall) -> None:
    clock = Clock(600, 2, wall)
    wall.now_s += 5
    clock.pause()
    wall.now_s += 50
    assert (clock.at_s, clock.words) == (10, "replay 0:10 of 10:00, paused at ×2")
    clock.seek(30)
    assert clock.at_s == 30
    clock.pause()
    wall.now_s += 1
    assert clock.at_s == 32


def test_play_at_the_end_starts_again(wall: Wall) -> None:
    clock = Clock(600, 1, wall)
    clock.seek(1e9)
    assert clock.at_s == 600
    clock.pause()
    assert (clock.at_s, clock.is_at_end) == (0, False)
    wall.now_s += 3
    assert clock.at_s == 3


def test_changing_the_speed_does_not_move_the_clock(wall: Wall) -> None:
    clock = Clock(6000, 1, wall)
    wall.now_s += 10
    for wanted in ("×2", "×5", "×10"):
        clock.change_speed(1)
        assert clock.words.endswith(wanted)
    assert clock.at_s == 10
    wall.now_s += 1
    assert clock.at_s == 20
    for _ in range(20):
        clock.change_speed(-1)
    assert clock.words.endswith("×0.1")
    for _ in range(20):
        clock.change_speed(1)
    assert clock.words.endswith("×1,000")


def test_a_speed_between_two_settings_goes_to_the_next(wall: Wall) -> None:
    clock = Clock(600, 3, wall)
    clock.change_speed(1)
    assert clock.words.endswith("×5")
    clock = Clock(600, 3, wall)
    clock.change_speed(-1)
    assert clock.words.endswith("×2")


def test_seeking_stays_within_the_recording(wall: Wall) -> None:
    clock = Clock(600, 1, wall)
    clock.seek(-5)
    assert clock.at_s == 0


def test_a_recording_is_in_the_order_of_time_and_leaves_out_what_is_none(tmp_path: Path) -> None:
    samples = [full_sample(second) for second in (0, 2, 1)]
    directory = recorded(tmp_path, samples)
    path = tmp_path / "run" / "samples.jsonl"
    hostile = to_line(full_sample(3)._replace(host='n"at_s":5'))
    with path.open("a") as stream:
        stream.write(f'\n{{"no": "time"}}\n{{"at_s":bad,\n{{"at_s":NaN,"x":1}}\n{hostile}\n')
        stream.write(to_line(full_sample(4))[:200])
    recording = Recording(directory)
    assert [at_s - START_S for at_s in recording.at_s] == [0, 1, 2, 3, 4]
    assert recording.count_until(START_S + 2) == 3
    read = [sample.at_s - START_S for sample in recording.samples(0, 5)]
    assert read == [0, 1, 2, 3]  # the torn one is left out
    assert recording.length_s == 4


@pytest.mark.parametrize("text", ["", "nothing\n"])
def test_an_empty_recording_is_refused(tmp_path: Path, text: str) -> None:
    directory = recorded(tmp_path, [])
    (tmp_path / "run" / "samples.jsonl").write_text(text)
    with pytest.raises(HpcwatchError, match="holds no readings") as caught:
        Recording(directory)
    assert caught.value.exit_code == EXIT_USAGE


def test_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HpcwatchError, match="no such file"):
        Recording(RunDirectory(str(tmp_path)))


def two_hosts(seconds: int) -> list[Sample]:
    return [
        full_sample(second)._replace(host=host) for second in range(seconds) for host in ("a", "b")
    ]


def replayer(
    directory: RunDirectory, wall: Wall, events: list[Event] | None = None, **settings: Any
) -> tuple[Replayer, Clock]:
    recording = Recording(directory)
    clock = Clock(recording.length_s, 1, wall)
    made = Replayer(directory.read_run(), recording, events or [], Settings(**settings), clock)
    return made, clock


def test_a_picture_shows_what_was_known_then(tmp_path: Path, wall: Wall) -> None:
    shown, clock = replayer(recorded(tmp_path, two_hosts(100), hosts=["a", "b"]), wall)
    clock.seek(50)
    picture = shown.picture()
    assert picture.at_s == START_S + 50
    assert {name: host.at_s[-1] for name, host in picture.timeline.hosts.items()} == {
        "a": START_S + 50,
        "b": START_S + 50,
    }
    assert [status.state for status in picture.statuses] == [NodeState.LIVE, NodeState.LIVE]
    assert picture.replayed == "replay 0:50 of 1:39, ×1"
    assert len(picture.timeline.hosts["a"].at_s) == 51


def test_play_continues_the_same_timeline(tmp_path: Path, wall: Wall) -> None:
    shown, clock = replayer(recorded(tmp_path, two_hosts(100), hosts=["a", "b"]), wall)
    first = shown.picture()
    wall.now_s += 3
    second = shown.picture()
    assert second.timeline is first.timeline
    assert second.statuses[0].last_at_s == START_S + 3
    clock.seek(1)
    third = shown.picture()
    assert third.timeline is not first.timeline
    assert third.timeline.hosts["a"].at_s[-1] == START_S + 1


def test_nodes_are_lost_and_found_as_they_were(tmp_path: Path, wall: Wall) -> None:
    samples = [one for one in two_hosts(100) if one.host == "a" or one.at_s < START_S + 20]
    samples += [full_sample(second)._replace(host="b") for second in range(60, 100)]
    events = [
        Event(START_S + 21, "node lost", {"host": "b", "reason": "timed out"}),
        Event(START_S + 60, "node found", {"host": "b", "way": "srun"}),
        Event(START_S + 1, "epoch", {"host": "b"}),
    ]
    shown, clock = replayer(recorded(tmp_path, samples, hosts=["a", "b", "c"]), wall, events)
    states = {}
    for at_s in (10, 25, 70):
        clock.seek(at_s)
        a, b, c = shown.picture().statuses
        assert (a.state, c.state) == (NodeState.LIVE, NodeState.CONNECTING)
        states[at_s] = (b.state, b.reason, b.way)
    assert states == {
        10: (NodeState.LIVE, "", ""),
        25: (NodeState.LOST, "timed out", ""),
        70: (NodeState.LIVE, "", "srun"),
    }


def test_a_node_that_falls_silent_is_stale(tmp_path: Path, wall: Wall) -> None:
    samples = [one for one in two_hosts(100) if one.host == "a" or one.at_s < START_S + 20]
    shown, clock = replayer(recorded(tmp_path, samples, hosts=["a", "b"]), wall)
    clock.seek(22)
    assert shown.picture().statuses[1].state is NodeState.LIVE
    clock.seek(30)
    assert shown.picture().statuses[1].state is NodeState.STALE


def test_a_job_runs_until_the_end_of_its_recording(tmp_path: Path, wall: Wall) -> None:
    job = Job("7", "slurm", state=JobState.FAILED, raw_state="FAILED", ended_at_s=START_S + 99)
    shown, clock = replayer(
        recorded(tmp_path, two_hosts(100), hosts=["a", "b"], kind="job", job=job), wall
    )
    clock.seek(50)
    during = shown.picture().job
    assert during is not None and (during.state, during.ended_at_s) == (JobState.RUNNING, None)
    clock.seek(99)
    assert shown.picture().job == job


NEAR = {"memory-near-limit": {"near_share": 0.5, "window_s": 10.0}}


def test_findings_stand_while_they_stood(tmp_path: Path, wall: Wall) -> None:
    samples = [full_sample(second, (60 if second >= 50 else 1) * GIB) for second in range(100)]
    shown, clock = replayer(recorded(tmp_path, samples), wall, thresholds=NEAR)

    def found() -> list[str]:
        return [finding.rule for finding in shown.picture(is_patient=True).findings]

    clock.seek(40)
    assert "memory-near-limit" not in found()
    clock.seek(90)
    assert "memory-near-limit" in found()
    clock.seek(40)
    assert "memory-near-limit" not in found()


def test_what_the_program_told_by_then_counts(tmp_path: Path, wall: Wall) -> None:
    events = [
        Event(START_S + second, "log", {"step_s": 1.0 if second <= 40 else 2.0})
        for second in range(100)
    ]
    limits = {"step-slowdown": {"window_s": 20.0, "early_s": 20.0}}
    samples = [full_sample(second) for second in range(100)]
    shown, clock = replayer(recorded(tmp_path, samples), wall, events[::-1], thresholds=limits)
    for second, stands in ((50, False), (90, True), (30, False)):
        clock.seek(second)
        found = {finding.rule for finding in shown.picture(is_patient=True).findings}
        assert ("step-slowdown" in found) is stands, second


def test_nothing_is_found_on_a_lost_node(tmp_path: Path, wall: Wall) -> None:
    samples = [full_sample(second, 60 * GIB) for second in range(100)]
    lost = [Event(START_S + 85, "node lost", {"host": "n1", "reason": "gone"})]
    shown, clock = replayer(recorded(tmp_path, samples), wall, lost, thresholds=NEAR)
    clock.seek(80)
    assert shown.picture(is_patient=True).findings
    clock.seek(95)
    assert not shown.picture(is_patient=True).findings


def one_node_idle(seconds: int, job: Job) -> tuple[list[Sample], Timeline]:
    """A job on ``a``, which works and is full, and ``b``, where it does nothing; every 5 s."""
    samples = []
    for second in range(0, seconds, 5):
        busy = full_sample(second, 60 * GIB)
        assert busy.job is not None
        nothing = busy.job._replace(cpu_user_s=0.0, cpu_system_s=0.0)
        samples += [busy._replace(host="a"), busy._replace(host="b", job=nothing, gpus=[])]
    timeline = Timeline(5.0, job)
    timeline.add_all(samples)
    return samples, timeline


@pytest.mark.parametrize("at_s", [250, 595])
def test_a_job_s_replay_finds_what_its_live_view_found(
    tmp_path: Path, wall: Wall, at_s: int
) -> None:
    job = Job(
        "7",
        "slurm",
        state=JobState.COMPLETED,
        nodes=("a", "b"),
        nodes_count=2,
        node_cores_count=16,
        started_at_s=START_S - 3600,  # long before anybody watched it
        ended_at_s=START_S + 600,
        walltime_s=4230,
    )
    _, until_then = one_node_idle(at_s + 1, job._replace(state=JobState.RUNNING, ended_at_s=None))
    live = Looking(Settings())
    for host in ("a", "b"):
        live.look(until_then, host, About())
    samples, _ = one_node_idle(600, job)
    directory = recorded(
        tmp_path, samples, hosts=["a", "b"], kind="job", job=job, argv=[], interval_s=5.0
    )
    shown, clock = replayer(directory, wall)
    clock.seek(at_s)
    found = shown.picture(is_patient=True).findings
    assert [one.key for one in found] == [one.key for one in live.found()]
    told = {one.rule for one in found}
    assert {"node-unused", "will-not-finish", "memory-near-limit"} <= told
    clock.seek(100)
    assert "node-unused" not in {one.rule for one in shown.picture(is_patient=True).findings}


def test_keys_move_the_clock_and_others_are_left_to_the_pages(tmp_path: Path, wall: Wall) -> None:
    shown, clock = replayer(recorded(tmp_path, two_hosts(401), hosts=["a", "b"]), wall)
    clock.pause()
    steps = {
        "right": 10,
        "shift-right": 70,
        "]": 130,
        "left": 120,
        "[": 60,
        "}": 100,
        "{": 60,
        "shift-left": 0,
    }
    for key, at_s in steps.items():
        assert shown.press(key)
        assert clock.at_s == at_s, key
    assert shown.press("+") and clock.words.endswith("×2")
    assert shown.press("=") and clock.words.endswith("×5")
    assert shown.press("-") and clock.words.endswith("×2")
    assert shown.press(" ") and "paused" not in clock.words
    assert shown.press("p") and "paused" in clock.words
    for key in ("j", "down", "q", "s", "/", "?", "1", "enter", "r"):
        assert not shown.press(key)


def test_the_bundled_recording_can_be_replayed(wall: Wall) -> None:
    folder = Path(__file__).resolve().parents[2] / "examples" / "recordings" / "mnist_cnn"
    shown, clock = replayer(RunDirectory(str(folder)), wall)
    clock.seek(30)
    (status,) = shown.picture().statuses
    assert status.state is NodeState.LIVE
    first = json.loads((folder / "samples.jsonl").read_text().splitlines()[0])
    assert shown.picture().at_s == pytest.approx(first["at_s"] + 30)
