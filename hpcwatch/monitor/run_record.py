"""Runs as they are recorded: what is known at the start, and what the end adds."""

from __future__ import annotations

import os
import time

from hpcwatch import __version__
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.launch.program import Program
from hpcwatch.probe.listing import login_name
from hpcwatch.probe.procfs import parse_table, read
from hpcwatch.recording import masking, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.config import Settings
    from hpcwatch.monitor import RunOptions


def of_program(
    program: Program, options: RunOptions, interval_s: float, job: Job | None
) -> store.Run:
    """Return the run of a program that has just started, inside or outside of a job."""
    name = options.name or program_name(program.argv)
    return store.Run(
        id=store.new_id(name, program.started_s),
        name=name,
        kind="run" if options.sweep_id is None else "sweep-task",
        argv=list(program.argv),
        cwd=_working_directory(),
        user=login_name(os.getuid()),
        hosts=[os.uname().nodename],
        started_at_s=program.started_s,
        interval_s=interval_s,
        hpcwatch_version=__version__,
        monitor_pid=os.getpid(),
        environment=masking.kept(os.environ),
        job=job,
        sweep_id=options.sweep_id,
        parameters=options.parameters,
    )


def program_ended(
    run: store.Run, program: Program, host: HostTimeline | None, read_cpu_s: float | None
) -> store.Run:
    """Return the run with its program's end. ``host`` is the timeline of the program's host.

    ``read_cpu_s`` is the monitor's CPU time at the last reading: a control group that both are in
    had counted that much of it, and nothing of what the report takes.
    """
    assert program.exit_status is not None
    code = os.waitstatus_to_exitcode(program.exit_status)
    reaped = program.reaped()
    user_s, system_s = reaped.user_s, reaped.system_s
    last = host.last_use if host is not None else None
    if last is not None:  # with what still lives: daemons that outlast the program
        user_s = max(user_s, last.cpu_user_s or 0)
        system_s = max(system_s, last.cpu_system_s or 0)
    return run._replace(
        ended_at_s=program.ended_s,
        wall_s=program.ended_uptime_s - program.started_uptime_s,
        exit_code=None if code < 0 else code,
        signal=-code if code < 0 else None,
        cpu_user_s=user_s,
        cpu_system_s=system_s,
        memory_peak_bytes=reaped.peak_bytes,
        monitor_cpu_s=(time.process_time() if read_cpu_s is None else read_cpu_s)
        + program.helpers_cpu_s,
        monitor_cpu_before_s=program.own_cpu_before_s,
        monitor_memory_bytes=memory_bytes(),
    )


def of_job(title: str, job: Job | None, hosts: tuple[str, ...], settings: Settings) -> store.Run:
    """Return the run of watching a job, or hosts, from now on."""
    now_s = time.time()
    name = (job.name if job is not None else None) or title
    return store.Run(
        id=store.new_id(name, now_s),
        name=name,
        kind="job",
        argv=[],
        cwd=(job.working_directory if job is not None else None) or "",
        user=(job.owner if job is not None else None) or login_name(os.getuid()),
        hosts=list(hosts),
        started_at_s=now_s,
        interval_s=settings.interval_s,
        hpcwatch_version=__version__,
        monitor_pid=os.getpid(),
        monitor_host=os.uname().nodename,
        environment={},
        job=job,
    )


def job_ended(run: store.Run, job: Job | None) -> store.Run:
    """Return the run with the scheduler's answer about its job's end."""
    ending = job.exit if job is not None else None
    return run._replace(
        job=job,
        exit_code=ending.code if ending is not None else None,
        signal=ending.signal if ending is not None else None,
    )


def program_name(argv: list[str]) -> str:
    """Name a run after its program: the script's name where an interpreter runs one."""
    name = os.path.basename(argv[0]) or "run"
    if not name.startswith(("python", "bash", "sh", "Rscript", "julia", "perl")):
        return name
    for position, word in enumerate(argv[1:], 2):
        if word == "-c":
            return name
        if word == "-m" and position < len(argv):
            return argv[position]
        if not word.startswith("-"):
            return os.path.splitext(os.path.basename(word))[0] or name
    return name


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed meanwhile
        return "(removed)"


def memory_bytes() -> int | None:
    """Return the monitor's own PSS in bytes."""
    try:
        return parse_table(read("/proc/self/smaps_rollup")).get(b"Pss")
    except OSError:
        return None
