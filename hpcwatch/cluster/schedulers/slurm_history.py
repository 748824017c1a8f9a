"""Slurm's accounts of past jobs, one day per question, and how the site gathers them. Pure.

Sources: sacct(1); for what is counted as memory slurm.conf(5), JobAcctGatherParams, and Slurm's
src/plugins/cgroup/v2/cgroup_v2.c, whose commits d01d488d92 and e2bed375f7 changed it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

from hpcwatch.cluster.schedulers.history import History, Question, Site, Wanted
from hpcwatch.cluster.schedulers.query import Answer, Query, is_unknown
from hpcwatch.cluster.schedulers.slurm_accounting import new_separator
from hpcwatch.cluster.schedulers.slurm_past import FIELDS, Reader

_TIMES = {"SLURM_TIME_FORMAT": "%s"}
"""Seconds since the epoch: a local time is ambiguous in the hour that summer time repeats."""
_MOST_WINDOWS = 36_600


def questions(wanted: Wanted, site: Site) -> Sequence[Question]:
    """Return one question per day, the latest first: a busy database answers small questions."""
    who = ["-u", ",".join(wanted.users)] if wanted.users else ["-a"]
    if wanted.accounts:
        who += ["-A", ",".join(wanted.accounts)]
    found = days(wanted.since_s, wanted.until_s)
    return [
        _question(Reader(first_s, last_s, place == 0, site.counts_gpus), first_s, last_s, who)
        for place, (first_s, last_s) in enumerate(reversed(found))
    ]


def _question(reader: Reader, first_s: float, last_s: float, who: Sequence[str]) -> Question:
    argv = [
        *("sacct", "-P", "-D", "--noconvert", f"--delimiter={new_separator()}"),
        *("-S", _local(first_s), "-E", _local(last_s), *who, "-o", ",".join(FIELDS)),
    ]
    what = time.strftime("%Y-%m-%d", time.localtime(first_s))
    return Question(tuple(argv), reader, what, settings=_TIMES)


def _local(at_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(at_s))


def days(since_s: float, until_s: float) -> list[tuple[float, float]]:
    """Split a span of time at each local midnight; the earliest part comes first."""
    found: list[tuple[float, float]] = []
    at_s = since_s
    while at_s < until_s and len(found) < _MOST_WINDOWS:
        day = time.localtime(at_s)
        # mktime turns the 32nd of a month into the 1st of the next, and knows about summer time.
        next_s = time.mktime((day[0], day[1], day[2] + 1, 0, 0, 0, 0, 0, -1))
        found.append((at_s, min(next_s, until_s)))
        at_s = next_s
    return found


_CACHE = (
    "Memory may contain page cache: this Slurm counts the whole control group"
    " (JobAcctGatherParams lacks no_file_cache)."
)
_HUGE_PAGES = (
    "Memory may count huge pages twice, as Slurm before 23.02.6 does with control groups version 2."
)
_FIRST_V2, _HUGE_PAGES_ONCE, _WITH_CACHE = (22, 5), (23, 2, 6), (23, 11)
"""Versions: the first with control groups version 2, the first that counts huge pages once, and the
first that counts all memory of the group."""
UNASKED = Site("Memory may contain page cache: it is not known how this Slurm gathers it.")


def site_from(answer: Answer) -> Site:
    """Read `scontrol show config`. Raises SchedulerError."""
    is_unknown(answer)
    found = dict(re.findall(r"^(\w+) *= *(.*)$", answer.text, re.MULTILINE))
    has_gpus = "gpu" in found.get("GresTypes", "gpu")
    counts_gpus = not has_gpus or "gres/gpu" in found.get("AccountingStorageTRES", "")
    kind = found.get("JobAcctGatherType")
    if kind is None:
        return UNASKED._replace(counts_gpus=counts_gpus)
    return Site(_caveat(kind, found), counts_gpus)


def _caveat(kind: str, settings: Mapping[str, str]) -> str:
    """Return what is to be said of memory that Slurm gathers in this way."""
    is_version_1 = settings.get("CgroupPlugin", "").strip() == "cgroup/v1"
    if "cgroup" not in kind or is_version_1:  # their anonymous memory only
        return ""
    if "no_file_cache" in settings.get("JobAcctGatherParams", "").lower():
        return ""
    version = tuple(map(int, re.findall(r"\d{1,4}", settings.get("SLURM_VERSION", ""))[:3]))
    if not version or version >= _WITH_CACHE:
        return _CACHE
    return _HUGE_PAGES if _FIRST_V2 <= version < _HUGE_PAGES_ONCE else ""


def accounts_from(answer: Answer) -> tuple[str, ...]:
    """Read `sacctmgr -nP list account format=Account`. Raises SchedulerError."""
    is_unknown(answer)
    return tuple(dict.fromkeys(line.strip("|") for line in answer.text.split("\n") if line))


HISTORY = History(
    questions=questions,
    site=Query(["scontrol", "show", "config"], site_from),
    unasked=UNASKED,
    accounts=Query(["sacctmgr", "-nP", "list", "account", "format=Account"], accounts_from),
)
