"""`squeue -o`: a list of jobs for versions without `squeue --json`, that is before Slurm 21.08.

`scontrol show job` prints comments and command lines as they are, with newlines, so that a user may
write text that looks like another user's job. Here the only free text is the name: it is cut to
_NAME_WIDTH characters, and every row begins with a longer column of digits, so that no name can
look like a row.
"""

from __future__ import annotations

import re

from hpcwatch.cluster.schedulers.hosts import expand_hosts
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Answer, is_unknown, not_understood
from hpcwatch.cluster.schedulers.slurm_states import limit_s, state_of, word
from hpcwatch.cluster.schedulers.slurm_text import shown_id
from hpcwatch.cluster.schedulers.text import count, when

_SEPARATOR = "\x1f"
_NAME_WIDTH = 40
_COLUMNS = "FKuTrPaDClVSeMN"  # squeue(1), "--format"
FORMAT = _SEPARATOR.join(
    [f"%{_NAME_WIDTH + 10}A", *(f"%{letter}" for letter in _COLUMNS), f"%{_NAME_WIDTH}j"]
)
_ROW = re.compile(rf"^\d+ {{{_NAME_WIDTH - 9},}}{_SEPARATOR}", re.MULTILINE)


def jobs_from_list(answer: Answer) -> tuple[Job, ...]:
    """Read `squeue -h -o FORMAT`. Raises SchedulerError."""
    if is_unknown(answer):
        return ()
    text = answer.text
    starts = [match.start() for match in _ROW.finditer(text)]
    if text.strip() and starts[:1] != [0]:
        raise not_understood("squeue -o", answer)
    ends = [*starts[1:], len(text)]
    rows = [text[start : ends[index]].rstrip("\n") for index, start in enumerate(starts)]
    cells = [row.split(_SEPARATOR, len(_COLUMNS) + 1) for row in rows]
    if any(len(row) != len(_COLUMNS) + 2 for row in cells):  # cut off
        raise not_understood("squeue -o", answer)
    return tuple(map(_job, cells))


def _job(cells: list[str]) -> Job:
    number = cells[0].strip()
    values = {_COLUMNS[index]: word(cell) for index, cell in enumerate(cells[1:-1])}
    index = values.get("K")
    array = values.get("F") if index else None
    raw_state, reason = values.get("T") or "", values.get("r")
    state = state_of(raw_state, reason)
    start = when(values.get("S"))
    return Job(
        id=shown_id(number, array, index, None, None),
        scheduler="slurm",
        name=word(cells[-1]),
        queue=values.get("P"),
        nodes=expand_hosts(values.get("N") or ""),
        cores_count=count(values.get("C")),
        walltime_s=limit_s(values.get("l")),
        started_at_s=None if state.is_waiting else start,
        state=state,
        raw_state=raw_state,
        owner=values.get("u"),
        account=values.get("a"),
        array_id=array,
        array_index=index,
        raw_id=number,
        nodes_count=count(values.get("D")),
        submitted_at_s=when(values.get("V")),
        estimated_start_at_s=start if state.is_waiting else None,
        ended_at_s=when(values.get("e")) if state.is_over else None,
        reason=reason,
    )
