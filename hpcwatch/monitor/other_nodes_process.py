"""The other nodes of the job that `hpcwatch run` is in, read by a process of their own.

Connections need memory, threads and libraries that the program's monitor should not load, and
children such as ssh must not be counted as the program's. The process reads a job from its standard
input, writes samples to its standard output, and ends at the end of its input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping

from hpcwatch import config
from hpcwatch.cluster.current_job import is_in_step, is_one_of_many
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport.ways import own_hosts, slurm_steps, suitable, ways
from hpcwatch.launch import own_python
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.remote import JobSession, spec_of
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain
from hpcwatch.probe.schema import Sample, to_line
from hpcwatch.recording.store import Event

ARGV = own_python.argv("hpcwatch.monitor.other_nodes_process")


def wanted(job: Job | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the job's other nodes, none if we are one of many tasks or steps on them.

    Each of them would watch all the nodes of all the others.
    """
    if job is None or is_one_of_many(environment) or is_in_step(environment):
        return ()
    ours = own_hosts()
    return tuple(
        node for node in job.nodes if node not in ours and node.partition(".")[0] not in ours
    )


def request(job: Job, interval_s: float) -> bytes:
    """Return the first line of the process's input."""
    return json.dumps({"job": to_plain(job), "interval_s": interval_s}).encode() + b"\n"


def event_of(line: bytes) -> Event | None:
    """Return the event in a line; None if the line holds a sample."""
    if not line.startswith(b'{"event"'):
        return None
    plain = json.loads(line)
    return Event(plain["at_s"], plain["event"], plain["fields"])


class _Output:
    """Standard output, a whole line at a time. Without a reader the process has nothing to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def sample(self, sample: Sample) -> None:
        self._write(to_line(sample))

    def status(self, status: NodeStatus) -> None:
        import time

        if status.state is NodeState.CONNECTING:
            return
        is_lost = status.state is NodeState.LOST
        plain = {
            "event": "node lost" if is_lost else "node found",
            "at_s": time.time(),
            "fields": {"host": status.host, "reason": status.reason if is_lost else status.way},
        }
        self._write(json.dumps(plain))

    def _write(self, line: str) -> None:
        data = line.encode() + b"\n"
        try:
            with self._lock:
                while data:
                    data = data[os.write(1, data) :]
        except OSError:
            os._exit(0)


def main() -> None:
    """Read nodes until standard input ends."""
    plain = json.loads(sys.stdin.buffer.readline())
    job = build(Job, plain["job"], odd=[])
    output = _Output()
    settings = config.load_or_default()
    spec = spec_of([job], plain["interval_s"], exporter_ports=settings.exporter_ports)
    transport = suitable(settings.transport, job.scheduler)
    job_id = job.het_id or job.raw_id or job.id
    opener = ways(job.scheduler, job_id, transport, settings.ssh, slurm_steps([job]))
    session = JobSession(wanted(job, {}), spec, opener, output.sample, output.status)
    session.start()
    while sys.stdin.buffer.read(4096):
        pass
    session.stop(patience_s=1.0)
    os._exit(0)


if __name__ == "__main__":
    main()
