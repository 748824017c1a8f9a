"""Which rank a process is, read from real environments of real processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from unit_parts import wait_until

from hpcwatch.probe.ranks import NOT_YET, rank_of


@contextmanager
def sleeping(environment: Mapping[str, str]) -> Iterator[str]:
    """The folder in /proc of a process with exactly this environment."""
    process = subprocess.Popen(["/bin/sleep", "60"], env=dict(environment))
    try:
        environ = Path(f"/proc/{process.pid}/environ")
        wait_until(lambda: bool(environ.read_bytes()), "its environment")
        yield f"/proc/{process.pid}"
    finally:
        process.kill()
        process.wait()


RANKS = [
    ({"OMPI_COMM_WORLD_RANK": "3", "SLURM_PROCID": "0"}, 3),
    ({"PMI_RANK": "12", "PMI_SIZE": "16"}, 12),
    ({"PMIX_RANK": "0"}, 0),
    ({"MV2_COMM_WORLD_RANK": "5"}, 5),
    ({"PALS_RANKID": "7"}, 7),
    ({"FLUX_TASK_RANK": "8"}, 8),
    ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}, 2),
    ({"RANK": "1", "WORLD_SIZE": "2"}, 1),
    # A batch script is the only task of its step, and RANK alone is anybody's word.
    ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
    ({"SLURM_PROCID": "0"}, None),
    ({"RANK": "1"}, None),
    ({"RANK": "5", "WORLD_SIZE": "2"}, None),
    ({"MY_PMI_RANK": "4"}, None),
    ({"PMI_RANK": "x\x1b[2J"}, None),
    ({"PMI_RANK": "-1"}, None),
    ({"PMI_RANK": "9" * 40}, None),
    ({"PMI_RANK": ""}, None),
]


@pytest.mark.parametrize(("environment", "rank"), RANKS)
def test_a_rank_is_what_the_launcher_set(environment: dict[str, str], rank: int | None) -> None:
    with sleeping(environment) as folder:
        assert rank_of(folder, b"sleep") == rank


def test_what_starts_ranks_is_none_itself() -> None:
    with sleeping({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}) as folder:
        assert rank_of(folder, b"hydra_pmi_proxy") is None
        assert rank_of(folder, b"app") == 1


def test_a_rank_beyond_what_is_read_is_unknown() -> None:
    long = {f"A{number}": "x" * 100_000 for number in range(3)}
    with sleeping({**long, "PMI_RANK": "1"}) as folder:
        assert rank_of(folder, b"app") is None


def test_while_a_program_is_executed_it_has_no_environment_yet(tmp_path: Path) -> None:
    (tmp_path / "environ").touch()
    assert rank_of(str(tmp_path), b"app") == NOT_YET
    (tmp_path / "environ").write_bytes(b"PATH=/bin\0PMI_RANK=2\0")
    assert rank_of(str(tmp_path), b"app") == 2


def test_a_process_that_is_gone_has_no_rank() -> None:
    process = subprocess.Popen(["/bin/true"], env={"PMI_RANK": "1"})
    process.wait()
    assert not os.path.exists(f"/proc/{process.pid}/environ")
    assert rank_of(f"/proc/{process.pid}", b"true") is None
