"""What the tests of job arrays share: a scheduler's stand-in, and elements run as it would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from stand_in import SLURM, TORQUE, StandIn
from sweep_parts import LONG_S, Sweeps

_UNKNOWN = {"stderr": "slurm_load_jobs error: Invalid job id specified\n", "exit_code": 1}
CONFIG = "Configuration data as of 2026-11-30T02:58:20\nMaxArraySize            = 1001\n"
SACCT_CANCELLED = (Path(__file__).parent / "data" / "sacct-array-cancelled.txt").read_text()


def slurm(**states: Any) -> dict[str, Any]:
    """Slurm's answers: it takes every array as job 2 and lists none, unless a state says so."""
    return {
        **states,
        "*": {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "scontrol show config": {"stdout": CONFIG},
            "scontrol show job *": _UNKNOWN,
            "sacct *": {},
            "sbatch *": {"stdout": "2\n"},
        },
    }


PBSPRO: dict[str, Any] = {
    "*": {
        "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
        "qstat -B -f": "other/pbspro/qstat-Bf",
        "qsub * -J *": {"stdout": "5[].qb3\n"},
        "qsub *": {"stdout": "5.qb3\n"},
        "qstat -f -t -F json *": {"stderr": "qstat: Unknown Job Id 5[].qb3\n", "exit_code": 153},
        "qstat -f -x -t *": "pbspro/qstat-x-f-t-5-final_array",
        "qstat *": {"stderr": "qstat: Unknown Job Id 5.qb3\n", "exit_code": 153},
    }
}
TORQUE_6: dict[str, Any] = {
    "*": {
        "qstat --version": "other/torque/qstat-version",
        "qstat -B -f": {"stdout": "Server: qb3\n    max_job_array_size = 4\n"},
        "qsub *": {"stdout": "6[].qb3\n"},
        "qstat *": {"stderr": "qstat: Unknown Job Id 6[].qb3\n", "exit_code": 153},
    }
}


def processes_of(session: int) -> list[int]:
    """The processes of a session, in which an element was started."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(name)) == session:
                    found.append(int(name))
    return found


class Arrays(Sweeps):
    """Sweeps whose tasks a stand-in for a scheduler takes; the test runs its elements."""

    def __init__(self, folder: Path, scenario: dict[str, Any], variable: str) -> None:
        super().__init__(folder)
        self.scheduler = StandIn(folder / "fake", (*SLURM, *TORQUE), scenario)
        if variable != "SLURM_ARRAY_TASK_ID":
            for name in SLURM:
                (self.scheduler.bin / name).unlink()
        self.hpcwatch.environment.update(self.scheduler.environment)
        self.variable = variable
        self._elements: list[subprocess.Popen[str]] = []

    @property
    def submissions(self) -> list[str]:
        """The command lines that submitted something."""
        return [call for call in self.scheduler.calls if call.startswith(("sbatch", "qsub"))]

    def start_element(
        self, index: int, number: int = 1, **environment: str
    ) -> subprocess.Popen[str]:
        """Start an element of a submission, as the scheduler does on a node."""
        own = {**self.hpcwatch.environment, self.variable: str(index), **environment}
        process = subprocess.Popen(
            ["/bin/sh", str(self.latest / "arrays" / f"{number}.sh")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=own,
            start_new_session=True,
        )
        self._elements.append(process)
        return process

    def close(self) -> None:
        """End what a failed test has left running."""
        for process in self._elements:
            if process.poll() is None:
                for pid in processes_of(process.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()

    def element(self, index: int, number: int = 1, **environment: str) -> tuple[int, str]:
        """Run an element to its end; its exit code and all it said."""
        process = self.start_element(index, number, **environment)
        text = process.communicate(timeout=LONG_S)[0]
        assert "Traceback" not in text, text
        return process.returncode, text

    def shown(self) -> dict[int, dict[str, Any]]:
        """The tasks of the latest sweep as `sweep show` lists them, by number."""
        ended = self.hpcwatch("sweep", "show", "--format", "json")
        assert ended.code == 0, ended.err
        return {task["number"]: task for task in json.loads(ended.out)["tasks"]}

    def listed(self) -> str:
        """How `runs` says the only sweep stands."""
        ended = self.hpcwatch("runs", "--format", "json")
        (how,) = [one["how"] for one in json.loads(ended.out)["sweeps"]]
        return str(how)

    def record(self, number: int = 1) -> dict[str, Any]:
        """A submission's record."""
        plain: dict[str, Any] = json.loads((self.latest / "arrays" / f"{number}.json").read_text())
        return plain
