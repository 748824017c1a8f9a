"""Which of a node's processes are a job's, with real processes, marks and control groups."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from node_parts import NUMBER, USER, end, hear, of, running, say, start
from test_cgroup_real import CONTROLLER, is_empty, own_group
from unit_parts import wait_until

from hpcwatch.probe.probe import Probe
from hpcwatch.probe.schema import JobUse, Sample
from hpcwatch.probe.spec import Spec

ID = f"{NUMBER}.qb3"
JOB = {"PBS_JOBID": ID}
NEAR = (f"{NUMBER}0.qb3", f"{NUMBER[:-1]}.qb3", f"1{NUMBER}", f"{NUMBER}[1].qb3")
BURN = """
import sys, time
def burn():
    while time.process_time() < wanted_s:
        pass
wanted_s = 0.2
burn()
print("burned", flush=True)
sys.stdin.readline()
"""


@contextmanager
def probing(spec: Spec) -> Iterator[Probe]:
    made = Probe(spec)
    try:
        yield made
    finally:
        made.close()


def job(sample: Sample) -> JobUse:
    assert sample.errors is None, sample.errors
    assert sample.job is not None
    return sample.job


def pids(probe: Probe) -> set[int]:
    """Read, and tell whose figures were summed up, of those that live.

    What an earlier test orphaned may wait long for this machine's first process to collect it.
    """
    job(probe.read(is_full=False))
    return {pid for pid in probe._table.tracked if not is_zombie(pid)}


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return False


def cpu_s(sample: Sample) -> float:
    use = job(sample)
    assert use.cpu_user_s is not None
    assert use.cpu_system_s is not None
    return use.cpu_user_s + use.cpu_system_s


def test_processes_are_found_by_their_environment_and_those_of_other_jobs_are_not() -> None:
    with ExitStack() as stack, probing(of(NUMBER)) as probe:
        for near in NEAR:
            stack.enter_context(running("sleep", 60, environment={"PBS_JOBID": near}))
        stack.enter_context(running("sleep", 60, environment={"XPBS_JOBID": ID}))
        ours = stack.enter_context(running("sh", "-c", "sleep 60 & echo $!; wait", environment=JOB))
        child = int(hear(ours))
        try:
            assert pids(probe) == {ours.pid, child}
            sample = probe.read(is_full=False)
        finally:
            os.kill(child, 9)
    assert job(sample).found_by == "environment"
    assert {one.user for one in sample.processes or []} == {pwd.getpwuid(os.getuid()).pw_name}
    assert job(sample).allowed_cores == len(os.sched_getaffinity(0))
    assert sample.cgroup is None


@pytest.mark.parametrize("variable", ["PBS_JOBID", "SLURM_JOB_ID", "SLURM_JOBID"])
def test_each_scheduler_s_variable_counts(variable: str) -> None:
    environment = {"A": "1", variable: NUMBER, "Z": "1"}
    with running("sleep", 60, environment=environment) as one, probing(of(NUMBER)) as probe:
        assert pids(probe) == {one.pid}


def test_a_descendant_needs_no_mark_of_its_own() -> None:
    script = "env -u PBS_JOBID sleep 60 & echo $!; wait"
    with running("sh", "-c", script, environment=JOB) as shell, probing(of(ID)) as probe:
        child = int(hear(shell))
        try:
            assert pids(probe) == {shell.pid, child}
        finally:
            os.kill(child, 9)


def test_a_job_without_a_process_on_the_node_uses_nothing_there() -> None:
    with probing(of("999999999")) as probe:
        use = job(probe.read(is_full=False))
    assert (use.process_count, use.found_by) == (0, "none")
    assert (use.cpu_user_s, use.cpu_system_s, use.used_bytes, use.read_bytes) == (0, 0, 0, 0)
    assert use.allowed_cores is None


def test_a_process_that_shows_the_job_only_after_it_began_is_found() -> None:
    with probing(of(ID)) as probe:
        script = f"read word; PBS_JOBID={ID} exec sleep 60"
        with running("sh", "-c", script) as late:
            assert pids(probe) == set()
            say(late, "go")
            wait_until(lambda: pids(probe) == {late.pid}, "the program with the job's id")


@pytest.fixture
def stepd(tmp_path: Path) -> Path:
    """A program of Slurm's name."""
    return Path(shutil.copy("/bin/sh", tmp_path / "slurmstepd"))


def test_what_slurm_s_shepherd_started_is_the_job_s_and_the_shepherd_is_not(stepd: Path) -> None:
    launch = 'exec -a "$0" "$@"'
    script = "sleep 60 & echo $!; wait"
    children = []
    with ExitStack() as stack, probing(of(NUMBER)) as probe:
        for step in (f"{NUMBER}.batch", f"{NUMBER}.0", f"{NUMBER}0.0", f"{NUMBER[:-1]}.extern"):
            title = f"slurmstepd: [{step}]"
            words = ("bash", "-c", launch, title, stepd, "-c", script)
            children.append(int(hear(stack.enter_context(running(*words)))))
        try:
            assert pids(probe) == set(children[:2])
            assert job(probe.read(is_full=False)).found_by == "shepherd"
        finally:
            for pid in children:
                os.kill(pid, 9)


@pytest.fixture
def groups() -> Iterator[Path]:
    """Two jobs' groups as Slurm makes them; the first is returned."""
    if not os.access(CONTROLLER / "cgroup.procs", os.W_OK):
        pytest.skip("needs root and a writable cgroup v1 memory controller")
    base = own_group() / f"slurm_test{os.getpid()}"
    folders = [base, base / "uid_0", base / f"uid_0/job_{NUMBER}", base / f"uid_0/job_{NUMBER}0"]
    folders.insert(3, folders[2] / "step_0")
    for folder in folders:
        folder.mkdir()
    yield folders[2]
    for folder in reversed(folders):
        wait_until(partial(is_empty, folder), "the end of what ran there")
        folder.rmdir()


def test_the_job_s_real_cgroup_tells_its_processes_and_what_they_use(groups: Path) -> None:
    enter = 'echo $$ >"$0"/cgroup.procs && echo in && exec sleep 60'
    (groups / "memory.limit_in_bytes").write_text(str(64 << 20))
    with ExitStack() as stack, probing(of(NUMBER)) as probe:
        inside = stack.enter_context(running("sh", "-c", enter, groups / "step_0"))
        other = stack.enter_context(running("sh", "-c", enter, groups.parent / f"job_{NUMBER}0"))
        marked = stack.enter_context(running("sleep", 60, environment={"SLURM_JOB_ID": NUMBER}))
        assert (hear(inside), hear(other)) == ("in", "in")
        assert pids(probe) == {inside.pid, marked.pid}
        sample = probe.read(is_full=False)
        assert job(sample).found_by == "cgroup"
        assert sample.cgroup is not None
        assert sample.cgroup.path.endswith(f"/uid_0/job_{NUMBER}")
        assert (sample.cgroup.is_job, sample.cgroup.limit_bytes) == (True, 64 << 20)
        end(inside)
        assert probe.read(is_full=False).cgroup is not None


@pytest.fixture
def as_other() -> str:
    """A user who has no other processes here."""
    if os.getuid() != 0:
        pytest.skip("needs root to start processes of another user")
    return USER


def test_without_a_mark_all_of_the_owner_s_processes_count_and_it_is_told(as_other: str) -> None:
    with ExitStack() as stack, probing(of(NUMBER, user=as_other)) as probe:
        theirs = stack.enter_context(running("sleep", 60, user=as_other))
        stack.enter_context(running("sleep", 60))
        assert pids(probe) == {theirs.pid}
        sample = probe.read(is_full=False)
    assert job(sample).found_by == "user"
    assert [one.user for one in sample.processes or []] == [as_other]
    assert sample.cgroup is None


def test_another_job_s_processes_are_never_counted_for_want_of_better(as_other: str) -> None:
    """Three jobs of one user on the second node of a job that works on the first alone."""
    with ExitStack() as stack, probing(of(NUMBER, user=as_other)) as probe:
        for near in NEAR[:3]:
            words = "sh", "-c", "env -i sleep 60 & echo $!; wait"
            started = running(*words, environment={"PBS_JOBID": near}, user=as_other)
            child = int(hear(stack.enter_context(started)))
            stack.callback(os.kill, child, 9)
        use = job(probe.read(is_full=False))
        assert (use.process_count, use.found_by, use.cpu_user_s) == (0, "none", 0)


def test_with_a_mark_the_owner_s_other_processes_do_not_count(as_other: str) -> None:
    with ExitStack() as stack, probing(of(NUMBER, user=as_other)) as probe:
        stack.enter_context(running("sleep", 60, user=as_other))
        ours = stack.enter_context(running("sleep", 60, environment=JOB, user=as_other))
        assert pids(probe) == {ours.pid}
        stack.enter_context(running("sleep", 60, user=as_other))
        assert pids(probe) == {ours.pid}


def test_a_user_s_probes_and_watchers_are_not_the_user_s_work(
    as_other: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    sleeper = shutil.copy("/bin/sleep", tmp_path / "hpcwatch-probe")
    watcher = shutil.copy("/bin/sleep", tmp_path / "hpcwatch")
    with ExitStack() as stack, probing(of(user=as_other)) as probe:
        stack.enter_context(running(sleeper, 60, user=as_other))
        stack.enter_context(running(watcher, 60, user=as_other))
        theirs = stack.enter_context(running("sleep", 60, user=as_other))
        assert pids(probe) == {theirs.pid}
        script = f"read word; exec {watcher} 60"
        becomes = stack.enter_context(running("sh", "-c", script, user=as_other))
        assert pids(probe) == {theirs.pid, becomes.pid}
        say(becomes, "go")
        wait_until(lambda: pids(probe) == {theirs.pid}, "the watcher to be left out")


def test_a_surer_way_takes_over_and_no_counter_goes_back(as_other: str) -> None:
    with ExitStack() as stack, probing(of(NUMBER, user=as_other)) as probe:
        script = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; echo burned; read word"
        stranger = stack.enter_context(running("sh", "-c", script, user=as_other))
        assert hear(stranger) == "burned"
        before = probe.read(is_full=False)
        assert job(before).found_by == "user"
        assert cpu_s(before) > 0
        ours = stack.enter_context(running("sleep", 60, environment=JOB, user=as_other))
        wait_until(lambda: pids(probe) == {ours.pid}, "the job's own process")
        after = probe.read(is_full=False)
        assert job(after).found_by == "environment"
        assert job(after).seen_count == 1
        assert cpu_s(after) >= cpu_s(before)
        end(ours)
        gone = probe.read(is_full=False)
        assert (job(gone).process_count, job(gone).found_by) == (0, "environment")
        assert cpu_s(gone) >= cpu_s(after)


def test_what_ended_members_used_stays_where_no_member_waited_for_them() -> None:
    with probing(of(NUMBER)) as probe:
        counted = [0.0]
        for _ in range(2):
            worker = start(sys.executable, "-c", BURN, environment=JOB)
            assert hear(worker) == "burned"
            counted.append(cpu_s(probe.read(is_full=False)))
            end(worker)
            counted.append(cpu_s(probe.read(is_full=False)))
    assert counted == sorted(counted)
    assert counted[1] >= 0.15
    assert counted[3] >= counted[2] + 0.15


def test_cpu_of_a_parent_and_its_child_that_end_together_is_kept_once() -> None:
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
    with probing(of(NUMBER)) as probe:
        parent = start(sys.executable, "-c", code, environment=JOB)
        assert hear(parent) == "burned"
        before_s = cpu_s(probe.read(is_full=False))
        assert before_s >= 0.15
        say(parent, "end")
        parent.wait()
        after_s = cpu_s(probe.read(is_full=False))
        end(parent)
    # Both also end, which takes the longer the slower the machine starts them.
    assert before_s <= after_s < 1.4 * before_s


def test_everyone_s_processes_are_all_but_the_kernel_s() -> None:
    with running("sleep", 60) as one, probing(Spec(1.0, is_everyone=True)) as probe:
        sample = probe.read(is_full=False)
        found = set(probe._table.tracked)
    assert job(sample).found_by == "all"
    assert {1, os.getpid(), one.pid} <= found
    kernels = Path("/proc/2/comm").read_text() if Path("/proc/2").exists() else ""
    assert not (kernels == "kthreadd\n" and 2 in found)
    assert sample.cgroup is None


def test_listing_users_by_number_where_they_have_no_name() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to start processes of another user")
    nameless = subprocess.Popen(["sleep", "60"], env=JOB, user=54321)
    try:
        with probing(of(NUMBER)) as probe:
            (one,) = probe.read(is_full=False).processes or []
            assert (one.pid, one.user) == (nameless.pid, "54321")
    finally:
        nameless.kill()
        nameless.wait()
