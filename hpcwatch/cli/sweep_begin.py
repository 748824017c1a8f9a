"""Begins `hpcwatch sweep`: a new sweep's plan, or an earlier sweep made ready to go on."""

from __future__ import annotations

import argparse
import os

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.base.output import complain
from hpcwatch.base.units import format_seconds
from hpcwatch.cli import sweep_options
from hpcwatch.cluster.current_job import own_job
from hpcwatch.sweep import folders, node, plan, resume
from hpcwatch.sweep.attempts import Attempts, is_unknown


def created(options: argparse.Namespace) -> folders.Found:
    """Write the plan of a new sweep. Raises HpcwatchError."""
    made = sweep_options.wanted(options)
    job = own_job()
    wanted = made.plan._replace(job_id=job.id if job is not None else None)
    folder = folders.create(wanted.id)
    plan.write(folder, wanted, made.tasks)
    return folders.Found(folder, wanted)


def resumed(options: argparse.Namespace) -> folders.Found:
    """Return the sweep to resume. Raises HpcwatchError if the options describe another one."""
    name = options.name
    if name is None and options.command:
        name = sweep_options.wanted(options, 0).plan.name
    found = folders.latest(name)
    if options.command:
        wanted = sweep_options.wanted(options, found.plan.seed)
        tasks = plan.read_tasks(found.folder)
        differs = plan.differences(found.plan, tasks, wanted.plan, wanted.tasks)
        if differs:
            hint = "give the same options, or start a new sweep without --resume"
            raise HpcwatchError(f"sweep {found.plan.id} differs: {differs}", hint, EXIT_USAGE)
    elif options.parameter or options.table or options.random:
        hint = "give the command as well, or only --resume"
        raise HpcwatchError("parameters without a command", hint, EXIT_USAGE)
    return found


def clear_up(found: folders.Found, options: argparse.Namespace) -> None:
    """End what a dead driver left running, so that nothing runs twice. Raises HpcwatchError."""
    silent = []
    if os.path.exists(os.path.join(found.folder, node.HOSTS_FILE)):
        node.write_environment(found.folder, os.environ)
        silent = resume.end_orphans(found.folder, node.read_hosts(found.folder))
        for one in silent:
            what = f"what still runs on {one.host} of task {', '.join(map(str, one.tasks))}"
            complain(f"hpcwatch: cannot ask {clean(what)}: {clean(one.trouble)}")
    if options.resume_failed:
        resume.forget_failures(found.folder)
    if options.resume_failed or options.rerun_unknown:
        hosts = {one.host for one in silent} | _hosts_of_elements(found.folder)
        _begin_unknown_anew(found, sorted(hosts))


def _hosts_of_elements(folder: str) -> set[str]:
    """Return where tasks of a job array may still run: such a host is not asked."""
    last = [some[-1] for some in Attempts(folder).all().values() if is_unknown(some)]
    return {one.started.host for one in last if one.started.submission is not None}


def _begin_unknown_anew(found: folders.Found, silent: list[str]) -> None:
    if silent:
        wait = f"up to {format_seconds(found.plan.lease_s)}"
        complain(f"hpcwatch: waiting {wait} for tasks that may still run there")
    try:
        resume.begin_unknown_anew(found.folder, found.plan.lease_s, silent)
    except OSError as error:
        raise HpcwatchError(f"cannot write in {found.folder}", os_reason(error)) from None
