"""Slurm's commands: `scontrol`, `squeue`, `sacct`, `sstat`, `scancel`, `sbatch`.

A single job comes from scontrol, the only one that reports cores, memory and devices per node;
lists come from squeue's JSON, where names may hold anything; jobs that are over from sacct.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers import array_slurm, give_back_slurm, request_slurm, start_slurm
from hpcwatch.cluster.schedulers.dialects import Dialect, Reasons
from hpcwatch.cluster.schedulers.environment import INSIDE
from hpcwatch.cluster.schedulers.environment import slurm as from_environment
from hpcwatch.cluster.schedulers.hosts import expand_hosts
from hpcwatch.cluster.schedulers.job import Job, Usage
from hpcwatch.cluster.schedulers.query import (
    Answer,
    Query,
    RefusedError,
    Scheduler,
    clean_script,
    clean_user,
    done,
    submitted_id,
)
from hpcwatch.cluster.schedulers.site_settings import OF_SLURM
from hpcwatch.cluster.schedulers.slurm_accounting import (
    HISTORY_FIELDS,
    OLD_HISTORY_FIELDS,
    SEPARATOR,
    USAGE_FIELDS,
    jobs_from_sacct,
    usage_from_sstat,
)
from hpcwatch.cluster.schedulers.slurm_json import jobs_from_squeue
from hpcwatch.cluster.schedulers.slurm_list import FORMAT, jobs_from_list
from hpcwatch.cluster.schedulers.slurm_text import jobs_from_scontrol

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.history import History

_REASON_WORDS = {
    "priority": "jobs with a higher priority are ahead of it",
    "resources": "it is its turn, but what it asks for is not free yet",
    "dependency": "it waits for another job that it depends on",
    "dependencyneversatisfied": "the job it depends on ended otherwise: this one never starts",
    "begintime": "it was asked to start no earlier than a certain time",
    "jobhelduser": "its owner holds it: scontrol release ID lets it go",
    "jobheldadmin": "an administrator holds it, and only an administrator can release it",
    "jobholdmaxrequeue": "it failed to start too often and is held: scontrol release ID lets it go",
    "job_requeued_in_held_state": "it was requeued and is held: scontrol release ID lets it go",
    "launch_failed_requeued_held": "it failed to start and is held: scontrol release ID lets it go",
    "jobarraytasklimit": "its array may run no more tasks at once",
    "joblaunchfailure": "it could not be started on its nodes",
    "reservation": "it waits for its reservation to begin",
    "reservationdeleted": "its reservation is gone: it never starts",
    "nodedown": "a node it needs is down",
    "badconstraints": "no node has what it requests: it never starts",
    "partitiondown": "its partition is down",
    "partitioninactive": "its partition starts no jobs at present",
    "partitionconfig": "it asks for what its partition does not have or allow",
    "partitionnodelimit": "it asks for more nodes than its partition allows",
    "partitiontimelimit": "it asks for more time than its partition allows",
    "licenses": "it waits for a licence",
    "cleaning": "it is being cleaned up after an earlier start",
    "invalidaccount": "its account is not valid: it never starts",
    "invalidqos": "its quality of service is not valid: it never starts",
    "none": "the scheduler has not looked at it yet",
}

_REASON_PATTERNS = (
    # Slurm's limits, of which there are about a hundred
    (r"reqnodenotavail\b", "a node it asks for is down, drained or reserved"),
    (r"^(qos|assoc)?max(submit)?jobs?|^qosmax(submit)?job", "more jobs at once are not allowed"),
    (r"^(qos|assoc)\w*wall", "it asks for more time than its account or QOS allows"),
    (r"^(qos|assoc)(grp|max)\w*(cpu|core)", "its account or user already uses all cores allowed"),
    (r"^(qos|assoc)(grp|max)\w*mem", "its account or user already uses all memory allowed"),
    (r"^(qos|assoc)(grp|max)\w*(gres|gpu)", "its account or user already uses all GPUs allowed"),
    (r"^(qos|assoc)(grp|max)\w*node", "its account or user already uses all nodes allowed"),
    (r"^(qos|assoc)\w+$", "a limit of its account or QOS holds it back"),
    (r"launch failed requeued held", "it failed to start and is held: scontrol release ID"),
)

REASONS = Reasons(_REASON_WORDS, _REASON_PATTERNS)
"""Why a job waits, in plain English. Source: squeue(1), JOB REASON CODES."""


__all__ = ["COMMANDS", "DIALECT", "Slurm", "expand_hosts", "from_environment"]

_ID = re.compile(r"(\d{1,12})(?:[_+](\d{1,9}))?", re.ASCII)
_SUBMITTED = re.compile(r"\d{1,12}(?:;[\w.-]+)?", re.ASCII)
_WAITING = re.compile(r"(\d{1,12})_\[([\d,:-]+)(?:%\d{1,9})?\]", re.ASCII)
"""The waiting tasks of an array, as squeue shows them. The part after % is not part of the set."""


class Slurm(Scheduler):
    """Slurm's commands."""

    name = "slurm"

    def clean_id(self, text: str) -> str:
        """Return ``4711``, ``2_3`` or ``4+0``; of ``2_[3-6%2]`` the array. Raises HpcwatchError."""
        word = text.strip()
        waiting = _WAITING.fullmatch(word)
        if waiting:
            return waiting[1]
        if not _ID.fullmatch(word):
            hint = "they look like 4711, 2_3 or 4+0"
            raise HpcwatchError(f"{word[:60]!r} is no Slurm job id", hint, EXIT_USAGE)
        return word

    def job(self, *job_ids: str) -> Query[tuple[Job, ...]]:
        """Ask for these jobs with one call, or for all without ids.

        A single job comes from scontrol, which reports most; a list from squeue, where no user can
        write text that looks like another user's job.
        """
        ids = [self.clean_id(job_id) for job_id in job_ids]
        if len(ids) != 1:
            return _listed([], lambda jobs: _only(ids, jobs))
        number = re.split("[_+]", ids[0])[0]
        argv = ["scontrol", "show", "job", "-d", ids[0]]
        return Query(argv, lambda answer: _only(ids, jobs_from_scontrol(answer, number)))

    def jobs(self, user: str) -> Query[tuple[Job, ...]]:
        """Ask for a user's jobs. Some versions' --json ignores -u, so the answer is filtered."""
        name = clean_user(user)
        return _listed(["-u", name], lambda jobs: tuple(job for job in jobs if job.owner == name))

    def history(self, job_id: str) -> Query[tuple[Job, ...]]:
        """Ask the accounting, which also answers while the controller is down."""
        which = self.clean_id(job_id)

        def asked(
            fields: Sequence[str], older: Query[tuple[Job, ...]] | None = None
        ) -> Query[tuple[Job, ...]]:
            argv = ["sacct", "-P", f"--delimiter={SEPARATOR}", "-j", which, "-o", ",".join(fields)]
            return Query(argv, lambda answer: _only([which], jobs_from_sacct(answer)), if_odd=older)

        return asked(HISTORY_FIELDS, asked(OLD_HISTORY_FIELDS))

    def usage(self, job_id: str) -> Query[Usage | None]:
        """Ask for the use of a running job's steps so far."""
        fields = ",".join(USAGE_FIELDS)
        argv = ["sstat", "-a", "-P", "-j", self.clean_id(job_id), "-o", fields]
        return Query(argv, usage_from_sstat)

    def submit_line(self, job: Job) -> Query[tuple[Job, ...]] | None:
        """Ask the accounting: scontrol of Slurm 22.05 reports the script's path alone."""
        line = job.submit_arguments or ""
        return None if line and not line.startswith("/") else self.history(job.id)

    def cancel(self, job_id: str) -> Query[str]:
        """End a job; with ``43_[3-4%2]`` only those tasks.

        scancel succeeds silently even if there is no such job: check its state afterwards.
        """
        waiting = _WAITING.fullmatch(job_id.strip())
        which = f"{waiting[1]}_[{waiting[2]}]" if waiting else self.clean_id(job_id)
        return Query(["scancel", which], _cancelled)

    def submit(self, script: str, arguments: Sequence[str] = ()) -> Query[str]:
        """Submit a script."""
        argv = ["sbatch", "--parsable", *arguments, clean_script(script)]
        return Query(argv, lambda answer: submitted_id("sbatch", _SUBMITTED, answer))


def _listed(
    options: Sequence[str], kept: Callable[[tuple[Job, ...]], tuple[Job, ...]]
) -> Query[tuple[Job, ...]]:
    """Ask for several jobs in JSON, or in a table where JSON is not supported."""
    # Only where squeue itself is replaced by something else.
    in_text = Query(
        ["scontrol", "show", "job", "-d"], lambda answer: kept(jobs_from_scontrol(answer))
    )
    in_table = Query(
        ["squeue", "-h", "-o", FORMAT, *options],
        lambda answer: kept(jobs_from_list(answer)),
        if_odd=in_text,
    )
    return Query(
        ["squeue", "--json", *options],
        lambda answer: kept(jobs_from_squeue(answer)),
        if_odd=in_table,
    )


def _cancelled(answer: Answer) -> str:
    if answer.exit_code == 0 and "error:" in answer.words:  # as some versions do
        raise RefusedError(answer.words)
    return done("scancel", answer)


def _only(ids: Sequence[str], jobs: tuple[Job, ...]) -> tuple[Job, ...]:
    """Keep the queried jobs. A number also means an array's tasks and a job's components."""
    if not ids:
        return jobs
    asked = frozenset(ids)
    return tuple(
        job
        for job in jobs
        if {job.id, job.raw_id, job.array_id, job.het_id} & asked
        or any(job.is_called(word) for word in ids)
    )


def _is_slurm(answer: Answer) -> bool:
    return answer.exit_code == 0 and answer.text.startswith("slurm")


def _history() -> History:
    from hpcwatch.cluster.schedulers.slurm_history import HISTORY

    return HISTORY


COMMANDS = Slurm()
DIALECT = Dialect(
    name="slurm",
    commands=COMMANDS,
    inside=INSIDE["slurm"],
    site=OF_SLURM,
    requests=request_slurm,
    required=("squeue", "scontrol"),
    probe=("squeue", "--version"),
    is_told_by=_is_slurm,
    purposes={
        "squeue": "jobs",
        "scontrol": "one job",
        "sacct": "jobs that are over",
        "sstat": "use so far",
        "scancel": "cancel",
        "sbatch": "submit",
    },
    submits_by="sbatch",
    job_groups=("/slurm/uid_1000/job_5", "/system.slice/slurmstepd.scope/job_5"),
    reasons=REASONS,
    transports=("srun",),
    step_memory="srun --mem",
    whole_cores="srun --cpus-per-task or export SRUN_CPUS_PER_TASK",
    launchers="srun",
    is_end_in_reason=True,
    formatting=("SQUEUE_", "SACCT_", "SINFO_", "SSTAT_", "SCONTROL_", "SLURM_TIME_FORMAT"),
    settings={"SLURM_TIME_FORMAT": "standard"},
    cluster="SLURM_CLUSTER_NAME",
    history=_history,
    trial=start_slurm,
    give_back=give_back_slurm,
    arrays=array_slurm,
)
