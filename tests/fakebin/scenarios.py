"""What schedulers' stand-ins answer when they are asked for a user's jobs, and for one of them.

The recordings are moved in time, so that their jobs run now.
"""

from __future__ import annotations

from typing import Any

STARTED_S = {"torque": 1795437446, "pbspro": 1795436367, "slurm": 1795436209}
"""When most of the recorded jobs started, in seconds since the epoch."""

Scenario = dict[str, Any]


def torque(ran_s: int = 40) -> Scenario:
    """Fifteen jobs, of which most began so many seconds ago, with Maui beside Torque."""
    taken = STARTED_S["torque"] + ran_s
    return {
        "*": {
            "qstat --version": "other/torque/qstat-version",
            "qstat -x": {
                "recorded": "torque/qstat-x-all_xml",
                "taken_at_s": taken,
                "stretch": ran_s / 40,
            },
            "checkjob -v 9": "moab/checkjob-9_idle-insufficient-procs",
            "checkjob -v 10": "moab/checkjob-v-10_user-hold",
            "checkjob -v 11": "moab/checkjob-v-11_dependency",
            "checkjob -v 12": "moab/checkjob-v-12_waiting",
            "checkjob -v 14": "moab/checkjob-v-14_procs",
            "showstart 9": "moab/moab-showstart-antwerp_idle-days",
        }
    }


def pbspro(ran_s: int = 60) -> Scenario:
    """Twelve jobs, of which most began so many seconds ago."""
    taken = STARTED_S["pbspro"] + ran_s
    return {
        "*": {
            "qstat --version": {"stdout": "pbs_version = 23.06.06\n"},
            "qstat -f -F json": {
                "recorded": "pbspro/qstat-f-json-all_mixed",
                "taken_at_s": taken,
                "stretch": ran_s / 60,
            },
        }
    }


def slurm(ran_s: int = 400) -> Scenario:
    """Eighteen jobs, of which most began so many seconds ago; sstat tells of the job 1."""
    taken = STARTED_S["slurm"] + ran_s
    return {
        "*": {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "squeue --json -u *": {"recorded": "slurm/squeue-json_mixed", "taken_at_s": taken},
            "sstat -a -P -j 1 *": "slurm/sstat-P-a-1_running-later",
            "sstat*": "slurm/sstat-j_unknown-id",
        }
    }
