"""`sacct -P` and `sstat -P`: tables with a header and a separator, one row a job or step."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from hpcwatch.cluster.schedulers.hosts import expand_hosts
from hpcwatch.cluster.schedulers.job import Coverage, Job, Usage
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.cluster.schedulers.query import Answer, SchedulerError, is_unknown, not_understood
from hpcwatch.cluster.schedulers.slurm_states import (
    exit_from,
    exit_pair,
    limit_s,
    memory_bytes,
    state_of,
    tres,
    tres_gpus,
    word,
)
from hpcwatch.cluster.schedulers.text import count, seconds, when


def new_separator() -> str:
    """Return a text to stand between cells that no name of a job can hold: it is new each time.

    With the usual ``|`` or any other fixed one, a job's name could add cells, and with a newline
    whole rows of other jobs.
    """
    return f"\x1f{os.urandom(4).hex()}\x1f"


SEPARATOR = new_separator()
"""The same for all questions of a process, which are known by their words."""
_SEPARATORS = re.compile(r"\x1f[0-9a-f]{8}\x1f|\x1f|\|")

OLD_HISTORY_FIELDS = (
    *("JobID", "JobName", "Comment", "WorkDir", "JobIDRaw", "User", "Account", "Partition"),
    *("State", "ExitCode", "NNodes", "NCPUS", "NodeList", "ReqMem", "ReqTRES", "AllocTRES"),
    *("MaxRSS", "MaxVMSize", "TotalCPU", "TRESUsageInTot", "ElapsedRaw", "Timelimit"),
    *("Reason", "Submit", "Eligible", "Start", "End"),
)
"""Those whose text is free stand between others, by which a row with newlines is put together."""
HISTORY_FIELDS = (*OLD_HISTORY_FIELDS[:1], "SubmitLine", *OLD_HISTORY_FIELDS[1:])
"""SubmitLine came with Slurm 21.08; an older sacct refuses the whole table for it."""
USAGE_FIELDS = ("JobID", "NTasks", "AveCPU", "MaxRSS", "MaxVMSize", "TRESUsageInTot")


class SacctRow:
    """One row's cells by their column. What is absent or empty is None."""

    def __init__(self, cells: Mapping[str, str]) -> None:
        self._cells = cells

    def text(self, name: str) -> str | None:
        """Return a cell."""
        return word(self._cells.get(name))


def rows(answer: Answer, command: str) -> Iterator[SacctRow]:
    """Yield a table's rows; one of another length, cut or with a separator inside, is left out.

    A name or comment with newlines goes over several lines, which are put together again.
    Raises NotUnderstoodError without a header with JobID.
    """
    header, _, body = answer.text.partition("\n")
    found = _SEPARATORS.search(header)
    separator = found[0] if found else "|"
    names = header.split(separator)
    if "JobID" not in names:
        raise not_understood(command, answer)
    begun = ""
    for line in body.split("\n"):
        whole = f"{begun}\n{line}" if begun else line
        cells = whole.split(separator)
        if len(cells) > len(names):  # what was begun never ended
            whole, cells = line, line.split(separator)
        # Only a line with a separator begins a row: the free text is never its first cell.
        begun = whole if 1 < len(cells) < len(names) else ""
        if len(cells) == len(names):
            yield SacctRow(dict(zip(names, cells)))


def jobs_from_sacct(answer: Answer) -> tuple[Job, ...]:
    """Read `sacct -P`. Raises SchedulerError, also where a site keeps no accounting."""
    if "storage is disabled" in answer.words:
        raise SchedulerError(f"sacct: {answer.words.removeprefix('sacct: ')}")
    if is_unknown(answer):
        return ()
    jobs: dict[str, SacctRow] = {}
    steps: dict[str, list[SacctRow]] = {}
    for row in rows(answer, "sacct"):
        job_id, _, step = (row.text("JobID") or "").partition(".")
        if step:
            steps.setdefault(job_id, []).append(row)
        elif job_id:
            jobs[job_id] = row  # a requeued job's last run counts
    return tuple(_job(job_id, row, steps.get(job_id, [])) for job_id, row in jobs.items())


def _job(job_id: str, row: SacctRow, steps: list[SacctRow]) -> Job:
    raw_state = row.text("State") or ""
    reason = row.text("Reason")
    state = state_of(raw_state, reason)
    array, _, index = job_id.partition("_")
    het, plus, offset = job_id.partition("+")
    amounts = tres(row.text("AllocTRES") or row.text("ReqTRES"))
    nodes = expand_hosts(row.text("NodeList") or "")
    memory = memory_bytes(amounts.get("mem"))
    return Job(
        id=job_id,
        scheduler="slurm",
        name=row.text("JobName"),
        queue=row.text("Partition"),
        nodes=nodes,
        cores_count=count(amounts.get("cpu")) or count(row.text("NCPUS")),
        gpus_count=tres_gpus(amounts),
        memory_bytes=memory,
        node_memory_bytes=memory if row.text("NNodes") == "1" else None,
        walltime_s=limit_s(row.text("Timelimit")),
        started_at_s=when(row.text("Start")),
        state=state,
        raw_state=raw_state,
        owner=row.text("User"),
        account=row.text("Account"),
        array_id=array if index else None,
        array_index=index.strip("[]") or None,
        het_id=het if plus else None,
        het_offset=count(offset) if plus else None,
        raw_id=row.text("JobIDRaw"),
        nodes_count=count(row.text("NNodes")),
        usage=_usage(row, steps),
        submitted_at_s=when(row.text("Submit")),
        eligible_at_s=when(row.text("Eligible")),
        ended_at_s=when(row.text("End")) if state.is_over else None,
        exit=_with_steps(exit_from(state, *_exit_pair(row, steps)), steps),
        working_directory=row.text("WorkDir"),
        submit_arguments=row.text("SubmitLine"),
        reason=reason,
        comment=row.text("Comment"),
    )


def _with_steps(ending: JobExit | None, steps: list[SacctRow]) -> JobExit | None:
    """Add to a job's end that a step of it was killed over its memory limit."""
    if ending is None or ending.cause is Cause.MEMORY:
        return ending
    killed = [step for step in steps if (step.text("State") or "").startswith("OUT_OF_ME")]
    if not killed:
        return ending
    return ending._replace(is_step_out_of_memory=True, step=killed[0].text("JobID"))


def _exit_pair(row: SacctRow, steps: list[SacctRow]) -> tuple[int | None, int | None]:
    """Return the job's exit; of one that was killed the signal stands in its batch step."""
    code, signal = exit_pair(row.text("ExitCode"))
    batch = next((s for s in steps if (s.text("JobID") or "").endswith(".batch")), None)
    if batch is not None and not code and not signal:
        return code, exit_pair(batch.text("ExitCode"))[1]
    return code, signal


def _usage(row: SacctRow, steps: list[SacctRow]) -> Usage | None:
    """Return what was accounted: CPU of the whole job, memory of its largest step.

    Steps may have run one after the other, so their sum would be no peak.
    """
    memory = [_total(step, "mem", "MaxRSS") for step in steps]
    vmem = [_total(step, "vmem", "MaxVMSize") for step in steps]
    elapsed = count(row.text("ElapsedRaw"))
    cpu = seconds(row.text("TotalCPU"))
    if not any(memory) and not cpu and not elapsed:
        return None
    return Usage(
        covers=Coverage.LARGEST_STEP,
        cpu_s=cpu or None,  # 0 until the first step is over
        memory_bytes=max(filter(None, memory), default=None),
        vmem_bytes=max(filter(None, vmem), default=None),
        walltime_s=elapsed,
    )


def _total(step: SacctRow, name: str, largest_task: str) -> int | None:
    """Return a step's memory over all its tasks; MaxRSS is that of one task alone."""
    total = tres(step.text("TRESUsageInTot")).get(name)
    return memory_bytes(total or step.text(largest_task))


def usage_from_sstat(answer: Answer) -> Usage | None:
    """Read `sstat -a -P`: the running steps together; None if none runs. Raises SchedulerError."""
    if is_unknown(answer):
        return None
    steps = [row for row in rows(answer, "sstat") if row.text("JobID")]
    if not steps:
        return None
    memory = [_total(step, "mem", "MaxRSS") or 0 for step in steps]
    vmem = [_total(step, "vmem", "MaxVMSize") or 0 for step in steps]
    cpu = [seconds(tres(step.text("TRESUsageInTot")).get("cpu")) or 0.0 for step in steps]
    return Usage(Coverage.RUNNING_STEPS, sum(cpu), sum(memory) or None, sum(vmem) or None)
