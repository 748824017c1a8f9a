"""A recording that grows, exported by another process: late nodes, lost nodes, thinned files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from export_scenes import JOB, Told, names, openly, sample, value

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.config import Settings
from hpcwatch.export.exporter import Exporter
from hpcwatch.export.following import Following
from hpcwatch.export.points import points_of
from hpcwatch.export.wanted import Wanted
from hpcwatch.probe.schema import Sample, to_line
from hpcwatch.recording.store import SAMPLES_FILE, Event, Run, RunDirectory

HOST = os.uname().nodename


class Recording:
    """A recording that this process makes, line by line."""

    def __init__(self, path: Path, run_id: str = "a") -> None:
        self.started_s = time.time()
        self.directory = RunDirectory.create(str(path))
        self.run = Run(
            run_id, "train", "job", [], "/", "alice", [HOST, "n2"], self.started_s, 1.0, "0",
            1, {}, JOB, monitor_host="elsewhere",
        )  # fmt: skip
        self.directory.write_run(self.run)

    def sample(self, host: str, step: int, old_s: float = 0.0) -> Sample:
        """A reading of about now."""
        made = sample(host, step)
        return made._replace(at_s=self.started_s + step / 100 - old_s)

    def add(self, *samples: Sample, ending: str = "\n") -> None:
        """Append samples."""
        with open(self.directory.file(SAMPLES_FILE), "a") as stream:
            stream.writelines(to_line(one) + ending for one in samples)

    def follow(self) -> Following:
        """Follow it."""
        return Following(self.directory, Settings())


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """A recording without a sample."""
    return Recording(tmp_path / "run")


def told(following: Following) -> list[Told]:
    """What is exported now."""
    return openly(following.numbers(points_of).points)


def test_before_the_first_sample_there_is_the_job(recording: Recording) -> None:
    found = told(recording.follow())
    assert "hpcwatch_job_info" in names(found)
    assert "hpcwatch_node_up" not in names(found)


def test_what_is_appended_is_exported(recording: Recording) -> None:
    following = recording.follow()
    recording.add(recording.sample(HOST, 0), recording.sample(HOST, 1))
    assert value(told(following), "hpcwatch_cpu_seconds_total", node=HOST) == 3.5
    recording.add(recording.sample(HOST, 2))
    recording.add(recording.sample(HOST, 3), ending="")  # half a line
    assert value(told(following), "hpcwatch_cpu_seconds_total", node=HOST) == 7.0
    assert not following.is_over


def test_a_thinned_file_is_read_anew_and_nothing_goes_back(recording: Recording) -> None:
    following = recording.follow()
    recording.add(*(recording.sample(HOST, step) for step in range(6)))
    told(following)
    thinned = [recording.sample(HOST, step) for step in (1, 3, 5, 6)]
    path = Path(recording.directory.file(SAMPLES_FILE))
    other = path.with_name("other")
    other.write_text("torn line\n" + "".join(to_line(one) + "\n" for one in thinned))
    os.replace(other, path)
    assert value(told(following), "hpcwatch_cpu_seconds_total", node=HOST) == 21.0


def test_a_node_whose_readings_are_late_is_down(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = recording.follow()
    recording.add(recording.sample(HOST, 0), recording.sample("n2", 0))
    assert {one.value for one in told(following) if one.name == "hpcwatch_node_up"} == {1.0}
    recording.add(recording.sample(HOST, 1))
    told(following)
    later_s = time.monotonic() + 60.0
    monkeypatch.setattr("hpcwatch.export.states.time.monotonic", lambda: later_s)
    recording.add(recording.sample(HOST, 2))
    found = told(following)
    assert value(found, "hpcwatch_node_up", node=HOST) == 1
    assert value(found, "hpcwatch_node_up", node="n2") == 0
    assert {one.name for one in found if one.labels.get("node") == "n2"} == {"hpcwatch_node_up"}


def test_a_node_that_was_late_before_we_looked_is_down_at_once(recording: Recording) -> None:
    recording.add(recording.sample("n2", 0, old_s=600.0), recording.sample(HOST, 0))
    found = told(recording.follow())
    assert value(found, "hpcwatch_node_up", node="n2") == 0
    assert value(found, "hpcwatch_node_up", node=HOST) == 1


def test_a_lost_node_is_down_until_it_is_found(recording: Recording) -> None:
    following = recording.follow()
    recording.add(recording.sample(HOST, 0))
    lost = Event(recording.started_s, "node lost", {"host": HOST, "reason": "timeout"})
    recording.directory.append_event(lost)
    assert value(told(following), "hpcwatch_node_up", node=HOST) == 0
    recording.directory.append_event(lost._replace(name="node found"))
    assert value(told(following), "hpcwatch_node_up", node=HOST) == 1


def test_what_has_ended_is_over(recording: Recording) -> None:
    recording.add(recording.sample(HOST, 0), recording.sample(HOST, 1))
    following = recording.follow()
    recording.directory.write_run(recording.run._replace(ended_at_s=time.time()))
    assert following.is_over
    found = told(following)
    assert value(found, "hpcwatch_cpu_seconds_total", node=HOST) == 3.5
    assert not names(found) & {"hpcwatch_node_up", "hpcwatch_memory_used_bytes"}


def test_one_source_that_fails_leaves_the_others(recording: Recording, tmp_path: Path) -> None:
    other = Recording(tmp_path / "other", "b")
    said: list[str] = []
    sources = [recording.follow(), other.follow()]
    exporter = Exporter(sources, Wanted(cluster="c7"), said.append)
    for one in (recording, other):
        one.add(one.sample(HOST, 0))
    both = exporter.text(is_open=True)
    assert (both.count("hpcwatch_node_up{"), said) == (1, [])  # the same job, the same node
    os.unlink(recording.directory.file("run.json"))
    assert "hpcwatch_node_up{" in exporter.text(is_open=False)
    assert len(said) == 1
    assert 'cluster="c7"' in both
    with pytest.raises(HpcwatchError):
        sources[0].numbers(points_of)
