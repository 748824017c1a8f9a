"""Why a job waits, in plain English. The scheduler's own words always stand beside it. Pure."""

from __future__ import annotations

import re

from hpcwatch.base.clean import clean

_SLURM = {
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
"""Slurm's words, squeue(1) "JOB REASON CODES", in lower case."""

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
    # PBS: qhold(1B)
    (
        r"^hold_types = \S*\bs\b.*depend = \S*after\w*:",
        "it waits for another job: released after that",
    ),
    (r"^hold_types = u\b", "its owner holds it: qrls ID lets it go"),
    (r"^hold_types = [a-z]*o", "an operator holds it, and only an operator can release it"),
    (r"^hold_types = [a-z]*s", "the system holds it, and only an administrator can release it"),
    (r"^hold_types = [a-z]*p", "its password is no longer valid: qsub it again"),
    (r"^hold_types = l", "it is held on its own host (qhold there): qrls ID lets it go"),
    (r"can never run: insufficient", "the cluster has not so much of it: it never starts"),
    (r"can never run", "it asks for what this cluster cannot give: it never starts"),
    (r"insufficient amount of (queue |server )?resource", "not enough is free yet"),
    (
        r"not enough (of the right type of |free )?nodes|no available resources",
        "not enough nodes are free yet",
    ),
    (r"host set has too few", "not enough nodes of one kind are free yet"),
    (r"queue (is )?not started|queue not active", "its queue is stopped"),
    (r"dedicated time|conflict with reservation", "time set aside for others comes too soon"),
    (r"draining|top job|backfill", "a job ahead of it needs the nodes first"),
    (
        r"(max_run|run limit|running jobs|limit) .*reached|reached .*limit",
        "a limit on running jobs is reached",
    ),
    # Moab and Maui
    (r"^holds: .*\buser\b", "its owner holds it: releasehold ID or qrls ID lets it go"),
    (r"^holds: .*\bbatch\b", "Moab holds it after a failure, until an administrator releases it"),
    (
        r"^holds: .*\b(system|operator|admin)",
        "an administrator holds it, and only one can release it",
    ),
    (r"feasible procs: 0", "no node has what it asks for: it never starts"),
    (r"violates? .*(limit|policy)", "a limit on its owner or class is reached"),
    (r"idle procs do not meet|insufficient idle|noresources", "not enough cores are free yet"),
    (r"\bhold\b|\bheld\b", "it is held"),
    (r"dependenc", "it waits for another job that it depends on"),
)

_AMOUNT = re.compile(
    r"resource: ?(?P<what>\w{1,40})(?: \(r: (?P<asked>\S+) a: (?P<free>\S+) t: (?P<all>\S+)\))?"
)
"""PBS Pro: ``Insufficient amount of resource: ncpus (R: 40 A: 32 T: 60)``."""

_RESOURCES = {"ncpus": "cores", "mem": "memory", "ngpus": "GPUs", "nodes": "nodes"}
_MOST = 400  # characters of a reason that are looked at


def plain(reason: str) -> str:
    """Return a reason in plain English, empty if we know no better than the scheduler."""
    text = " ".join(reason[:_MOST].split()).lower()
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    if text in _SLURM:
        return _SLURM[text]
    words = next((words for pattern, words in _PATTERNS if re.search(pattern, text)), "")
    amount = _AMOUNT.search(text)
    if words and amount is not None:
        words = f"{words}: {_amount_text(amount)}"
    return words


def _amount_text(amount: re.Match[str]) -> str:
    what = _RESOURCES.get(amount["what"], clean(amount["what"]))
    if amount["asked"] is None:
        return what
    return f"{amount['asked']} {what} asked, {amount['free']} free, {amount['all']} in all"


_CODE = re.compile(r"[a-z]+(_[a-z]+)+")


def own_words(reason: str) -> str:
    """Return the scheduler's words; ``job_requeued_in_held_state`` with spaces."""
    own = clean(" ".join(reason.split()))
    return own.replace("_", " ") if _CODE.fullmatch(own) else own


def explained(reason: str) -> str:
    """Return the scheduler's words, and the reason in plain English behind them."""
    own = own_words(reason)
    words = plain(reason)
    return f"{own}: {words}" if words else own
