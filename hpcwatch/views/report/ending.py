"""How a run ended, and after what time, in words. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report import Report
from hpcwatch.base.units import format_clock, format_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_EARLY_S = 30.0
_EARLY_SHARE = 0.02
"""The job began before the run, so the signal comes early by the run's clock."""


def ending(report: Report) -> tuple[str, str]:
    """Say how the run ended, and in which style."""
    run = report.run
    if run.kind == "job" and run.job is not None:
        return _job_ending(run.job)
    if run.ended_at_s is None:
        return _unended(report), "warning"
    if run.signal is not None:
        from hpcwatch.base.signals import numbered_signal_name

        words = f"killed by {numbered_signal_name(run.signal)}{_cancelled_words(report)}"
        return words, "critical"
    if run.exit_code:
        return f"failed (exit {run.exit_code})", "critical"
    return "ended normally", "ok"


def _unended(report: Report) -> str:
    if report.is_running:
        return "still running"
    if report.is_running is None:  # it ran on another host: unknown here
        return "unfinished; last seen"
    unknown = "no end recorded (its monitor was killed, or lost the file system); last seen"
    return _ordered_end(report) or unknown


def _cancelled_words(report: Report) -> str:
    """Say why --cancel-if-idle cancelled the job; empty if it did not."""
    acts = [event.fields for event in report.events if event.name == "cancel if idle"]
    if not acts or acts[-1].get("state") != "cancelled":
        return ""
    from hpcwatch.base.clean import clean

    return f", cancelled as {clean(str(acts[-1].get('reason', 'idle')))}"


def _asks_to_end(named: object) -> bool:
    """True of a signal with which schedulers and users end a program."""
    import signal

    from hpcwatch.base.signals import numbered_signal_name

    numbers = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU
    return named in [numbered_signal_name(number) for number in numbers]


def _ordered_end(report: Report) -> str | None:
    """Say which signal ended a run whose monitor had no time to see the end; None if none came."""
    run, job = report.run, report.run.job
    came = [event for event in report.events if event.name == "signal"]
    last = next((one for one in reversed(came) if _asks_to_end(one.fields.get("signal"))), None)
    if last is None:
        return None
    words = f"ended by {last.fields['signal']}{_cancelled_words(report)}"
    if job is not None and job.walltime_s:
        since_s = run.started_at_s if job.started_at_s is None else job.started_at_s
        if last.at_s - since_s >= job.walltime_s - max(_EARLY_S, _EARLY_SHARE * job.walltime_s):
            words += ", at its walltime"
    return f"{words}; last seen"


def _job_ending(job: Job) -> tuple[str, str]:
    """Say what became of a job, in its scheduler's figures."""
    if not job.state.is_over:
        return f"{job.state.value} when last asked", "warning"
    style = "ok" if job.state.value == "completed" else "critical"
    if job.exit is None:
        return job.state.value, style
    return job.exit.words if style == "ok" else job.exit.words_with_raw, style


def ending_and_time(report: Report) -> str:
    """Say how it ended, and after what time: ``ended normally after 2:41:07``."""
    how = ending(report)[0]
    job = report.run.job if report.run.kind == "job" else None
    if job is None:
        return f"{how} after {took(report)}"
    # Slurm says of a job that was cancelled in the queue that it started as it ended.
    has_started = job.started_at_s is not None and bool(job.nodes or report.summary.wall_s)
    if job.state.is_over:
        return f"{how} after {took(report)}" if has_started else f"{how} before it started"
    return f"{how}, after {took(report)}" if has_started else how


def took(report: Report) -> str:
    """Say how long it ran: ``2:41:07``, below a minute ``9.05 s``."""
    wall_s = report.summary.wall_s
    return format_seconds(wall_s) if wall_s < 60 else format_clock(wall_s)
