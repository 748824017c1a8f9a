"""Why a Slurm job waits: its words, and plain English. Source: squeue(1), JOB REASON CODES."""

from __future__ import annotations

from hpcwatch.cluster.schedulers.dialects import Reasons

_EXACT = {
    "priority": "jobs with a higher priority are ahead of it",
    "resources": "it is its turn, but what it asks for is not free yet",
    "dependency": "it waits for another job that it depends on",
    "dependencyneversatisfied": "the job it depends on ended otherwise: this one never starts",
    "begintime": "it was asked to start no earlier than a certain time",
    "jobhelduser": "its owner holds it: scontrol release ID lets it go",
    "jobheldadmin": "an administrator holds it, and only one can release it",
    "jobholdmaxrequeue": "it failed to start too often and is held: scontrol release ID lets it go",
    "job_requeued_in_held_state": "it was requeued and is held: scontrol release ID lets it go",
    "launch_failed_requeued_held": "it failed to start and is held: scontrol release ID lets it go",
    "jobarraytasklimit": "its array may run no more tasks at once",
    "joblaunchfailure": "it could not be started on its nodes",
    "reservation": "it waits for its reservation to begin",
    "reservationdeleted": "its reservation is gone: it never starts",
    "nodedown": "a node it needs is down",
    "badconstraints": "no node has what it asks for: it never starts",
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

_PATTERNS = (
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

REASONS = Reasons(_EXACT, _PATTERNS)
