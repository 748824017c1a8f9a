"""A Torque job on this very host that goes from queued to running to finished, by recordings.

The commands are stand-ins; what runs "on the node" are real processes, found by PBS_JOBID.
"""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from stand_in import MAUI, TORQUE, StandIn

JOB_ID = "0.qb3"
TAKEN_AT_S = 1795437486  # 40 s after the recorded job's start
RUNNING = "torque/qstat-f-0_running-2nodes"
HOSTS = "exec_host = qb002/0-3+qb001/0-3"
COMMENT = "comment = Job started on Mon Nov 23 at 12:37"


def scenario(host: str, *others: str) -> dict[str, Any]:
    """The states of the recorded job, on ``host`` and hosts that do not exist."""
    user = getpass.getuser()
    hosts = "+".join(f"{name}/0-3" for name in (host, *others))
    here = {HOSTS: f"exec_host = {hosts}", "alice": user}
    over = "job_state = C\n    exit_status = 0"
    killed = "job_state = C\n    exit_status = -11"
    waits = "comment = Not Running: Not enough of the right type of nodes are available"

    def answer(changes: dict[str, str]) -> dict[str, Any]:
        return {"recorded": RUNNING, "taken_at_s": TAKEN_AT_S, "replace": {**here, **changes}}

    def state(changes: dict[str, str]) -> dict[str, Any]:
        return {"qstat -f 0*": answer(changes), "qstat -f": answer(changes)}

    queued = {
        "job_state = R": "job_state = Q",
        f"    exec_host = {hosts}\n": "",
        "    resources_used.cput = 00:00:02\n": "",
        COMMENT: waits,
    }
    return {
        "queued": state(queued),
        "running": state({}),
        "over": state({"job_state = R": over}),
        "killed at its walltime": state({"job_state = R": killed}),
        "forgotten": {
            "qstat -f*": "torque/qstat-f_unknown-id",
            "qstat -x*": "torque/qstat-x_unknown-id",
        },
        "down": {
            "qstat -f*": "torque/qstat_server-down",
            "qstat -x*": "torque/qstat_server-down",
        },
        "*": {
            "qstat --version": {"stderr": "Version: 6.1.3\nCommit: unknown\n"},
            "qstat -x*": {"stderr": "qstat: invalid option -- 'x'\n", "exit_code": 2},
            "checkjob*": "moab/checkjob_unknown-id",
            "showstart*": {"stderr": "ERROR: cannot locate job\n", "exit_code": 1},
            "qdel 0.qb3": {},
            "qsub *": {"stdout": "0.qb3\n"},
        },
    }


def stand_in(folder: Path, state: str, *others: str) -> StandIn:
    """The commands on PATH, in one of the states."""
    made = StandIn(folder, (*TORQUE, *MAUI), scenario(os.uname().nodename, *others))
    made.becomes(state)
    return made
