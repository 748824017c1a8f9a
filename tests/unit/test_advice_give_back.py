"""Which nodes a running job could give back, and with which command."""

from __future__ import annotations

import io
from typing import Any

import pytest
from unit_parts import GIB, START_S, sample

from hpcwatch.analysis.advice_surplus import surplus
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli import give_back
from hpcwatch.cluster.schedulers import dialect
from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.monitor.picture import Picture
from hpcwatch.probe.schema import JobUse
from hpcwatch.recording.store import Event

LASTS_S = 400
JOB = Job(
    "17", "slurm", nodes=("n1", "n2", "n3"), state=JobState.RUNNING, node_cores_count=8,
    walltime_s=7200, started_at_s=START_S, owner="alice",
)  # fmt: skip
USED = JobUse("cgroup", 3, 5, used_bytes=GIB)
EMPTY = JobUse("none")


def timeline(uses: dict[str, JobUse | None], since: int = 0) -> Timeline:
    made = Timeline(10.0, JOB)
    for second in range(since, LASTS_S + 1, 10):
        for host, use in uses.items():
            made.add(sample(second, job=use, gpus=[])._replace(host=host))
    return made


def unused(
    uses: dict[str, JobUse | None], job: Job = JOB, since: int = 0, late_s: float = 0.0
) -> Any:
    return surplus(job, timeline(uses, since), START_S + LASTS_S + late_s)


THREE: dict[str, JobUse | None] = {"n1": USED, "n2": EMPTY, "n3": USED}


def test_a_node_without_a_process_and_what_it_frees() -> None:
    found = unused(THREE)
    assert found.hosts == ("n2",)
    assert (found.cores_count, found.left_s) == (8, 6800.0)
    assert found.core_hours == pytest.approx(8 * 6800 / 3600)
    shares = (JobNode("n2", cores_count=2),)
    assert unused(THREE, JOB._replace(allocation=shares)).cores_count == 2
    assert unused(THREE, JOB._replace(walltime_s=None)).core_hours is None


@pytest.mark.parametrize(
    "more",
    [
        {"uses": {**THREE, "n2": JobUse("none", 0, 1)}},  # one lived there before
        {"uses": {**THREE, "n2": JobUse("none", 1, 1)}},
        {"uses": {**THREE, "n2": JobUse("visible")}},  # others' processes are hidden
        {"uses": {**THREE, "n2": JobUse("user")}},
        {"uses": {**THREE, "n2": None}},  # it could not be read
        {"uses": {"n1": USED, "n2": EMPTY}},  # n3 is not watched
        {"uses": {"n1": EMPTY, "n2": USED, "n3": USED}},  # the script's own
        {"uses": THREE, "since": 200},  # not for long enough
        {"uses": THREE, "late_s": 60.0},  # nothing was read lately
        {"uses": THREE, "job": JOB._replace(state=JobState.SUSPENDED)},
        {"uses": {"n1": EMPTY}, "job": JOB._replace(nodes=("n1",))},
    ],
)
def test_what_is_not_certain_is_not_offered(more: dict[str, Any]) -> None:
    assert unused(**more).hosts == ()


def test_slurm_keeps_the_other_nodes() -> None:
    way = dialect("slurm").give_back
    assert way is not None
    query = way.query(JOB, ("n2",))
    assert query is not None
    assert query.argv == ("scontrol", "update", "JobId=17", "NodeList=n1,n3")
    assert query.parse(Answer(b"", b"", 0)) == ""
    with pytest.raises(HpcwatchError, match="Access/permission denied"):
        query.parse(Answer(b"", b"Access/permission denied for job 17", 1))
    task = way.query(JOB._replace(id="2_3"), ("n2",))
    assert task is not None
    assert "JobId=2_3" in task.argv
    assert way.query(JOB._replace(id="17_[1-2]"), ("n2",)) is None
    assert way.query(JOB._replace(id="17+0", het_id="17"), ("n2",)) is None
    assert way.query(JOB, JOB.nodes) is None
    with pytest.raises(HpcwatchError):
        way.query(JOB._replace(nodes=("n1", "n2", "-x")), ("n2",))


def test_pbs_pro_releases_them() -> None:
    way = dialect("pbspro").give_back
    assert way is not None
    query = way.query(JOB._replace(id="305669.qb3", scheduler="pbspro"), ("n2", "n3"))
    assert query is not None
    assert query.argv == ("pbs_release_nodes", "-j", "305669.qb3", "n2", "n3")
    assert dialect("torque").give_back is None


def picture(job: Job) -> Picture:
    return Picture("17", job, (job,), (), (), timeline(THREE), [], START_S + LASTS_S, 0.0, 10.0)


def unheard(event: Event) -> None:
    raise AssertionError(event)


def test_what_was_given_back_is_noted_once_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Event] = []
    giving = give_back.Giving("alice", heard.append)
    giving.look(picture(JOB))
    monkeypatch.setattr(give_back, "_run", lambda _query: "")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    for is_confirmed in (False, True):
        monkeypatch.setattr(give_back, "is_confirmed", lambda _, yes=is_confirmed: yes)
        giving.ask()
    told = {"hosts": "n2", "nodes_count": 1, "cores_count": 8, "core_hours": 15.111}
    assert [(event.name, event.fields) for event in heard] == [("nodes given back", told)]


def test_the_key_is_taken_only_where_there_is_something_to_give_back() -> None:
    giving = give_back.Giving("alice", unheard)
    assert not giving.press("g")
    giving.look(picture(JOB))
    assert giving.hints == ("g give back 1 node",)
    assert not giving.press("x")
    assert giving.press("g")
    with pytest.raises(give_back.Asked):
        giving.look(picture(JOB))
    giving.look(picture(JOB))  # asked once


@pytest.mark.parametrize(
    ("user", "job"),
    [
        ("bob", JOB),
        ("alice", JOB._replace(owner=None)),
        ("alice", JOB._replace(scheduler="torque")),
        ("alice", JOB._replace(het_id="17")),
    ],
)
def test_it_is_not_offered_to_others_or_where_the_scheduler_takes_none(user: str, job: Job) -> None:
    giving = give_back.Giving(user, unheard)
    giving.look(picture(job))
    assert (giving.hints, giving.press("g")) == ((), False)


def test_an_odd_name_among_the_nodes_is_no_error_in_the_view() -> None:
    odd = JOB._replace(nodes=("n1", "n2", "-n3"))
    assert give_back._query(odd, ("n2",)) is None


def test_what_the_scheduler_refuses_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(_query: object) -> str:
        raise HpcwatchError("scontrol: Access/permission denied")

    monkeypatch.setattr(give_back, "is_confirmed", lambda question: "it back" in question)
    monkeypatch.setattr(give_back, "_run", refused)
    assert not give_back.offer(JOB, unused(THREE))
    assert "Not given back: scontrol: Access/permission denied" in capsys.readouterr().out
    monkeypatch.setattr(give_back, "_run", lambda _query: "")
    assert give_back.offer(JOB, unused(THREE))
    out = capsys.readouterr().out
    assert (
        "Given back: 1 node, 8 cores, 15.1 core-hours if the job runs for the 113 min left." in out
    )
