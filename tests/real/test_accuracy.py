"""What hpcwatch reports of programs that say themselves what is true.

The columns are those of tests/bench/accuracy.py at smaller sizes. The tolerances are the project's
aims, in percent of the truth; where one is wider, the reason stands beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import subject

DEADLINE_S = 60


@dataclass(frozen=True)
class Case:
    script: str
    arguments: tuple[object, ...]
    low: float
    high: float


CPU = {
    "steady": Case("burn.py", (1,), 99, 101),
    "short-children": Case("short_children.py", (200,), 98, 102),
    # A child cannot tell what its own end takes: up to 1 ms of its 20.
    "never-waited-for": Case("unwaited_children.py", (100,), 98, 107),
    "daemon": Case("daemon.py", (1,), 98, 102),
}
MEMORY = {
    "steady": Case("hold.py", (300, 1), 99, 101),
    "spike-of-50-ms": Case("spike.py", (400,), 98, 101),
    "copy-on-write": Case("copy_on_write.py", (300, 1.5), 98, 103),
    "shared-mapping": Case("shared_mapping.py", (300, 1.5), 98, 103),
    "shared-mapping-slowly": Case("shared_mapping.py", (300, 1, "--over", 1), 98, 103),
    "dev-shm": Case("shm_file.py", (300, 1.5), 98, 103),
    "many-processes": Case("many_holders.py", (200, 1.5), 98, 102),
}


def reported_and_true(case: Case, tmp_path: Path) -> tuple[dict[str, float], dict[str, float]]:
    """The report's summary of a subject's run, and what the subject says of itself."""
    truth, run = tmp_path / "truth.json", tmp_path / "run"
    options = ["--interval", "0.25", "--view", "none", "--output", str(run)]
    command = subject(case.script, *case.arguments, "--truth", truth)
    subprocess.run(
        [sys.executable, "-m", "hpcwatch", "run", *options, "--", *command],
        env={**os.environ, "HPCWATCH_HOME": str(tmp_path / "home")},
        check=True,
        timeout=DEADLINE_S,
    )
    report = json.loads((run / "report.json").read_text())
    return report["summary"], json.loads(truth.read_text())


@pytest.mark.parametrize("case", CPU.values(), ids=CPU)
def test_cpu_seconds_are_those_used(case: Case, tmp_path: Path) -> None:
    summary, truth = reported_and_true(case, tmp_path)
    assert case.low <= 100 * summary["cpu_s"] / truth["cpu_s"] <= case.high
    parts = summary["cpu_user_s"] + summary["cpu_system_s"]
    assert parts == pytest.approx(summary["cpu_s"], rel=0.01)


@pytest.mark.parametrize("case", MEMORY.values(), ids=MEMORY)
def test_memory_peak_is_the_memory_used(case: Case, tmp_path: Path) -> None:
    if case.script == "shm_file.py" and not os.access("/dev/shm", os.W_OK):
        pytest.skip("no writable /dev/shm")
    summary, truth = reported_and_true(case, tmp_path)
    assert case.low <= 100 * summary["memory_peak_bytes"] / truth["memory_bytes"] <= case.high
