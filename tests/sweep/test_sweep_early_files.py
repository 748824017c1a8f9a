"""Files in memory that a task's command wrote and left before the task's monitor began."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_parts import Sweeps, needs_parallel

from hpcwatch.launch.early_files import open_in_memory
from hpcwatch.recording.store import RunDirectory
from hpcwatch.sweep.task_program import UNWATCHED_S

MIB = 1 << 20
HOLDS = "{ head -c 41943040 /dev/zero; sleep 0.15; } >$0/$1; sleep 2"
"""40 MiB; the file is closed before the monitor begins, which it then stays for 2 s."""


@pytest.fixture
def shared() -> Iterator[Path]:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no writable /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_what_descends_from_a_program_and_holds_a_file_in_memory_is_seen(shared: Path) -> None:
    script = "{ echo ready; read x; } 3>$0/held | cat; :"
    with subprocess.Popen(
        ["sh", "-c", script, str(shared)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        status = (shared / "held").stat()
        assert open_in_memory(process.pid) == {(status.st_dev, status.st_ino)}
        process.communicate(b"\n")
    assert open_in_memory(process.pid) == set()


@needs_parallel
def test_an_orphaned_file_counts_only_with_its_own_task(tmp_path: Path, shared: Path) -> None:
    assert UNWATCHED_S > 0.15
    sweeps = Sweeps(tmp_path)
    task = ["sh", "-c", HOLDS, str(shared), "{i}"]
    ended = sweeps("-p", "i=1,2", "--slots", "2", "--", *task)
    assert ended.code == 0, ended.err
    recorded = [RunDirectory(str(one)) for one in sweeps.home.glob("sweeps/*/runs/*")]
    peaks = [one.report_part("summary", "memory_peak_bytes") for one in recorded]
    assert len(peaks) == 2
    assert all(40 * MIB <= peak < 60 * MIB for peak in peaks), peaks
