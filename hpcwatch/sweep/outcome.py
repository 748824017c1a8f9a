"""The results and the cost of a sweep: a row per task, the hosts' time, and idle time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hpcwatch.base.signals import how_ended
from hpcwatch.recording.masking import masked_fields, masked_text
from hpcwatch.sweep import gpus
from hpcwatch.sweep.attempts import Attempt, Attempts, verdict
from hpcwatch.sweep.bars import Balance, Bar, balance, in_lanes, pauses
from hpcwatch.sweep.joblog import JoblogRow
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.sharing import Sharing

UNKNOWN_END = "unknown end"


class TaskRow(NamedTuple):
    """A task and its result. Unknown is None."""

    number: int
    parameters: dict[str, str]
    how: str
    """``ok``, ``exit 1``, ``signal 9``, ``timed out``, ``stopped``, ``unknown end``,
    ``not run`` …"""
    is_good: bool
    host: str | None = None
    device: str | None = None
    started_at_s: float | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    memory_peak_bytes: int | None = None
    gpu_util_mean_pct: float | None = None
    gpu_memory_peak_bytes: int | None = None
    attempts_count: int = 0
    results: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    command: str = ""
    output: str = ""
    """The file with the program's output."""
    run: str = ""
    """The folder of its recording."""
    trouble: str = ""
    """Why it could not be started, in words."""


class Outcome(NamedTuple):
    """A sweep as its views show it."""

    name: str
    parameters: list[str]
    rows: list[TaskRow]
    bars: list[Bar]
    places: list[Place]
    start_s: float
    end_s: float
    busy_pct: float | None
    """Share of the slots' time from first start to last end, without pauses, that tasks used."""
    tail_slot_s: float
    """Idle slot-seconds after the last task was started."""
    balance: Balance | None
    sharings: Sequence[Sharing] = ()
    """GPUs that several tasks used while another GPU was idle, from recordings."""

    paused_s: float = 0.0
    """Seconds in which no task ran: the sweep was ended and resumed, perhaps in another job."""
    is_array: bool = False
    """A job array ran it, in which no slot waits for a task: what is idle belongs to others."""

    @property
    def ran_s(self) -> float:
        """Its length in seconds, without pauses."""
        return self.end_s - self.start_s - self.paused_s

    @property
    def slots_count(self) -> int:
        """The most tasks that ran at the same time."""
        return sum(place.slots_count for place in self.places)


def of_picture(picture: Picture, sharings: Sequence[Sharing] = ()) -> Outcome:
    """Return the outcome of one of our sweeps."""
    files = Attempts(picture.folder)
    rows = []
    for task in picture.tasks:
        some = picture.attempts.get(task.number, [])
        row = TaskRow(task.number, task.parameters, "not run", False, attempts_count=len(some))
        last = verdict(some)
        is_over = picture.is_over or task.number in picture.cut_off
        rows.append(row if last is None else _filled(row, last, files, is_over))
    known = [one for some in picture.attempts.values() for one in some]
    bars = [_bar(one, picture.now_s) for one in known]
    made = _outcome(picture.plan.name, picture.plan.parameters, rows, bars, picture.places)
    made = made._replace(sharings=sharings)
    if any(one.started.submission is not None for one in known):
        made = made._replace(is_array=True, busy_pct=None, tail_slot_s=0.0, balance=None)
    return made


def _filled(row: TaskRow, attempt: Attempt, files: Attempts, is_over: bool) -> TaskRow:
    started, ended = attempt
    row = row._replace(
        host=started.host,
        device=started.device,
        started_at_s=started.at_s,
        how=UNKNOWN_END if is_over else "running",
        output=files.output_file(started.task, started.attempt),
        run=files.run_folder(started.task, started.attempt),
    )
    if ended is None:
        return row
    return row._replace(
        how=how(attempt),
        output="" if ended.is_silent else row.output,
        is_good=ended.is_good,
        wall_s=ended.wall_s,
        cpu_s=ended.cpu_s,
        memory_peak_bytes=ended.memory_peak_bytes,
        gpu_util_mean_pct=ended.gpu_util_mean_pct,
        gpu_memory_peak_bytes=ended.gpu_memory_peak_bytes,
        results=ended.results,
        trouble=ended.trouble,
    )


def how(attempt: Attempt) -> str:
    """Return in a word or two how an attempt ended."""
    ended = attempt.ended
    if ended is None:
        return UNKNOWN_END
    if ended.is_stopped:
        return "stopped"
    if ended.is_timed_out:
        return "timed out"
    if ended.trouble:
        return "not started"
    return how_ended(ended.exit_code, ended.signal)


def _bar(attempt: Attempt, now_s: float) -> Bar:
    started, ended = attempt
    # The clocks of two hosts may differ; the times of one host are consistent.
    end_s = max(ended.at_s if ended is not None else now_s, started.at_s)
    is_good = ended is not None and ended.is_good
    return Bar(started.host, 0, started.task, started.at_s, end_s, is_good, started.device)


def of_joblog(name: str, rows: Sequence[JoblogRow], here: str) -> Outcome:
    """Return the outcome of a plain GNU parallel run. ``here`` is where it ran."""
    found, bars = [], []
    for one in rows:
        host = here if one.host == ":" else one.host.rpartition("/")[2]
        is_good = one.exit_code == 0 and one.signal == 0
        device = gpus.in_command(one.command)
        found.append(
            TaskRow(
                one.seq,
                {},
                how_ended(one.exit_code, one.signal),
                is_good,
                host=host,
                device=device,
                started_at_s=one.started_at_s,
                wall_s=one.runtime_s,
                attempts_count=1,
                command=one.command,
            )
        )
        end_s = one.started_at_s + one.runtime_s
        bars.append(Bar(host, 0, one.seq, one.started_at_s, end_s, is_good, device))
    return _outcome(name, [], found, bars, [])


def _outcome(
    name: str, parameters: list[str], rows: list[TaskRow], bars: list[Bar], places: Sequence[Place]
) -> Outcome:
    rows = [_masked(row) for row in rows]
    bars = in_lanes(bars)
    most = {bar.host: 0 for bar in bars}
    for bar in bars:
        most[bar.host] = max(most[bar.host], bar.lane + 1)
    known = [place.name for place in places]
    all_places = [
        place._replace(slots_count=max(place.slots_count, most.get(place.name, 0)))
        for place in places
    ]
    all_places += [Place(host, count) for host, count in most.items() if host not in known]
    slots_count = sum(place.slots_count for place in all_places)
    start_s = min((bar.start_s for bar in bars), default=0.0)
    end_s = max((bar.end_s for bar in bars), default=0.0)
    paused_s = sum(length_s for _, length_s in pauses(bars))
    whole = slots_count * (end_s - start_s - paused_s)
    last_start_s = max((bar.start_s for bar in bars), default=0.0)
    busy_after = sum(max(bar.end_s - max(bar.start_s, last_start_s), 0.0) for bar in bars)
    return Outcome(
        name=name,
        parameters=parameters,
        rows=rows,
        bars=bars,
        places=all_places,
        start_s=start_s,
        end_s=end_s,
        busy_pct=100 * sum(bar.wall_s for bar in bars) / whole if whole > 0 else None,
        tail_slot_s=max(slots_count * (end_s - last_start_s) - busy_after, 0.0),
        balance=balance(bars, slots_count),
        paused_s=paused_s,
    )


def _masked(row: TaskRow) -> TaskRow:
    """Return a row with its secrets masked."""
    return row._replace(
        parameters=masked_fields(row.parameters),
        results=masked_fields(row.results),
        command=masked_text(row.command),
        trouble=masked_text(row.trouble),
    )


def without_pauses(outcome: Outcome) -> Outcome:
    """Return it as if it had been resumed at once."""
    known = pauses(outcome.bars)

    def moved(at_s: float) -> float:
        return at_s - sum(length_s for end_s, length_s in known if end_s <= at_s)

    bars = [
        bar._replace(start_s=moved(bar.start_s), end_s=moved(bar.end_s)) for bar in outcome.bars
    ]
    return outcome._replace(bars=bars, end_s=moved(outcome.end_s), paused_s=0.0)
