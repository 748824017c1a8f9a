"""The job's other nodes during `hpcwatch run`: starts the process that reads them."""

from __future__ import annotations

import os
import threading
from typing import Protocol

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.launch.program import Program
from hpcwatch.monitor import other_nodes_process
from hpcwatch.probe.schema import Sample, from_line
from hpcwatch.recording.store import Event


class Taker(Protocol):
    """The receiver of the other nodes' samples."""

    def arrived_elsewhere(self, sample: Sample) -> None:
        """Receive a sample of another node."""

    def mark(self, event: Event) -> None:
        """Receive the event that a node was lost or found."""


class Neighbours:
    """The process that reads the other nodes, and the thread that reads its output."""

    def __init__(self, hosts: tuple[str, ...], to_helper: int, from_helper: int) -> None:
        self.hosts = hosts
        self._to_helper = to_helper
        self._from_helper = from_helper

    @classmethod
    def start(
        cls, program: Program, job: Job, interval_s: float, taker: Taker
    ) -> Neighbours | None:
        """Start reading them; return None if there are none. Raises OSError."""
        hosts = other_nodes_process.wanted(job, os.environ)
        if not hosts:
            return None
        made = cls(hosts, *program.start_helper(other_nodes_process.ARGV))
        os.write(made._to_helper, other_nodes_process.request(job, interval_s))
        threading.Thread(
            target=made._read, args=(taker,), name="hpcwatch-neighbours", daemon=True
        ).start()
        return made

    def _read(self, taker: Taker) -> None:
        with open(self._from_helper, "rb") as stream:
            for line in stream:
                try:
                    event = other_nodes_process.event_of(line)
                    if event is not None:
                        taker.mark(event)
                    else:
                        taker.arrived_elsewhere(from_line(line.decode("utf-8", "replace")))
                except (ValueError, KeyError, TypeError):
                    continue  # not a line of ours

    def stop(self) -> None:
        """End the process: its input ends."""
        os.close(self._to_helper)
