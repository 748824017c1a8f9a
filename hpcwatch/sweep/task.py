"""One task of a sweep, on its host: started by GNU parallel or a job array, never by a person.

``task.py NUMBER`` runs a task, ``--survey`` prints what the host has, ``--end N:K ...`` ends
attempts that a dead driver left running. ``--element SUBMISSION INDEX`` runs the tasks of a job
array's element, each as ``--of-element NUMBER SUBMISSION INDEX``.
"""

from __future__ import annotations

import os
import sys

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.sweep import ending, plan
from hpcwatch.sweep.attempts import Attempts
from hpcwatch.sweep.task_attempt import Place, Tries
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
        if words[:1] == ["--element"]:
            return _work(folder, words[1:])
        if words[:1] == ["--of-element"]:
            number, submission, index = map(int, words[1:4])
            return Tries(folder, number, Place(submission, index)).run()
        return Tries(folder, int(words[0])).run()
    except HpcwatchError as error:
        print(f"hpcwatch: {error}", file=sys.stderr)
    except OSError as error:
        print(f"hpcwatch: {os_reason(error)}: {error.filename}", file=sys.stderr)
    return EXIT_NOT_STARTED


def _work(folder: str, words: list[str]) -> int:
    """Run the tasks of a job array's element. Raises HpcwatchError or OSError."""
    from hpcwatch.sweep import array_element

    submission, index = map(int, words[:2])
    return array_element.run(folder, Place(submission, index))


def _survey(folder: str) -> None:
    """Print this host's resources for tasks. Raises HpcwatchError."""
    import json

    from hpcwatch.sweep import gpus, node, slots

    wants_devices = slots.parse(plan.read(folder).slots).kind == "gpu"
    variables = node.environment(folder, os.environ)
    told = gpus.told_of(folder, os.uname().nodename)
    host = node.survey(variables, wants_devices, told, is_here=False)
    print(json.dumps(host._asdict()))
