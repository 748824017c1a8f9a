"""Control groups of every kind of node, as trees of files below a root of the test's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hpcwatch.probe.cgroup import CgroupReader
from hpcwatch.probe.schema import Cgroup

MIB = 1 << 20
PID = 77
V1 = "/sys/fs/cgroup/"
V2_MOUNT = "30 23 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "3{n} 23 0:2{n} {root} /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
V1_NONE = str(0x7FFFFFFFFFFFF000)

V1_STAT = "cache 1048576\nrss 5\ntotal_cache 8388608\ntotal_rss 4194304\ntotal_shmem 1048576\n"
V2_STAT = (
    "anon 4194304\nfile 8388608\nkernel 999999999\nkernel_stack 1024\npagetables 2048\n"
    "shmem 1048576\nslab_reclaimable 99999\nslab_unreclaimable 4096\n"
)
V2_USED = 4194304 + 1048576 + 1024 + 2048 + 4096


class Tree:
    """A node's /proc and /sys/fs/cgroup below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def group(self, folder: str, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            self.write(f"{folder}/{name}", text)

    def v2(self, path: str, root: str = "/") -> None:
        self.write("/proc/self/mountinfo", V2_MOUNT.format(root=root))
        self.write(f"/proc/{PID}/cgroup", f"0::{path}\n")

    def v1(self, root: str = "/", **paths: str) -> None:
        mounts = [V1_MOUNT.format(n=n, name=name, root=root) for n, name in enumerate(paths)]
        groups = [f"{n}:{name}:{path}\n" for n, (name, path) in enumerate(paths.items())]
        self.write("/proc/self/mountinfo", "".join(mounts))
        self.write(f"/proc/{PID}/cgroup", "".join(groups))

    def read(self) -> Cgroup | None:
        return CgroupReader(PID, str(self.root)).read()

    def known(self) -> Cgroup:
        group = self.read()
        assert group is not None
        return group


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def v2_files(limit: str = "max") -> dict[str, str]:
    return {
        "memory.stat": V2_STAT,
        "memory.max": limit + "\n",
        "memory.peak": "9999999\n",
        "memory.events": "low 0\nhigh 0\nmax 4\noom 2\noom_kill 1\noom_group_kill 0\n",
        "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"
        "nr_periods 70\nnr_throttled 40\nthrottled_usec 500000\n",
        "cpu.max": "200000 100000\n",
    }


def v1_files(limit: str = V1_NONE) -> dict[str, str]:
    return {
        "memory.stat": V1_STAT,
        "memory.limit_in_bytes": limit + "\n",
        "memory.max_usage_in_bytes": "9999999\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    }


def test_v2_figures(tree: Tree) -> None:
    tree.v2("/user.slice/session-1.scope")
    tree.group(V1 + "user.slice/session-1.scope", v2_files(str(512 * MIB)))
    assert tree.known() == Cgroup(
        path="/user.slice/session-1.scope",
        is_job=False,
        used_bytes=V2_USED,
        cache_bytes=7 * MIB,
        limit_bytes=512 * MIB,
        limit_path="/user.slice/session-1.scope",
        peak_bytes=9999999,
        oom_kill_count=1,
        cpu_s=2.5,
        cpu_throttled_s=0.5,
        cpu_quota_cores=2.0,
        limit_used_bytes=V2_USED,
        limit_peak_bytes=9999999,
        cpu_user_s=2.0,
        cpu_system_s=0.5,
        cpu_period_count=70,
        cpu_throttled_count=40,
    )


def test_v1_figures(tree: Tree) -> None:
    job = "/slurm/uid_1000/job_5/step_0"
    tree.v1(memory=job, cpuacct=job, cpu=job)
    folder = "slurm/uid_1000/job_5"
    tree.group(V1 + "memory/" + folder, v1_files(str(512 * MIB)))
    tree.group(V1 + "cpuacct/" + folder, {"cpuacct.usage": "2500000000\n"})
    tree.group(
        V1 + "cpu/" + folder,
        {
            "cpu.stat": "nr_periods 70\nnr_throttled 40\nthrottled_time 500000000\n",
            "cpu.cfs_quota_us": "150000\n",
            "cpu.cfs_period_us": "100000\n",
        },
    )
    assert tree.known() == Cgroup(
        path="/slurm/uid_1000/job_5",
        is_job=True,
        used_bytes=5 * MIB,
        cache_bytes=7 * MIB,
        limit_bytes=512 * MIB,
        limit_path="/slurm/uid_1000/job_5",
        peak_bytes=9999999,
        oom_kill_count=3,
        cpu_s=2.5,
        cpu_throttled_s=0.5,
        cpu_quota_cores=1.5,
        limit_used_bytes=5 * MIB,
        limit_peak_bytes=9999999,
        cpu_period_count=70,
        cpu_throttled_count=40,
    )


JOB_PATHS = [
    ("/system.slice/slurmstepd.scope/job_12/step_0/user/task_0", "slurmstepd.scope/job_12"),
    (
        "/system.slice/qb001_slurmstepd.scope/job_12/step_batch/user/task_0",
        "qb001_slurmstepd.scope/job_12",
    ),
    ("/slurm/uid_1000/job_12/step_batch/task_0", "/job_12"),
    ("/slurm_qb001/uid_1000/job_12/step_0", "/job_12"),
    ("/slurm/job_12/step_0", "/job_12"),
    ("/pbs_jobs.service/jobid/305669.qb3", "/305669.qb3"),
    ("/pbs_jobs.slice/pbs_jobs.service/jobid/5[1].qb3/sub", "/5[1].qb3"),
    ("/torque/305669.qb3", "/305669.qb3"),
    ("/torque/305669.qb3/0", "/305669.qb3"),
    ("/system.slice/slurmstepd.scope/s5K1KKYAYG5D00/step_0/user/task_0", "/s5K1KKYAYG5D00"),
    ("/system.slice/qb001_slurmstepd.scope/sEKNKTV3WPV500/step_batch/user", "/sEKNKTV3WPV500"),
    ("/pbspro.slice/pbspro-305669.qb3.slice/0", "/pbspro-305669.qb3.slice"),
    ("/pbs_jobs.slice/pbs_jobs-305669.qb3.slice", "/pbs_jobs-305669.qb3.slice"),
    ("/pbspro/305669.qb3", "/305669.qb3"),
]


@pytest.mark.parametrize(("path", "ends"), JOB_PATHS)
def test_the_job_s_own_level_is_found(tree: Tree, path: str, ends: str) -> None:
    tree.v2(path)
    job_path = path[: path.index(ends) + len(ends)]
    tree.group(V1 + path, v2_files())
    tree.group(V1 + job_path, v2_files(str(256 * MIB)))
    group = tree.known()
    assert (group.path, group.is_job, group.limit_bytes) == (job_path, True, 256 * MIB)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/user.slice/user-1000.slice",
        "/system.slice/slurmd.service",
        "/docker/abc",
        "/torque",
        "/system.slice/slurmstepd.scope/system",
        "/system.slice/session.scope/s5K1KKYAYG5D00",
        "/system.slice/slurmstepd.scope/s5K1KKYAYG5D001",
    ],
)
def test_unrelated_groups_are_no_job(tree: Tree, path: str) -> None:
    tree.v2(path)
    tree.group(V1 + path, v2_files())
    group = tree.known()
    assert (group.path, group.is_job) == (path, False)


def test_the_smallest_limit_of_all_ancestors_binds(tree: Tree) -> None:
    tree.v2("/a/b/c")
    for path, limit in (("a", 300), ("a/b", 100), ("a/b/c", 200)):
        tree.group(V1 + path, v2_files(str(limit * MIB)))
    group = tree.known()
    assert (group.limit_bytes, group.limit_path) == (100 * MIB, "/a/b")


def test_the_smallest_limit_of_v1_ancestors_binds(tree: Tree) -> None:
    tree.v1(memory="/a/b")
    tree.group(V1 + "memory", v1_files(str(700 * MIB)))
    tree.group(V1 + "memory/a", v1_files(str(800 * MIB)))
    tree.group(V1 + "memory/a/b", v1_files())
    group = tree.known()
    assert (group.limit_bytes, group.limit_path) == (700 * MIB, "/")


@pytest.mark.parametrize("version", [1, 2])
def test_no_limit_is_none(tree: Tree, version: int) -> None:
    if version == 1:
        tree.v1(memory="/a")
        tree.group(V1 + "memory/a", v1_files())
    else:
        tree.v2("/a")
        tree.group(V1 + "a", {**v2_files(), "cpu.max": "max 100000\n"})
    group = tree.known()
    assert (group.limit_bytes, group.limit_path, group.cpu_quota_cores) == (None, None, None)


def test_missing_files_are_unknown_not_zero(tree: Tree) -> None:
    tree.v2("/a")
    tree.group(V1 + "a", {"memory.stat": "file 5\n"})
    assert tree.known() == Cgroup(path="/a", is_job=False, cache_bytes=5)


def test_v1_without_any_file_is_unknown(tree: Tree) -> None:
    tree.v1(memory="/a")
    (tree.root / "sys/fs/cgroup/memory/a").mkdir(parents=True)
    assert tree.known() == Cgroup(path="/a", is_job=False)


@pytest.mark.parametrize("text", ["", "max", "-5", "x y z", "12 13 14", "\xff", "9" * 5000])
def test_odd_contents_raise_nothing(tree: Tree, text: str) -> None:
    tree.v2("/a")
    tree.group(V1 + "a", dict.fromkeys(v2_files(), text))
    tree.known()
    tree.v1(memory="/a", cpu="/a", cpuacct="/a")
    tree.group(V1 + "memory/a", dict.fromkeys(v1_files(), text))
    tree.known()


def test_a_hybrid_node_reads_version_1(tree: Tree) -> None:
    tree.v1(memory="/slurm/uid_1/job_9/step_0")
    with (tree.root / "proc/self/mountinfo").open("a") as mounts:
        mounts.write("41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")
    with (tree.root / f"proc/{PID}/cgroup").open("a") as groups:
        groups.write("0::/system.slice/x\n")
    tree.group(V1 + "memory/slurm/uid_1/job_9", v1_files(str(64 * MIB)))
    group = tree.known()
    assert (group.path, group.limit_bytes) == ("/slurm/uid_1/job_9", 64 * MIB)


def test_a_version_2_mount_without_the_memory_controller_tells_nothing(tree: Tree) -> None:
    tree.v2("/a")
    (tree.root / "sys/fs/cgroup/a").mkdir(parents=True)
    assert tree.read() is None


def test_no_control_groups_at_all(tree: Tree) -> None:
    tree.write("/proc/self/mountinfo", "1 1 0:1 / / rw - ext4 /dev/sda rw\n")
    tree.write(f"/proc/{PID}/cgroup", "")
    assert tree.read() is None


def test_a_process_that_cannot_be_read_is_an_error(tree: Tree) -> None:
    tree.write("/proc/self/mountinfo", "")
    with pytest.raises(OSError, match="cgroup"):
        tree.read()


@pytest.mark.parametrize("container", ["/docker/abc", "/slurm/uid_1/job_5"])
def test_a_container_sees_its_part_of_the_hierarchy(tree: Tree, container: str) -> None:
    tree.v1(root=container, memory=container)
    tree.group(V1 + "memory", v1_files(str(32 * MIB)))
    group = tree.known()
    assert (group.limit_bytes, group.limit_path) == (32 * MIB, "/")
    assert group.is_job == container.startswith("/slurm")


def test_a_container_s_subgroup(tree: Tree) -> None:
    tree.v2("/docker/abc/inner", root="/docker/abc")
    tree.group(V1 + "inner", v2_files(str(16 * MIB)))
    group = tree.known()
    assert (group.limit_bytes, group.limit_path) == (16 * MIB, "/inner")


def test_a_name_that_only_begins_like_the_container_s_is_another(tree: Tree) -> None:
    tree.v2("/docker/abcdef", root="/docker/abc")
    tree.group(V1 + "def", v2_files("1"))
    tree.group(V1, v2_files(str(16 * MIB)))
    assert tree.known().limit_bytes == 16 * MIB


@pytest.mark.parametrize("above", ["/..", "/../../.."])
def test_a_group_that_the_mount_does_not_show_is_unknown_and_never_the_whole_machine(
    tree: Tree, above: str
) -> None:
    """Below ``unshare --cgroup`` without a new mount our group is called ``/``."""
    tree.v2("/", root=above)
    tree.group(V1, v2_files(str(16 * MIB)))
    reader = CgroupReader(PID, str(tree.root))
    assert reader.read() is None
    assert "does not show" in reader.reason


def test_a_group_beside_our_namespace_is_shown_by_a_mount_from_above_it(tree: Tree) -> None:
    tree.v2("/../beside", root="/..")
    tree.group(V1 + "beside", v2_files(str(16 * MIB)))
    reader = CgroupReader(PID, str(tree.root))
    group = reader.read()
    assert group is not None
    assert (group.limit_bytes, group.limit_path) == (16 * MIB, "/beside")
    assert reader.reason == ""


def idle_files(**changed: str) -> dict[str, str]:
    """A group that is no job's and limits nothing: it is read in full once in a while."""
    return v2_files() | {"cpu.max": "max 100000\n"} | changed


def test_the_last_reading_of_an_idle_group_is_new(tree: Tree) -> None:
    tree.v2("/box")
    tree.group(V1 + "box", idle_files())
    reader = CgroupReader(PID, str(tree.root))
    assert reader.read() is not None
    tree.group(V1 + "box", idle_files(**{"memory.peak": "123456789\n"}))
    seldom = reader.read()
    reader.finish()
    last = reader.read()
    assert seldom is not None
    assert last is not None
    assert (seldom.peak_bytes, last.peak_bytes) == (9999999, 123456789)


def test_a_kill_in_an_idle_group_is_seen_at_the_next_reading(tree: Tree) -> None:
    tree.v2("/box")
    tree.group(V1 + "box", idle_files())
    reader = CgroupReader(PID, str(tree.root))
    assert reader.read() is not None
    tree.group(V1 + "box", idle_files(**{"memory.events": "oom 3\noom_kill 2\n"}))
    group = reader.read()
    assert group is not None
    assert group.oom_kill_count == 2


def test_a_group_with_a_quota_of_cpu_time_is_read_at_every_reading(tree: Tree) -> None:
    tree.v2("/box")
    tree.group(V1 + "box", v2_files())
    reader = CgroupReader(PID, str(tree.root))
    assert reader.read() is not None
    stat = "usage_usec 1\nnr_periods 90\nnr_throttled 60\nthrottled_usec 900000\n"
    tree.group(V1 + "box", v2_files() | {"cpu.stat": stat})
    group = reader.read()
    assert group is not None
    assert (group.cpu_throttled_count, group.cpu_period_count) == (60, 90)


def test_a_cpu_group_that_is_not_the_job_s_does_not_count_for_it(tree: Tree) -> None:
    tree.v1(memory="/slurm/uid_1/job_5/step_0", cpuacct="/")
    tree.group(V1 + "memory/slurm/uid_1/job_5", v1_files())
    tree.group(V1 + "cpuacct", {"cpuacct.usage": "2500000000\n"})
    assert tree.known().cpu_s is None


def test_controllers_mounted_together(tree: Tree) -> None:
    tree.write(
        "/proc/self/mountinfo",
        "31 23 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:2 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    )
    tree.write(f"/proc/{PID}/cgroup", "3:cpu,cpuacct:/a\n2:memory:/a\n1:name=systemd:/\n")
    tree.group(V1 + "memory/a", v1_files())
    tree.group(V1 + "cpu,cpuacct/a", {"cpuacct.usage": "1000000000\n"})
    assert tree.known().cpu_s == 1.0
