"""The test machine itself: it never outlives who started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from harness import alive, wait_until

from vm.machine import Machine, missing

START = """
import sys
from vm.machine import Machine
machine = Machine()
machine._start()
print(machine.pid, machine.folder, flush=True)
sys.stdin.read()
"""


def test_it_ends_with_the_tests_however_they_end() -> None:
    reason = missing()
    if reason:
        pytest.skip(reason)
    tests = Path(__file__).resolve().parents[1]
    starter = subprocess.Popen(
        [sys.executable, "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(tests), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
    )
    assert starter.stdout is not None
    words = starter.stdout.readline().split()
    pid, folder = int(words[0]), Path(words[1])
    assert alive(pid)
    starter.kill()
    starter.wait()
    wait_until(lambda: not alive(pid), "the end of qemu", 180.0)
    subprocess.run(["rm", "-r", str(folder)], check=True)


def test_a_question_that_fails_says_why(machine: Machine) -> None:
    with pytest.raises(Exception, match="has no attribute 'nothing'"):
        machine.ask("memory.nothing")
    assert machine.ask("slurm_jobs.ready")
