"""Which processes are a job's on nodes that this machine cannot be: captured /proc trees."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from node_parts import FakeProc, of

from hpcwatch.probe.evidence import JobIds, is_watcher, own_session
from hpcwatch.probe.job_members import JobMembers
from hpcwatch.probe.procs import ProcessTable
from hpcwatch.probe.spec import Spec

MATCHES = [
    ("305669", "305669.qb3"),
    ("305669", "305669.qb3.loni.org"),
    ("305669.qb3", "305669"),
    ("305669.qb3", "305669.qb3.loni.org"),
    ("305669.qb3.loni.org", "305669.QB3"),
    ("5[1].qb3", "5[1]"),
    ("2_3", "2_3"),
]
DIFFERS = [
    ("305669", "3056690"),
    ("305669", "30566"),
    ("305669", "305669[1].qb3"),
    ("305669.qb3", "305669.qb4"),
    ("305669.qb3", "305669.qb30"),
    ("5[1].qb3", "5[10].qb3"),
    ("5[1].qb3", "5[].qb3"),
    ("2_3", "2"),
    ("2", "2_3"),
    ("305669", ""),
    ("", ""),
]


@pytest.mark.parametrize(("own", "shown"), MATCHES)
def test_a_job_s_id_is_known_with_and_without_its_server(own: str, shown: str) -> None:
    assert JobIds(["other", own]).match(shown)


@pytest.mark.parametrize(("own", "shown"), DIFFERS)
def test_another_job_s_id_is_never_taken_for_it(own: str, shown: str) -> None:
    assert not JobIds([own]).match(shown)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def table_of(proc: FakeProc, spec: Spec, own_pid: int = 1) -> ProcessTable:
    table = ProcessTable(JobMembers(spec, str(proc.root), own_pid), proc=str(proc.root))
    table._discovery._most_kept = 0  # an open file outlives its removal, unlike those of /proc
    return table


def found(proc: FakeProc, spec: Spec, own_pid: int = 1) -> tuple[str, set[int]]:
    table = table_of(proc, spec, own_pid)
    table.refresh()
    members = set(table.tracked)
    table.close()
    return table.members.found_by, members


V1 = "12:memory:{path}\n5:cpuset:{path}\n1:name=systemd:/system.slice/x.service\n0::/\n"
GROUPS = [
    "0::/system.slice/slurmstepd.scope/job_{id}/step_0/user/task_0\n",
    V1.format(path="/slurm/uid_1000/job_{id}/step_batch/task_0"),
    V1.format(path="/pbs_jobs.service/jobid/{id}.qb3"),
    "5:cpuset:/torque/{id}.qb3\n4:memory:/system.slice/pbs_mom.service\n",
]


@pytest.mark.parametrize("group", GROUPS)
def test_every_scheduler_s_cgroup_is_known(proc: FakeProc, group: str) -> None:
    proc.put(10, cgroup=group.replace("{id}", "305669"))
    proc.put(11, cgroup=group.replace("{id}", "3056690"))
    proc.put(12, cgroup=group.replace("{id}", "30566"))
    proc.put(13, ppid=10)
    assert found(proc, of("305669")) == ("cgroup", {10, 13})


SLUID, OTHER_SLUID = "sBXSM8MARR7000", "sEKNKTV3WPV500"
SLUID_GROUP = "0::/system.slice/slurmstepd.scope/{sluid}/step_{step}\n"


def in_step(sluid: str, step: str = "0/user/task_0") -> str:
    return SLUID_GROUP.format(sluid=sluid, step=step)


def test_a_group_named_by_sluid_is_known_by_the_shepherd_s_title(proc: FakeProc) -> None:
    """As captured from Slurm 26.05.3; the task's environment may not be ours to read."""
    for pid, step in ((10, "extern"), (11, "batch"), (12, "0")):
        group = in_step(SLUID, f"{step}/slurm")
        proc.put(pid, name="slurmstepd", argv=[f"slurmstepd: [305669.{step}]"], cgroup=group)
    other = in_step(OTHER_SLUID, "batch/slurm")
    proc.put(20, name="slurmstepd", argv=["slurmstepd: [305670.batch]"], cgroup=other)
    proc.put(30, ppid=1, cgroup=in_step(SLUID))
    proc.put(31, ppid=1, cgroup=in_step(OTHER_SLUID))
    assert found(proc, of("305669")) == ("cgroup", {30})


def test_a_group_named_by_sluid_is_known_by_the_environment(proc: FakeProc) -> None:
    marks = {"SLURM_JOB_ID": "305669", "SLURM_JOB_SLUID": SLUID}
    proc.put(10, cgroup=in_step(SLUID), environment=marks)
    proc.put(11, cgroup=in_step(OTHER_SLUID), environment={"SLURM_JOB_ID": "305670"})
    table = table_of(proc, of("305669"))
    table.refresh()
    assert (table.members.found_by, set(table.tracked)) == ("cgroup", {10})
    # A requeued job gets another SLUID: the old one stays known, the new one is learnt.
    again = "s00000000000AA"
    moved = {"SLURM_JOB_ID": "305669", "SLURM_JOB_SLUID": again}
    proc.put(12, cgroup=in_step(again), environment=moved)
    proc.put(13, cgroup=in_step(again))
    table.refresh()
    assert set(table.tracked) >= {10, 12}
    table.close()


def test_an_inherited_environment_does_not_make_another_job_s_group_ours(proc: FakeProc) -> None:
    """A job that was submitted from inside ours, with all of our environment."""
    proc.put(1, 0, "systemd")
    other = in_step(OTHER_SLUID, "batch/slurm")
    proc.put(20, name="slurmstepd", argv=["slurmstepd: [305670.batch]"], cgroup=other)
    marks = {"SLURM_JOB_ID": "305669", "SLURM_JOB_SLUID": SLUID}
    proc.put(21, ppid=20, cgroup=in_step(OTHER_SLUID), environment=marks)
    assert found(proc, of("305669")) == ("none", set())


ANOTHERS = [
    {"cgroup": "0::/system.slice/slurmstepd.scope/job_305670/step_0/user/task_0\n"},
    {"cgroup": V1.format(path="/pbs_jobs.service/jobid/305670.qb3")},
    {"cgroup": "5:cpuset:/torque/305670.qb3\n"},
    {"environment": {"PBS_JOBID": "305670.qb3"}},
    {"environment": {"SLURM_JOB_ID": "305670"}},
]


@pytest.mark.parametrize("marks", ANOTHERS)
def test_what_shows_another_job_is_provably_not_ours(proc: FakeProc, marks: dict[str, Any]) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    proc.put(10, **marks)
    proc.put(11, ppid=10)  # it cleared its environment
    proc.put(12, ppid=11)
    assert found(proc, of("305669", user=me)) == ("none", set())
    proc.put(30)
    assert found(proc, of("305669", user=me)) == ("user", {30})


def test_what_another_job_s_shepherd_started_is_not_ours(proc: FakeProc) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    proc.put(10, name="slurmstepd", argv=["slurmstepd: [305670.0]"])
    proc.put(11, ppid=10)
    proc.put(12, ppid=11)
    assert found(proc, of("305669", user=me)) == ("none", set())


def test_a_child_that_shows_another_job_is_not_ours_though_its_parent_is(proc: FakeProc) -> None:
    proc.put(10, environment={"PBS_JOBID": "305669.qb3"})
    proc.put(11, ppid=10, environment={"PBS_JOBID": "305670.qb3"})
    assert found(proc, of("305669")) == ("environment", {10})


STARTING = [
    "/bin/sh",
    "-c",
    'exec "$i" -c "..." hpcwatch-probe',
    "hpcwatch-probe",
    "/usr/bin/python3",
]


def test_a_second_hpcwatch_and_its_session_are_not_the_user_s_work(proc: FakeProc) -> None:
    """Seen on OpenPBS: another hpcwatch's sshd and its probe, as it starts, counted."""
    me = pwd.getpwuid(os.getuid()).pw_name
    proc.put(1, 0, "systemd")
    proc.put(20, 1, "sshd")
    proc.put(21, 20, "sshd")
    proc.put(30, 1)
    table = table_of(proc, of("305669", user=me))
    table.refresh()
    assert set(table.tracked) == {20, 21, 30}
    proc.put(22, 21, "sh", argv=STARTING)
    table.refresh()
    assert set(table.tracked) == {20, 30}
    proc.put(22, 21, "hpcwatch-probe", argv=["hpcwatch-probe"])
    table.refresh()
    assert set(table.tracked) == {20, 30}
    table.close()


def test_a_slurmstepd_in_the_job_s_cgroup_is_slurm_s(proc: FakeProc) -> None:
    group = "0::/system.slice/slurmstepd.scope/job_305669/step_0/slurm\n"
    proc.put(10, name="slurmstepd", argv=["slurmstepd: [305669.0]"], cgroup=group)
    proc.put(11, ppid=10, name="slurmstepd", argv=["slurmstepd: [305669.0]"])
    proc.put(12, ppid=10)
    assert found(proc, of("305669")) == ("shepherd", {12})


def test_children_of_pbs_mom_are_told_apart_by_their_environment(proc: FakeProc) -> None:
    proc.put(10, name="pbs_mom")
    proc.put(11, ppid=10, name="bash", environment={"PBS_JOBID": "305669.qb3"})
    proc.put(12, ppid=10, name="bash", environment={"PBS_JOBID": "305670.qb3"})
    proc.put(13, ppid=10, name="pbs_mom")
    proc.put(14, ppid=11)
    proc.put(15, ppid=1, environment={"PBS_JOBID": "305669.qb3"})
    assert found(proc, of("305669")) == ("shepherd", {11, 14, 15})


def test_what_may_not_be_read_is_no_error(proc: FakeProc) -> None:
    proc.put(10, environment={"PBS_JOBID": "305669"})
    proc.put(11)
    for name in ("environ", "cgroup", "cmdline"):
        (proc.root / "11" / name).unlink()
    assert found(proc, of("305669")) == ("environment", {10})


def own_tree(proc: FakeProc, daemon: str) -> None:
    """A probe in an ssh session, another session's shell, and a program without a session."""
    proc.put(1, 0, "systemd")
    proc.put(20, 1, "sshd")
    proc.put(21, 20, daemon)
    proc.put(22, 21, daemon)
    proc.put(23, 22, "tcsh")
    proc.put(24, 23, "hpcwatch-probe")
    proc.put(30, 1, "python")


@pytest.mark.parametrize("daemon", ["sshd", "sshd-session"])
def test_our_own_session_is_not_the_user_s_work(proc: FakeProc, daemon: str) -> None:
    own_tree(proc, daemon)
    assert own_session(str(proc.root), 24) == {22, 23, 24}
    me = pwd.getpwuid(os.getuid()).pw_name
    assert found(proc, of(user=me), own_pid=24) == ("user", {1, 20, 21, 30})


def test_without_sshd_what_started_the_probe_is_the_job_s(proc: FakeProc) -> None:
    proc.put(1, 0, "systemd")
    proc.put(23, 1, "bash")
    proc.put(24, 23, "hpcwatch-probe")
    assert own_session(str(proc.root), 24) == {24}


WATCHERS = [
    ("hpcwatch", ["/usr/bin/python3", "/opt/bin/hpcwatch", "job", "1"], True),
    ("python3", ["python3", "/opt/bin/hpcwatch", "job", "1"], True),
    ("python3.11", ["python3", "-m", "hpcwatch", "top"], True),
    ("python3", ["/usr/bin/python3", "-E", "-m", "hpcwatch.probe"], True),
    ("python3", ["python3", "-I", "-S", "-B", "-c", "import sys", "hpcwatch-probe", "x"], True),
    ("python3", ["python3", "-S", "/home/a/hpcwatch.pyz", "job", "1"], True),
    ("python3", ["python3", "train.py", "--data", "/home/a/hpcwatch"], False),
    ("python3", ["python3", "/home/a/train.pyz", "hpcwatch.pyz"], False),
    ("python3", ["python3", "/home/a/hpcwatch_train.py"], False),
    ("python3", ["python3", "-c", "print()"], False),
    ("vi", ["vi", "hpcwatch"], False),
    ("python3", [], False),
]


@pytest.mark.parametrize(("name", "argv", "expected"), WATCHERS)
def test_hpcwatch_knows_its_like(
    proc: FakeProc, name: str, argv: list[str], expected: bool
) -> None:
    proc.put(10, name=name, argv=argv)
    if not argv:
        (proc.root / "10" / "cmdline").write_bytes(b"")
    assert is_watcher(name.encode(), str(proc.root / "10")) is expected


def used(table: ProcessTable) -> tuple[int, int]:
    table.refresh()
    total = table.totals.sum()
    return total.user_ticks, total.system_ticks


def test_ticks_go_to_the_heir_or_stay_with_us(proc: FakeProc) -> None:
    mark = {"PBS_JOBID": "305669"}
    proc.put(10, environment=mark, ticks=(100, 10))
    proc.put(11, ppid=10, ticks=(50, 5))
    proc.put(12, ppid=11, ticks=(20, 2))
    proc.put(13, ppid=1, environment=mark, ticks=(7, 3))
    table = table_of(proc, of("305669"))
    assert used(table) == (177, 20)
    # 11 waited for 12, and 10 for 11: it has all, and a child that nobody saw.
    proc.remove(11)
    proc.remove(12)
    proc.put(10, environment=mark, ticks=(100, 10), reaped=(80, 7))
    assert used(table) == (187, 20)
    # Of 13 nobody we see was told.
    proc.remove(13)
    assert used(table) == (187, 20)
    # The rest ends.
    proc.remove(10)
    assert used(table) == (187, 20)
    table.close()


def test_ticks_of_an_orphan_whose_parent_ended_with_it_are_kept(proc: FakeProc) -> None:
    mark = {"PBS_JOBID": "305669"}
    proc.put(10, environment=mark)
    proc.put(11, ppid=10, ticks=(50, 5))
    proc.put(12, ppid=11, ticks=(20, 2))
    table = table_of(proc, of("305669"))
    assert used(table) == (70, 7)
    proc.remove(11)
    proc.remove(12)
    proc.put(10, environment=mark, reaped=(50, 5))  # of 12 the init process was told
    assert used(table) == (70, 7)
    table.close()


def test_a_number_that_was_a_shepherd_s_shepherds_no_more(proc: FakeProc) -> None:
    proc.put(10, name="slurmstepd", argv=["slurmstepd: [305669.0]"])
    proc.put(11, ppid=10)
    table = table_of(proc, of("305669"))
    table.refresh()
    assert set(table.tracked) == {11}
    proc.remove(10)
    proc.remove(11)
    table.refresh()
    proc.put(10, name="bash")
    table.refresh()
    proc.put(12, ppid=10)
    table.refresh()
    assert set(table.tracked) == set()
    table.close()
