"""A real memory limit and a real kill, in a control group of version 1 made for the test.

Version 2 is tested for real on a kernel of its own: see ``tests/vm``.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from program import Hpcwatch
from unit_parts import wait_until

MIB = 1 << 20
LIMIT = 192 * MIB
CONTROLLER = Path("/sys/fs/cgroup/memory")
GROW = """
import time
held = []
for _ in range(100):
    held.append(bytearray(b"x" * 1048576) * 8)
    time.sleep(0.05)
"""


def own_group() -> Path:
    """Our own group of the memory controller."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return CONTROLLER / path.lstrip("/")
    return CONTROLLER


def is_empty(folder: Path) -> bool:
    return not (folder / "cgroup.procs").read_text()


@pytest.fixture
def group() -> Iterator[Path]:
    """A group as Slurm makes it for a job, with a limit; its parents have none of their own."""
    if not os.access(CONTROLLER / "cgroup.procs", os.W_OK):
        pytest.skip("needs root and a writable cgroup v1 memory controller")
    base = own_group() / f"slurm_{uuid.uuid4().hex[:8]}"
    job = base / "uid_0" / "job_42"
    folders = [base, job.parent, job, job / "step_0", job / "step_0" / "task_0"]
    for folder in folders:
        folder.mkdir()
    (job / "memory.use_hierarchy").write_text("1")
    (job / "memory.limit_in_bytes").write_text(str(LIMIT))
    yield job
    for folder in reversed(folders):
        wait_until(partial(is_empty, folder), "the end of what ran there")
        folder.rmdir()


@pytest.mark.parametrize("place", [".", "step_0/task_0"])
def test_an_out_of_memory_kill_is_seen_and_explained(
    hpcwatch: Hpcwatch, group: Path, place: str
) -> None:
    output = hpcwatch.folder / "run"
    watched = ["run", "--interval", "0.2", "--output", output, "--", sys.executable, "-c", GROW]
    enter = f'echo $$ >{group / place}/cgroup.procs && exec "$@"'
    ended = hpcwatch.shell(["sh", "-c", enter, "sh", *hpcwatch.command(*watched)])
    assert ended.code == 137
    report = json.loads((output / "report.json").read_text())
    summary = report["summary"]
    assert (summary["memory_limit_source"], summary["memory_limit_bytes"]) == ("cgroup", LIMIT)
    assert 0.7 * LIMIT < summary["memory_peak_bytes"] <= LIMIT
    assert report["run"]["signal"] == 9
    killed = [one for one in report["findings"] if one["rule"] == "memory-killed"]
    assert [one["severity"] for one in killed] == ["critical"]
    assert killed[0]["evidence"]["oom_kill_count"] >= 1
    assert "out of memory" in ended.err
