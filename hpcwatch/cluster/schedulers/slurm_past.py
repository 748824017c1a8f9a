"""Past jobs from the rows of `sacct -P`, each with its steps, as they come. Pure.

Source: sacct(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from hpcwatch.cluster.schedulers.history import (
    PastJob,
    Source,
)
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.schedulers.jobstats import PREFIX, jobstats
from hpcwatch.cluster.schedulers.slurm_rows import Rows
from hpcwatch.cluster.schedulers.slurm_states import (
    exit_pair,
    limit_s,
    memory_bytes,
    state_of,
    tres,
    tres_gpus,
    word,
)
from hpcwatch.cluster.schedulers.text import count, seconds, when

FIELDS = (
    *("JobID", "JobName", "AdminComment", "User", "Account", "Partition", "State", "ExitCode"),
    *("NNodes", "AllocTRES", "ReqTRES", "NTasks", "MaxRSS", "TotalCPU", "TRESUsageInTot"),
    *("ElapsedRaw", "Timelimit", "Submit", "Eligible", "Start", "End", "JobIDRaw"),
)
_LEAST_SAMPLED_S = 120.0
"""Slurm samples devices every 30 s by default: of a shorter job it has seen next to nothing."""

# Their places among the cells of a row.
_ID, _NAME, _COMMENT, _USER, _ACCOUNT, _PARTITION, _STATE, _EXIT = range(8)
_NODES, _ALLOCATED, _REQUESTED, _TASKS, _RSS, _CPU, _USED = range(8, 15)
_ELAPSED, _LIMIT, _SUBMIT, _ELIGIBLE, _START, _END, _RAW_ID = range(15, 22)


class _Steps:
    """What the steps of a job add to its figures."""

    __slots__ = ("gpu_memory", "gpu_pct", "is_out_of_memory", "memory", "source")

    def __init__(self) -> None:
        self.memory, self.source = 0, Source.STEP
        self.gpu_pct: float | None = None
        self.gpu_memory: int | None = None
        self.is_out_of_memory = False

    def add(self, cells: list[str]) -> None:
        """Take in a step: of several the largest, since they may have run one after the other."""
        used = cells[_USED]
        memory, source = _amount(used, ",mem="), Source.STEP
        if not memory and cells[_RSS]:
            memory = _memory(cells[_RSS])
            source = Source.STEP if cells[_TASKS] == "1" else Source.TASK
        if memory and memory > self.memory:
            self.memory, self.source = memory, source
        if cells[_STATE].startswith("OUT_OF_ME"):
            self.is_out_of_memory = True
        if "gres/gpu" in used:
            self._add_devices(used)

    def _add_devices(self, used: str) -> None:
        pct = count(_cell(used, ",gres/gpuutil="))
        if pct is not None:  # steps may have used different devices: their sum is a bound
            self.gpu_pct = pct + (self.gpu_pct or 0.0)
        memory = _amount(used, ",gres/gpumem=")
        if memory is not None:
            self.gpu_memory = max(memory, self.gpu_memory or 0)

    def devices(
        self, count: int | None, ran_s: int | None, is_parts: bool
    ) -> tuple[float | None, Source | None]:
        """Return how many devices were busy, from the sum of the tasks' highest values.

        That bounds the mean from above. A part of a divided device has no utilisation. Where Slurm
        cannot read a device (an older CUDA, AMD, GH200) both of its values are 0, so 0 counts
        only where memory was seen in use. Source: CU Boulder's documentation,
        https://github.com/ResearchComputing/Documentation/pull/498
        """
        if not count or self.gpu_pct is None or is_parts or (ran_s or 0) < _LEAST_SAMPLED_S:
            return None, None
        if not self.gpu_pct and not self.gpu_memory:
            return None, None
        return min(self.gpu_pct / 100, float(count)), Source.PEAKS


def _cell(used: str, key: str) -> str | None:
    """Return a value of ``cpu=1,mem=5K``; the key has the comma before it."""
    if used.startswith(key[1:]):
        at = len(key) - 1
    else:
        at = used.find(key) + len(key)
        if at < len(key):
            return None
    end = used.find(",", at)
    return used[at:] if end < 0 else used[at:end]


def _amount(used: str, key: str) -> int | None:
    text = _cell(used, key)
    return _memory(text) if text else None


def _memory(text: str) -> int | None:
    """Read ``319640K`` or ``326062080``, as sacct writes nearly all of a million amounts."""
    shift = _SHIFTS.get(text[-1:])
    number = text if shift is None else text[:-1]
    if number.isdigit() and number.isascii() and len(number) < 16:
        return int(number) << (shift or 0) or None
    return memory_bytes(text)


_SHIFTS = {"K": 10, "M": 20, "G": 30}


@lru_cache(maxsize=1 << 12)
def _limit_s(text: str) -> int | None:
    return limit_s(text)


@lru_cache(maxsize=1 << 12)
def _state(raw: str, is_over: bool) -> JobState:
    """Return the state. A run before the job was requeued has an end; how it ended is unknown."""
    state = state_of(raw)
    return JobState.UNKNOWN if is_over and not state.is_over else state


@lru_cache(maxsize=1 << 14)
def _amounts(text: str) -> tuple[int | None, int | None, int | None, bool]:
    """Return cores, memory in bytes and GPUs of a TRES, and whether those are parts of GPUs."""
    found = tres(text)
    is_parts = any(_MIG.search(name) for name in found)
    return count(found.get("cpu")), memory_bytes(found.get("mem")), tres_gpus(found), is_parts


_MIG = re.compile(r"gres/gpu:.*\d+g\.\d+gb")


def _is_number(text: str) -> bool:
    # isdigit() alone takes what int() does not, such as a superscript.
    return text.isdigit() and text.isascii() and len(text) < 12


def _when(text: str) -> float | None:
    if _is_number(text):
        return float(text) or None
    return when(text)


class Reader:
    """Reads one answer, and leaves out jobs that belong to another window of time.

    A job belongs to the window in which it ended; a job that is not over belongs to the last
    window. So no job counts twice, however many windows it ran through.
    """

    accounts: frozenset[str] = frozenset()
    """Empty: sacct prints the wanted jobs only."""

    def __init__(
        self, since_s: float, until_s: float, is_last: bool = False, counts_gpus: bool = False
    ) -> None:
        self._since_s, self._until_s, self._is_last = since_s, until_s, is_last
        self._unnamed_gpus = 0 if counts_gpus else None
        self._rows = Rows(FIELDS)
        self._words: dict[str, str] = {}

    @property
    def odd_count(self) -> int:
        """Rows that could not be read."""
        return self._rows.odd_count

    def read(self, pieces: Iterable[bytes]) -> Iterator[PastJob]:
        """Yield the jobs, each with its steps, which follow it. Raises NotUnderstoodError."""
        row: list[str] | None = None
        steps, prefix = _Steps(), ""
        for cells in self._rows.read(pieces):
            job_id = cells[_ID]
            if "." in job_id:
                if prefix and job_id.startswith(prefix):
                    steps.add(cells)
                continue
            if row is not None:
                yield self._job(row, steps)
            row, steps, prefix = None, _Steps(), ""
            if job_id and self._is_here(cells):
                row, prefix = cells, f"{job_id}."
        if row is not None:
            yield self._job(row, steps)

    def _is_here(self, cells: list[str]) -> bool:
        ended_s = _when(cells[_END])
        if ended_s is None:
            return self._is_last
        return self._since_s <= ended_s and (ended_s < self._until_s or self._is_last)

    def _allocated(self, row: list[str]) -> tuple[int | None, int | None, int | None, bool]:
        """Return what ``_amounts`` does; without GPUs in the TRES, 0 if this Slurm counts them."""
        cores, memory, gpus, is_parts = _amounts(row[_ALLOCATED] or row[_REQUESTED])
        if gpus is None and cores is not None:
            gpus = self._unnamed_gpus
        return cores, memory, gpus, is_parts

    def _job(self, row: list[str], steps: _Steps) -> PastJob:
        raw, job_id = row[_STATE], row[_ID]
        ended_s = _when(row[_END])
        is_over = ended_s is not None
        cores, memory, gpus, is_parts = self._allocated(row)
        elapsed = count(row[_ELAPSED])
        cpu_s = (seconds(row[_CPU]) or None) if is_over else None  # 0: nothing was gathered
        code, signal = exit_pair(row[_EXIT]) if is_over else (None, None)
        array, underscore, _ = job_id.partition("_")
        used, used_from = steps.devices(gpus, elapsed, is_parts) if is_over else (None, None)
        job = PastJob(
            id=job_id,
            scheduler="slurm",
            state=_state(raw, is_over),
            raw_state=self._same(raw) or "",
            name=self._same(row[_NAME]),
            owner=self._same(row[_USER]),
            account=self._same(row[_ACCOUNT]),
            queue=self._same(row[_PARTITION]),
            array_id=self._same(array) if underscore else None,
            exit_code=None if signal else code,
            signal=signal or None,
            is_step_out_of_memory=steps.is_out_of_memory,
            submitted_at_s=_when(row[_SUBMIT]),
            eligible_at_s=_when(row[_ELIGIBLE]),
            started_at_s=_when(row[_START]),
            ended_at_s=ended_s,
            ran_s=None if elapsed is None else float(elapsed),
            walltime_s=_limit_s(row[_LIMIT]),
            nodes_count=count(row[_NODES]),
            cores_count=cores,
            gpus_count=gpus,
            memory_requested_bytes=memory,
            cpu_s=cpu_s,
            cpu_from=Source.ACCOUNTS if cpu_s is not None else None,
            memory_bytes=steps.memory or None if is_over else None,
            memory_from=steps.source if is_over and steps.memory else None,
            gpus_used=used,
            gpus_from=used_from,
            gpu_memory_bytes=steps.gpu_memory if is_over else None,
            gpu_memory_from=Source.PEAKS if is_over and steps.gpu_memory is not None else None,
            raw_id=row[_RAW_ID] if row[_RAW_ID] != job_id and _is_number(row[_RAW_ID]) else None,
        )
        return _with_jobstats(job, row[_COMMENT])

    def _same(self, text: str) -> str | None:
        """Return the same object for equal texts: a million rows have few accounts and names."""
        found = self._words.get(text)
        if found is not None:
            return found
        made = word(text)
        if made is not None:
            if len(self._words) > _MOST_WORDS:
                self._words.clear()
            self._words[text] = made
        return made


_MOST_WORDS = 10_000


def _with_jobstats(job: PastJob, comment: str) -> PastJob:
    """Prefer the figures in a jobstats comment: they cover all nodes, without page cache."""
    known = jobstats(comment) if comment.startswith(PREFIX) else None
    if known is None:
        return job
    if known.cpu_s is not None:
        job = job._replace(cpu_s=known.cpu_s, cpu_from=Source.JOBSTATS)
    if known.memory_bytes:
        job = job._replace(memory_bytes=known.memory_bytes, memory_from=Source.JOBSTATS)
    if known.gpus_used is not None:
        job = job._replace(gpus_used=known.gpus_used, gpus_from=Source.JOBSTATS)
    if known.gpu_memory_bytes is not None:
        job = job._replace(gpu_memory_bytes=known.gpu_memory_bytes, gpu_memory_from=Source.JOBSTATS)
    return job
