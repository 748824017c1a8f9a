"""One task of a sweep, on its host: started by GNU parallel, never by a person.

``task.py FOLDER NUMBER`` runs a task, ``--survey`` prints what the host has, ``--end N:K ...`` ends
attempts that a dead driver left running.
"""

from __future__ import annotations

import os
import sys

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.sweep import ending, plan
from hpcwatch.sweep.attempts import Attempts
from hpcwatch.sweep.task_attempt import Tries
from hpcwatch.sweep.task_program import EXIT_NOT_STARTED


def main(folder: str, words: list[str]) -> int:
    """Run the requested action; return the exit code for GNU parallel."""
    try:
        if words[:1] == ["--survey"]:
            _survey(folder)
            return 0
        if words[:1] == ["--end"]:
            ending.end_attempts(Attempts(folder).left_here(words[1:]))
            ending.end_left(plan.read(folder).id, words[1:])
            return 0
        return Tries(folder, int(words[0])).run()
    except HpcwatchError as error:
        print(f"hpcwatch: {error}", file=sys.stderr)
    except OSError as error:
        print(f"hpcwatch: {os_reason(error)}: {error.filename}", file=sys.stderr)
    return EXIT_NOT_STARTED


def _survey(folder: str) -> None:
    """Print this host's resources for tasks. Raises HpcwatchError."""
    import json

    from hpcwatch.sweep import gpus, node, slots

    wants_devices = slots.parse(plan.read(folder).slots).kind == "gpu"
    variables = node.environment(folder, os.environ)
    told = gpus.told_of(folder, os.uname().nodename)
    host = node.survey(variables, wants_devices, told, is_here=False)
    print(json.dumps(host._asdict()))
