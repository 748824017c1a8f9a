"""The job's processes, on real trees: none lost, none foreign, each CPU second once."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from unit_parts import wait_until

from hpcwatch.probe import members
from hpcwatch.probe.probe import Probe, Target
from hpcwatch.probe.procs import ProcessTable
from hpcwatch.probe.schema import JobUse, Process, Sample

TREES = Path(__file__).with_name("trees.py")
Start = Callable[..., "Tree"]


class Tree:
    """A process tree below us, and the words we exchange with its root."""

    def __init__(self, *words: object) -> None:
        self._control_read, self._control = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, str(TREES), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TREES_CONTROL": str(self._control_read)},
            pass_fds=(self._control_read,),
        )
        self.pid = self.process.pid
        self.said = self.hear()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def release(self) -> None:
        """Let a child that waits for it go on."""
        os.write(self._control, b"x")

    def end(self) -> None:
        """End the root, and with it all that waits for its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def close(self) -> None:
        self.end()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for descriptor in (self._control_read, self._control):
            os.close(descriptor)


@pytest.fixture
def start() -> Iterator[Start]:
    trees: list[Tree] = []

    def started(*words: object) -> Tree:
        trees.append(Tree(*words))
        return trees[-1]

    yield started
    for tree in trees:
        tree.close()


@contextmanager
def subreaper() -> Iterator[None]:
    """Be the parent of orphans below us for a while, as `hpcwatch run` is."""
    prctl = ctypes.CDLL(None).prctl
    prctl(36, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(36, 0, 0, 0, 0)


@contextmanager
def probing(excluded: tuple[int, ...] = ()) -> Iterator[Probe]:
    probe = Probe(Target(os.getpid(), 0.0), excluded=lambda: excluded)
    try:
        yield probe
    finally:
        probe.close()


def job(sample: Sample) -> JobUse:
    assert sample.errors is None, sample.errors
    assert sample.job is not None
    return sample.job


def cpu_s(sample: Sample) -> float:
    use = job(sample)
    assert use.cpu_user_s is not None
    assert use.cpu_system_s is not None
    return use.cpu_user_s + use.cpu_system_s


def named(sample: Sample, pid: int) -> Process:
    (process,) = (one for one in sample.processes or [] if one.pid == pid)
    return process


def test_the_root_itself_is_not_counted(start: Start) -> None:
    tree = start("threads", 0)
    with probing() as probe:
        sample = probe.read(is_full=False)
    assert job(sample).process_count == 1
    assert [process.pid for process in sample.processes or []] == [tree.pid]


def test_three_hundred_processes_are_counted_and_only_the_largest_named(start: Start) -> None:
    start("many", 299)
    with probing() as probe:
        sample = probe.read(is_full=False)
        assert (job(sample).process_count, job(sample).seen_count) == (300, 300)
        assert len(sample.processes or []) <= 16
        assert job(probe.read(is_full=False)).process_count == 300


def test_processes_that_end_are_no_longer_counted(start: Start) -> None:
    tree = start("many", 20)
    with probing() as probe:
        assert job(probe.read(is_full=False)).process_count == 21
        tree.end()
        # Those below the root end a moment after it.
        wait_until(lambda: job(probe.read(is_full=False)).process_count == 0, "the end of all")
        ended = job(probe.read(is_full=False))
    assert ended.process_count == 0
    assert ended.seen_count == 21
    assert (ended.used_bytes, ended.rss_bytes, ended.swap_bytes) == (None, None, None)


def test_a_daemon_stays_in_the_tree(start: Start) -> None:
    with subreaper(), probing() as probe:
        tree = start("daemon")
        daemon = int(tree.said)
        sample = probe.read(is_full=False)
        assert named(sample, daemon).ppid == os.getpid()
        assert job(sample).process_count == 2
        tree.end()
        os.waitpid(daemon, 0)


def test_excluded_processes_are_left_out(start: Start) -> None:
    ours, other = start("threads", 0), start("threads", 0)
    with probing(excluded=(other.pid,)) as probe:
        sample = probe.read(is_full=False)
    assert [process.pid for process in sample.processes or []] == [ours.pid]
    assert job(sample).seen_count == 1


def test_threads_are_counted(start: Start) -> None:
    start("threads", 12)
    with probing() as probe:
        sample = probe.read(is_full=False)
    assert job(sample).thread_count == 13
    assert job(sample).allowed_cores == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("kind", ["ignoring", "waiting"])
def test_cpu_time_of_ended_children_is_counted_once(start: Start, kind: str) -> None:
    tree = start(kind)
    with probing() as probe:
        before_s = cpu_s(probe.read(is_full=False))
        for children in (1, 2):
            tree.say("burn")
            assert tree.hear() == "burned"
            assert cpu_s(probe.read(is_full=False)) - before_s == pytest.approx(
                0.3 * children, abs=0.15
            )
            tree.release()
            assert tree.hear() == "gone"
            for _ in range(2):
                used_s = cpu_s(probe.read(is_full=False)) - before_s
                assert used_s == pytest.approx(0.3 * children, abs=0.15)


def test_a_process_that_calls_exec_is_named_again(start: Start) -> None:
    tree = start("becomes")
    with probing() as probe:
        assert "becomes" in (named(probe.read(is_full=False), tree.pid).argv or [])
        tree.say("go")
        assert tree.hear() == "ready"
        argv = named(probe.read(is_full=False), tree.pid).argv
        assert argv is not None
        assert argv[-1] == "--second-program"
        assert named(probe.read(is_full=False), tree.pid).argv is None


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_closing_gives_descriptors_back(start: Start) -> None:
    before = descriptors()
    start("many", 30)
    held = descriptors()
    with probing() as probe:
        probe.read(is_full=False)
        assert descriptors() > held + 25
    assert descriptors() == held
    assert before < held  # the pipes to the tree


def test_few_descriptors_are_enough(start: Start) -> None:
    start("many", 200)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code = (
        "import os, sys, resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from hpcwatch.probe.probe import Probe, Target\n"
        f"probe = Probe(Target({os.getpid()}, 0.0))\n"
        "for _ in range(3):\n"
        "    sample = probe.read(is_full=False)\n"
        "    print(sample.job.process_count, sample.errors)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    # The reader is our child, too.
    assert done.stdout.splitlines() == ["202 None"] * 3


class FakeProc:
    """A /proc of files, to arrange what real processes do only now and then."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, pid: int, ppid: int, cpu_ticks: int = 0, name: str = "x", rss: int = 256) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        tail = f"0 0 0 0 {cpu_ticks} 0 0 0 20 0 1 0 5 4096 {rss}"
        (folder / "stat").write_text(f"{pid} ({name}) S {ppid} 1 1 0 -1 0 {tail}\n")

    def remove(self, pid: int) -> None:
        (self.root / str(pid) / "stat").unlink()
        (self.root / str(pid)).rmdir()

    def table(self, root_pid: int, is_young: bool = False) -> ProcessTable:
        return ProcessTable(members.Tree(root_pid, is_young), proc=str(self.root))

    def newest(self, pid: int) -> None:
        (self.root / "loadavg").write_text(f"0.00 0.01 0.05 1/123 {pid}\n")


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def test_a_child_may_have_a_lower_pid_than_its_parent(proc: FakeProc) -> None:
    for pid, ppid in ((1000, 1), (2000, 1000), (30, 2000), (5, 30), (40, 1)):
        proc.put(pid, ppid)
    table = proc.table(1000)
    table.refresh()
    assert sorted(table.tracked) == [5, 30, 2000]
    table.close()


@pytest.mark.parametrize(
    ("newest", "at_first"),
    [(120, [110]), (100, [50, 110]), (20, [50, 110])],
    ids=["above the root", "the root", "numbers began anew"],
)
def test_below_a_young_root_only_higher_numbers_are_looked_at_first(
    proc: FakeProc, newest: int, at_first: list[int]
) -> None:
    for pid, ppid in ((100, 1), (50, 100), (110, 100), (40, 1)):
        proc.put(pid, ppid)
    proc.newest(newest)
    table = proc.table(100, is_young=True)
    table.refresh()
    assert sorted(table.tracked) == at_first
    table.refresh()
    assert sorted(table.tracked) == [50, 110]
    table.close()


def test_a_process_whose_parent_ended_while_we_looked_is_found_later(proc: FakeProc) -> None:
    proc.put(10, 1)
    proc.put(12, 11)  # 11 has been waited for, and 12 not been handed to a new parent yet
    table = proc.table(10)
    table.refresh()
    assert sorted(table.tracked) == []
    proc.put(12, 10)
    table.refresh()
    assert sorted(table.tracked) == [12]
    table.close()


def test_a_process_that_could_not_be_opened_is_tried_again(
    proc: FakeProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc.put(11, 10)
    table = proc.table(10)
    real_open = os.open

    def exhausted(path: str, flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "open", exhausted)
    table.refresh()
    monkeypatch.setattr(os, "open", real_open)
    table.refresh()
    assert sorted(table.tracked) == [11]
    table.close()


def has_count(probe: Probe, wanted: int) -> bool:
    return job(probe.read(is_full=False)).process_count == wanted


@pytest.mark.parametrize("count", [5, 40, 1])
def test_reading_goes_on_while_processes_come_and_go(start: Start, count: int) -> None:
    with probing() as probe:
        tree = start("many", count)
        for wanted in (count + 1, 0):
            wait_until(
                partial(has_count, probe, wanted),
                f"{wanted} processes",
            )
            tree.end()


class FewAtATime:
    """A ration that lets two readings pass between two refills."""

    def __init__(self) -> None:
        self.left = 2

    def allows(self, cost_s: float) -> bool:
        return self.left > 0

    def spend(self, cost_s: float) -> None:
        self.left -= 1


def test_a_process_that_comes_to_rest_unread_is_read_later(proc: FakeProc) -> None:
    """Each has swapped something out, and does nothing from then on."""
    pids = range(11, 18)
    for pid in pids:
        proc.put(pid, 10)
    table = proc.table(10)
    table.refresh()
    assert len(table.detailed) == len(pids)
    for pid in pids:
        proc.put(pid, 10, cpu_ticks=1)
        (proc.root / str(pid) / "status").write_text("VmSwap:\t       1 kB\n")
    ration = FewAtATime()
    table._details = ration  # type: ignore[assignment]
    swapped = []
    for _ in range(5):
        table.refresh()
        swapped.append(table.totals.sum().swap_bytes)
        ration.left = 2
    assert swapped == [2048, 4096, 6144, 7168, 7168]
    table.close()


def test_idle_processes_are_read_in_full_though_not_all_at_once(proc: FakeProc) -> None:
    for pid in range(11, 18):
        proc.put(pid, 10)
        (proc.root / str(pid) / "io").write_text("read_bytes: 100\nwrite_bytes: 7\n")
    table = proc.table(10)
    ration = FewAtATime()
    table._details = ration  # type: ignore[assignment]
    volumes = []
    for _ in range(6):
        table.refresh()
        volumes.append(table.totals.sum().read_bytes)
        ration.left = 2
    assert volumes == [200, 400, 600, 700, 700, 700]
    assert table.totals.sum().written_bytes == 49
    table.close()
