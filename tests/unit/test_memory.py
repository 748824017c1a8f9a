"""Memory of real processes: shared pages once, and files in memory counted apart."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unit_parts import wait_until

from hpcwatch.probe.members import Tracked
from hpcwatch.probe.memory_files import Files, MemoryFiles
from hpcwatch.probe.probe import Probe, Target
from hpcwatch.probe.schema import JobUse

TREES = Path(__file__).with_name("trees.py")
MIB = 1 << 20


@pytest.fixture
def forks() -> Iterator[subprocess.Popen[str]]:
    """A parent with 64 MiB, and four children that share it."""
    with subprocess.Popen(
        [sys.executable, str(TREES), "forks", "4"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def settled(probe: Probe) -> JobUse:
    """Read until every PSS has been read, as its ration allows."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        use = probe.read(is_full=False).job
        assert use is not None
        if use.pss_bytes is not None:
            return use
        time.sleep(0.02)
    raise AssertionError("PSS was never read of all processes")


def test_pages_that_forks_share_count_once(forks: subprocess.Popen[str]) -> None:
    probe = Probe(Target(os.getpid(), time.time()))
    use = settled(probe)
    probe.close()
    assert use.rss_bytes is not None
    assert use.pss_bytes is not None
    assert use.used_bytes is not None
    assert use.rss_bytes > 5 * 64 * MIB
    assert 64 * MIB < use.pss_bytes < 110 * MIB
    assert use.used_bytes == pytest.approx(use.pss_bytes, abs=12 * MIB)


def test_before_any_pss_was_read_forks_do_not_count_five_times(
    forks: subprocess.Popen[str],
) -> None:
    probe = Probe(Target(os.getpid(), time.time()))
    use = probe.read(is_full=False).job
    probe.close()
    assert use is not None
    assert use.used_bytes is not None
    assert use.used_bytes < 2 * 64 * MIB


@contextmanager
def tree(*words: str) -> Iterator[subprocess.Popen[str]]:
    """One of the trees of ``trees.py``, ready."""
    argv = [sys.executable, str(TREES), *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_pages_of_a_mapped_file_are_told_apart() -> None:
    with tree("mapped", "100"):
        probe = Probe(Target(os.getpid(), time.time()))
        use = settled(probe)
        probe.close()
    assert use.mapped_file_bytes is not None
    assert use.used_bytes is not None
    assert 100 * MIB <= use.mapped_file_bytes < 130 * MIB
    assert use.used_bytes >= use.mapped_file_bytes


@pytest.fixture
def huge_pages() -> Iterator[int]:
    """How many huge pages of 2 MiB this machine gives us."""
    pool = Path("/proc/sys/vm/nr_hugepages")
    if not os.access(pool, os.W_OK):
        pytest.skip("needs root to reserve huge pages")
    before = pool.read_text()
    pool.write_text("16")
    try:
        if int(pool.read_text()) < 16:
            pytest.skip("this machine has no 16 huge pages left")
        yield 16
    finally:
        pool.write_text(before)


def test_huge_pages_count(huge_pages: int) -> None:
    with tree("huge", str(huge_pages)):
        probe = Probe(Target(os.getpid(), time.time()))

        def has_counted() -> bool:
            used = settled(probe).used_bytes
            return used is not None and used >= 32 * MIB

        wait_until(has_counted, "the huge pages")
        used = settled(probe).used_bytes
        probe.close()
    assert used is not None
    assert 32 * MIB <= used < 60 * MIB


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in a memory-backed file system that anybody may write."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no writable /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def fill(path: Path, size: int) -> None:
    path.write_bytes(b"x" * size)


class Reader:
    """The files in memory, as those see them who read for a job."""

    def __init__(self, started_s: float, *pids: int) -> None:
        self._files = MemoryFiles(started_s)
        self._processes = [self._tracked(pid) for pid in pids]

    @staticmethod
    def _tracked(pid: int) -> Tracked:
        tracked = Tracked(pid, None, Path(f"/proc/{pid}/stat").read_bytes())
        tracked.pss_bytes = tracked.pss_shmem_bytes = 1
        return tracked

    def read(self) -> Files:
        return self._files.read(self._processes, self._processes)

    def until(self, holds: Callable[[Files], bool]) -> Files:
        """Read until it holds: a walk costs, and is rationed."""
        wait_until(lambda: holds(self.read()), "the files")
        return self.read()


HOLD = """
import mmap, sys
with open(sys.argv[1], "wb") as file:
    file.write(b"x" * (5 << 20))
    file.flush()
    if sys.argv[2] == "open":
        print("ready", flush=True)
        sys.stdin.readline()
if sys.argv[2] == "mapped":
    with open(sys.argv[1], "rb") as file:
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(view[place] for place in range(0, len(view), 4096))
    print("ready", flush=True)
    sys.stdin.readline()
    view.close()
print("let go", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holding(path: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", HOLD, str(path), how]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.parametrize("how", ["open", "mapped"])
def test_a_file_that_a_process_uses_or_used_counts(shared: Path, how: str) -> None:
    with holding(shared / "held", how) as process:
        reader = Reader(time.time() - 500, process.pid)
        files = reader.until(lambda files: files.job_bytes >= 5 * MIB)
        assert 5 * MIB <= files.job_bytes < 6 * MIB
        assert files.where is not None
        assert "/dev/shm" in files.where
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "let go\n"
        assert reader.read().job_bytes == files.job_bytes
    (shared / "held").unlink()
    reader.until(lambda files: files.job_bytes == 0)


def test_files_of_others_are_told_apart(shared: Path) -> None:
    """A dd in another shell, another task of a sweep, or our own recording."""
    with holding(shared / "held", "open") as ours, holding(shared / "other", "open"):
        reader = Reader(time.time() - 500, ours.pid)
        before = reader.until(lambda files: files.job_bytes >= 5 * MIB)
        fill(shared / "more", 7 * MIB)
        after = reader.until(lambda files: files.others_bytes >= before.others_bytes + 7 * MIB)
    assert before.others_bytes >= 5 * MIB
    assert after.job_bytes == before.job_bytes < 6 * MIB


def test_files_older_than_the_job_do_not_count(shared: Path) -> None:
    with holding(shared / "held", "open") as process:
        os.utime(shared / "held", (time.time() - 1000,) * 2)
        files = Reader(time.time() - 500, process.pid)
        fill(shared / "news", MIB)
        assert files.until(lambda files: files.others_bytes >= MIB).job_bytes == 0


def test_sparse_files_and_links_count_with_what_they_hold(shared: Path) -> None:
    reader = Reader(time.time() - 500)
    before = reader.read().others_bytes
    with (shared / "sparse").open("wb") as stream:
        stream.truncate(1 << 40)
    (shared / "link").symlink_to("/")
    (shared / "loop").symlink_to(shared)
    fill(shared / "real", MIB)
    files = reader.until(lambda files: files.others_bytes - before >= MIB)
    assert MIB <= files.others_bytes - before < 2 * MIB


def test_a_node_without_proc_has_no_such_files(tmp_path: Path) -> None:
    assert MemoryFiles(0.0, str(tmp_path)).read([], []) == Files()
