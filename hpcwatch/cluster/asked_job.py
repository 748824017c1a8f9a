"""Queries the scheduler once about the job of `hpcwatch run`, in a separate process.

Inside of a job, the environment holds neither memory nor walltime of PBS, nor the words of a
request. A child of the monitor runs the scheduler's commands, so that they are not children of the
program. It reads the job from its standard input, writes it to its standard output, and ends when
its input does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster import client, job_script
from hpcwatch.cluster.schedulers import scheduler
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Query
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain

TIMEOUT_S = 20.0

_TOLD_FIELDS = """
    name queue account owner cores_count node_cores_count gpus_count memory_bytes
    node_memory_bytes walltime_s nodes_count vmem_bytes pmem_bytes pvmem_bytes started_at_s
    submitted_at_s working_directory submit_arguments requested script_lines
    script_hash
"""
_TOLD = tuple(_TOLD_FIELDS.split())


def merged(own: Job, told: Job, host: str) -> Job:
    """Return the job with the scheduler's values added where the environment has none.

    The environment's values for this host are kept. ``told`` is the job as seen from outside.
    """
    seen = told.seen_from(host)
    missing = {
        name: getattr(seen, name)
        for name in _TOLD
        if getattr(own, name) in (None, ()) and getattr(seen, name) is not None
    }
    job = own._replace(**missing)
    if not any(node.memory_bytes or node.cores_count for node in own.allocation):
        indices = {node.host: node for node in own.allocation}
        shares = (
            node._replace(
                gpus_count=indices[node.host].gpus_count, gpu_indices=indices[node.host].gpu_indices
            )
            if node.host in indices
            else node
            for node in told.allocation
        )
        job = job._replace(allocation=tuple(shares) or own.allocation)
    return job


def asked(job: Job) -> Job:
    """Return the job with the scheduler's answer added. Raises HpcwatchError."""
    dialect = scheduler(job.scheduler)
    ask = client.Asker(lambda argv: client.run(argv, TIMEOUT_S))
    answer = ask(dialect.job(dialect.clean_id(job.id))).value
    told = next((one for one in answer if one.id == job.id or one.is_called(job.id)), None)
    if told is None:
        raise HpcwatchError(f"{job.scheduler} knows no job {job.id}")
    told = _with_line(told, ask, dialect.submit_line(told))
    return merged(job, job_script.with_script(told), os.uname().nodename)


def _with_line(told: Job, ask: client.Asker, query: Query[tuple[Job, ...]] | None) -> Job:
    """Add how the job was submitted, if another command reports that."""
    if query is None:
        return told
    try:
        known = ask(query).value
    except HpcwatchError:
        return told
    lines = [one.submit_arguments for one in known if one.id == told.id and one.submit_arguments]
    return told._replace(submit_arguments=lines[0]) if lines else told


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)  # a command that still runs is ended with its children


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        job = build(Job, json.loads(sys.stdin.buffer.readline()), odd=[])
        threading.Thread(target=_end_with_input, daemon=True).start()
        plain: dict[str, Any]
        try:
            plain = {"job": to_plain(asked(job))}
        except HpcwatchError as error:
            plain = {"trouble": str(error)}
        os.write(1, json.dumps(plain).encode())
    except KeyboardInterrupt:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
