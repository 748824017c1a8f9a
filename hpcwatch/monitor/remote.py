"""Reads many nodes at once: each has a long-lived probe that is started, watched and restarted.

No node waits for another: each has a thread of its own, which sleeps until its probe writes. What
many nodes write is handled in rounds (see ``rounds``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport import ConnectError, Link, Trouble
from hpcwatch.cluster.transport.intake import Intake, Names
from hpcwatch.cluster.transport.ways import Opened
from hpcwatch.monitor import rounds
from hpcwatch.monitor.node_status import LATE_INTERVALS, NodeState, NodeStatus, late_after_s
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.spec import SILENCE_S, Spec
from hpcwatch.probe.wish import NOTHING, Wish, to_message

ALIVE_S = SILENCE_S / 4
"""Seconds between messages that tell a probe that it is still needed."""
SILENT_S = 60.0
"""A probe without a sample for this time is abandoned, whatever else it writes."""
_FIRST_RETRY_S = 2.0
_LAST_RETRY_S = 60.0


class Opener(Protocol):
    """Starts probes on nodes."""

    def open(self, host: str, spec: Spec) -> Opened:
        """Start a probe. Raises ConnectError."""

    def close(self) -> None:
        """Close shared connections."""


Arrived = Callable[[Sample], None]
Changed = Callable[[NodeStatus], None]


def spec_of(
    jobs: Sequence[Job],
    interval_s: float,
    user: str | None = None,
    exporter_ports: Sequence[int] = (),
) -> Spec:
    """Return what a probe reads: the processes of a job's parts, or all processes without a job.

    ``user`` is the user whose processes to read, if that is not the job's owner;
    ``exporter_ports`` are asked on the node for what is published there.
    """
    ports = list(exporter_ports)
    if not jobs:
        return Spec(interval_s=interval_s, is_everyone=True, exporter_ports=ports)
    job = jobs[0]
    # If a job's start is unknown, existing files may belong to anything.
    started_at_s = time.time() if job.started_at_s is None else job.started_at_s
    return Spec(
        interval_s=interval_s,
        scheduler=job.scheduler,
        job_ids=list(dict.fromkeys(name for part in jobs for name in names_on_nodes(part))),
        user=user or job.owner,
        started_at_s=started_at_s,
        exporter_ports=ports,
    )


def names_on_nodes(job: Job) -> tuple[str, ...]:
    """Return the job's ids on its nodes.

    A task of an array may have a number of its own there (Slurm): the array's is another task's.
    PBS names a job with its server or without.
    """
    name = job.raw_id or job.id
    return tuple(dict.fromkeys((name, name.partition(".")[0])))


class JobSession:
    """The nodes of a job, read until ``stop``."""

    def __init__(
        self,
        hosts: Iterable[str],
        spec: Spec,
        opener: Opener,
        arrived: Arrived,
        changed: Changed,
    ) -> None:
        """``arrived`` is called with each sample, ``changed`` with each change of a node's state.

        Both are called on the nodes' threads, several at a time.
        """
        self._opener = opener
        names = list(hosts)
        shared = rounds.of_nodes(len(names), spec.interval_s)
        self._nodes = [_Node(host, spec, opener, arrived, changed, shared) for host in names]

    def start(self) -> None:
        """Start connecting to all nodes."""
        for node in self._nodes:
            node.start()

    def stop(self, patience_s: float = 3.0) -> None:
        """End all probes. Connections that hang are abandoned."""
        for node in self._nodes:
            node.stop()
        self._opener.close()  # that wakes those that wait for a probe's greeting
        deadline_s = time.monotonic() + patience_s
        for node in self._nodes:
            node.join(max(deadline_s - time.monotonic(), 0.0))

    def retry(self) -> None:
        """Try lost nodes again now."""
        for node in self._nodes:
            node.retry()

    def ask(self, wishes: Mapping[str, Wish]) -> None:
        """Ask these nodes for more, and the others for nothing.

        Each is asked when its next sample arrives, and again after a reconnection.
        """
        for node in self._nodes:
            node.wish = wishes.get(node.host, NOTHING)

    def statuses(self) -> tuple[NodeStatus, ...]:
        """Return the status of each node, in the given order."""
        now_s = time.monotonic()
        return tuple(node.status(now_s) for node in self._nodes)


class _Node:
    """One node's thread: connect, read, and reconnect after a while."""

    def __init__(
        self,
        host: str,
        spec: Spec,
        opener: Opener,
        arrived: Arrived,
        changed: Changed,
        shared: rounds.Rounds | None,
    ) -> None:
        self.host = host
        self.wish = NOTHING
        self._spec = spec
        self._opener = opener
        self._arrived = arrived
        self._changed = changed
        self._rounds = shared
        self._status = NodeStatus(host, NodeState.CONNECTING, time.monotonic())
        self._wake = threading.Event()
        self._is_stopping = False
        self._link: Link | None = None
        self._failures = 0
        self._read_s = 0.0
        """``time.monotonic`` of the last reading, or of the connection."""
        self._names = Names()
        self._thread = threading.Thread(target=self._run, name=f"hpcwatch-{host}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping = True
        self._wake.set()
        link = self._link
        if link is not None:
            link.close()

    def join(self, patience_s: float) -> None:
        self._thread.join(patience_s)

    def retry(self) -> None:
        self._failures = 0
        self._wake.set()

    def status(self, now_s: float) -> NodeStatus:
        """Return the state; a live node whose sample is late is stale."""
        status = self._status
        if status.state is not NodeState.LIVE or status.last_at_s is None:
            return status
        age_s = now_s - status.last_at_s
        if age_s <= late_after_s(self._spec.interval_s):
            return status
        return status._replace(
            state=NodeState.STALE, since_s=status.last_at_s, reason="its readings are late"
        )

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                self._watch_once()
                trouble, reason = Trouble.BROKEN, "the probe ended"
            except ConnectError as error:
                trouble, reason = error.trouble, str(error)
            except HpcwatchError as error:
                trouble, reason = Trouble.PROBE, str(error)
            except Exception as error:  # a bug of ours costs one node's readings, no more
                trouble, reason = Trouble.PROBE, f"{type(error).__name__}: {error}"
            if not self._is_stopping:
                self._pause(trouble, reason)

    def _pause(self, trouble: Trouble, reason: str) -> None:
        """Stay lost for a while; twice as long after each failure."""
        wait_s = min(_FIRST_RETRY_S * 2**self._failures, _LAST_RETRY_S)
        self._failures = min(self._failures + 1, 16)
        due_s = None if trouble.needs_user else time.monotonic() + wait_s
        self._tell(NodeState.LOST, reason, due_s)
        self._wake.wait(None if due_s is None else wait_s)
        self._wake.clear()

    def _tell(self, state: NodeState, reason: str = "", retry_at_s: float | None = None) -> None:
        before = self._status
        since_s = before.since_s if before.state is state else time.monotonic()
        self._status = before._replace(
            state=state, since_s=since_s, reason=reason, retry_at_s=retry_at_s
        )
        self._changed(self._status)

    def _watch_once(self) -> None:
        """Connect and read until the connection ends. Raises ConnectError."""
        self._tell(NodeState.CONNECTING)
        opened = self._opener.open(self.host, self._spec)
        self._link = opened.link
        try:
            if not self._is_stopping:
                self._read(opened)
        finally:
            self._link = None
            opened.link.close()

    def _read(self, opened: Opened) -> None:
        link, intake = opened.link, Intake(self._spec.interval_s, self._names)
        data = opened.rest
        told_s = self._read_s = time.monotonic()
        wish = NOTHING
        while not self._is_stopping:
            self._take_in(intake, data, opened.way)
            now_s = time.monotonic()
            silent_s = now_s - self._read_s
            if silent_s > max(SILENT_S, LATE_INTERVALS * self._spec.interval_s):
                raise ConnectError(Trouble.BROKEN, f"no reading for {silent_s:.0f} s")
            # Before its first sample a probe takes what it hears for a sign of life.
            if self._status.state is NodeState.LIVE and self.wish != wish:
                wish = self.wish
                link.send(to_message(wish))
                told_s = now_s
            if now_s - told_s >= ALIVE_S:
                link.send(b"\n")
                told_s = now_s
            try:
                data = link.receive(min(ALIVE_S, max(intake.left_s, 0.0)))
            except TimeoutError:
                data = b""
                continue
            if not data:
                raise ConnectError(Trouble.BROKEN, link.complaint() or "the probe ended")

    def _take_in(self, intake: Intake, data: bytes, way: str) -> None:
        """Pass on what has arrived; not before the next round if it is one reading of many.

        A node's first reading waits for nothing. Raises ConnectError.
        """
        if self._rounds is None or b"\n" not in data or self._status.state is not NodeState.LIVE:
            self._take(intake, data, way)
        else:
            self._rounds.do(partial(self._take, intake, data, way))

    def _take(self, intake: Intake, data: bytes, way: str) -> None:
        for sample in intake.take(data):
            self._pass_on(sample, way)
            self._read_s = time.monotonic()

    def _pass_on(self, sample: Sample, way: str) -> None:
        self._status = self._status._replace(way=way, last_at_s=time.monotonic())
        if self._status.state is not NodeState.LIVE:
            self._failures = 0
            self._tell(NodeState.LIVE)
        # Nodes of a job are identified by the scheduler's name, not by their own.
        self._arrived(sample._replace(host=self.host))
