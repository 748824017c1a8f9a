"""Which limit of a control group binds, and what the kernel counted before the program began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from test_cgroup import MIB, PID, V1, Tree

from hpcwatch.probe.cgroup import CgroupReader, job_id_in
from hpcwatch.probe.schema import Cgroup

JOB = "/system.slice/slurmstepd.scope/job_7"
CAPTURED = Path(__file__).parents[1] / "nodes" / "captures" / "slurm-26.05.3-two-steps-sluid.txt"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def files(used_mib: int, limit_mib: int | None = None, **more: str) -> dict[str, str]:
    """A group of version 2 that uses so much anonymous memory."""
    return {
        "memory.stat": f"anon {used_mib * MIB}\nfile 0\nshmem 0\n",
        "memory.max": "max\n" if limit_mib is None else f"{limit_mib * MIB}\n",
        "memory.peak": f"{(used_mib + 1) * MIB}\n",
        **{name.replace("_", "."): text for name, text in more.items()},
    }


def put(tree: Tree, groups: Mapping[str, dict[str, str]], own: str) -> None:
    tree.v2(own)
    for path, text in groups.items():
        tree.group(V1 + path.lstrip("/"), text)


def limit(group: Cgroup) -> tuple[int | None, str | None, int | None]:
    sizes = group.limit_bytes, group.limit_used_bytes
    limit_mib, used_mib = (None if size is None else size // MIB for size in sizes)
    return limit_mib, group.limit_path, used_mib


def test_a_step_s_own_limit_binds_and_is_named(tree: Tree) -> None:
    user = JOB + "/step_0/user"
    own = user + "/task_0"
    put(tree, {JOB: files(102, 300), user: files(99, 100), own: files(99)}, own)
    group = tree.known()
    assert limit(group) == (100, user, 99)
    assert group.limit_peak_bytes == 100 * MIB
    assert (group.path, group.used_bytes) == (JOB, 102 * MIB)


def test_a_limit_is_paired_with_the_use_of_its_own_group(tree: Tree) -> None:
    """Public case of 26.05: 68 MiB in the leaf, 295 of 300 MiB in the group that has the limit."""
    put(tree, {"/a": files(295, 300), "/a/b": files(68)}, "/a/b")
    group = tree.known()
    assert limit(group) == (300, "/a", 295)
    assert group.used_bytes == 68 * MIB


def test_the_level_with_the_least_room_binds_though_another_is_smaller(tree: Tree) -> None:
    user = JOB + "/step_0/user"
    put(tree, {JOB: files(295, 300), user: files(68, 150)}, user)
    assert limit(tree.known()) == (300, JOB, 295)


def test_a_limit_as_large_as_the_job_s_is_the_job_s(tree: Tree) -> None:
    user = JOB + "/step_batch/user"
    put(tree, {JOB: files(20, 300), user: files(20, 300)}, user)
    assert limit(tree.known())[1] == JOB


def test_another_step_s_limit_counts_for_the_job_and_goes_with_its_step(tree: Tree) -> None:
    batch, user = JOB + "/step_batch/user", JOB + "/step_1/user"
    put(tree, {JOB: files(100, 300), batch: files(5, 300), user: files(90, 100)}, batch)
    reader = CgroupReader(PID, str(tree.root))
    assert limit(known(reader)) == (100, user, 90)
    for name in files(1):
        (tree.root / (V1 + user).lstrip("/") / name).unlink()
    (tree.root / (V1 + user).lstrip("/")).rmdir()
    assert limit(known(reader)) == (300, JOB, 100)


def known(reader: CgroupReader) -> Cgroup:
    group = reader.read()
    assert group is not None
    return group


def test_a_hidden_limit_is_paired_with_nothing(tree: Tree) -> None:
    tree.v1(memory="/docker/abc")
    stat = f"total_rss {MIB}\ntotal_shmem 0\nhierarchical_memory_limit {64 * MIB}\n"
    tree.group(V1 + "memory/docker/abc", {"memory.stat": stat})
    assert limit(tree.known()) == (64, "above /docker/abc", None)


def captured() -> dict[str, dict[str, str]]:
    """The files of a real job's groups, by group."""
    groups: dict[str, dict[str, str]] = {}
    for part in CAPTURED.read_text().split("== ")[1:]:
        path, _, text = part.partition("\n")
        group, _, name = path.rpartition("/")
        groups.setdefault("/system.slice/slurmstepd.scope/" + group, {})[name] = text
    return groups


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("step_0/user/task_0", (150, "step_0/user", 123)),
        ("step_batch/user/task_0", (150, "step_0/user", 123)),
    ],
)
def test_real_groups_named_by_sluid(tree: Tree, step: str, expected: tuple[int, str, int]) -> None:
    """Slurm 26.05.3: a job of 300 MiB with two steps, one of them limited to 150 MiB."""
    job = "/system.slice/slurmstepd.scope/sBXSM8MARR7000"
    put(tree, captured(), f"{job}/{step}")
    group = tree.known()
    assert (group.path, group.is_job, job_id_in(f"{job}/{step}")) == (job, True, "sBXSM8MARR7000")
    assert group.used_bytes == 204144640 + 20480 + 390048 + 311296 + 909312
    assert (group.peak_bytes, group.oom_kill_count) == (217317376, 0)
    assert group.cpu_s == pytest.approx(2.514462)
    assert group.cpu_period_count == 0
    limit_mib, name, used_mib = expected
    assert limit(group) == (limit_mib, f"{job}/{name}", used_mib)


def test_counted_before_the_program_began(tree: Tree) -> None:
    own = JOB + "/step_0/user/task_0"
    events = "oom 3\noom_kill 3\noom_group_kill 0\n"
    cpu = "usage_usec 9000000\nuser_usec 8000000\nsystem_usec 1000000\n"
    put(tree, {JOB: files(9, memory_events=events, cpu_stat=cpu), own: files(9)}, own)
    folder = f"{tree.root}{V1}{JOB.lstrip('/')}"
    before = {
        folder + "/memory.events": b"low 0\noom 1\noom_kill 1\n",
        folder + "/cpu.stat": b"usage_usec 4000000\n",
    }
    group = known(CgroupReader(PID, str(tree.root), before))
    assert (group.oom_kill_count, group.oom_kill_before_count) == (3, 1)
    assert (group.cpu_s, group.cpu_before_s) == (9.0, 4.0)
    unread = known(CgroupReader(PID, str(tree.root)))
    assert (unread.oom_kill_before_count, unread.cpu_before_s) == (None, None)


def test_version_1_counts_before_in_each_group(tree: Tree) -> None:
    """A kill of an earlier step is before the program's; one of a later step is not."""
    job = "/slurm/uid_1/job_7"
    own = job + "/step_batch"
    tree.v1(memory=own)
    folder = V1 + "memory" + job

    def killed(count: int) -> dict[str, str]:
        return {"memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}\n"}

    for path, count in (("", 0), ("/step_0", 2), ("/step_batch", 1)):
        tree.group(folder + path, killed(count))
    before = {f"{tree.root}{folder}/step_batch/memory.oom_control": b"oom_kill 0\n"}
    reader = CgroupReader(PID, str(tree.root), before)
    group = known(reader)
    assert (group.oom_kill_count, group.oom_kill_before_count) == (3, 2)
    tree.group(folder + "/step_1", killed(4))
    group = known(reader)
    assert (group.oom_kill_count, group.oom_kill_before_count) == (7, 2)


def test_the_smallest_quota_of_all_levels_counts(tree: Tree) -> None:
    own = JOB + "/step_0/user/task_0"
    stat = "usage_usec 5000000\nnr_periods 277\nnr_throttled 276\nthrottled_usec 21000000\n"
    groups = {
        JOB: files(1, cpu_max="400000 100000\n", cpu_stat="usage_usec 9000000\nnr_periods 5\n"),
        JOB + "/step_0": files(1, cpu_max="50000 100000\n", cpu_stat=stat),
        own: files(1, cpu_max="max 100000\n", cpu_stat="usage_usec 1\n"),
    }
    put(tree, groups, own)
    group = tree.known()
    assert (group.cpu_quota_cores, group.cpu_s) == (0.5, 9.0)
    assert (group.cpu_period_count, group.cpu_throttled_count) == (277, 276)
    assert group.cpu_throttled_s == 21.0
