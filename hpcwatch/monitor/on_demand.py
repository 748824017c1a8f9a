"""What nodes are asked for on demand, and what they answered: more processes, output files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpcwatch.monitor.further import Further, FurtherProcesses
from hpcwatch.monitor.job_output import JobOutput, LogText
from hpcwatch.monitor.node_logs import NodeLogs
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.wish import NOTHING, Wish


class OnDemand:
    """The wishes to a job's nodes. Its caller sees to it that one thread at a time is in here."""

    def __init__(self, ask: Callable[[Mapping[str, Wish]], None]) -> None:
        """``ask`` tells the nodes their wishes, by host; the other nodes have none."""
        self._ask = ask
        self._further = FurtherProcesses()
        self._node_logs = NodeLogs()
        self._output: JobOutput | None = None
        self._is_log_shown = False

    @property
    def hosts(self) -> frozenset[str]:
        """The nodes that are asked for all of the job's processes."""
        return self._further.hosts

    @property
    def further(self) -> Mapping[str, Further]:
        """What each of them last answered."""
        return self._further.by_host

    @property
    def logs(self) -> tuple[LogText, ...]:
        """The job's output files, as they are read here or on the first node."""
        texts = self._output.texts if self._output is not None else ()
        return tuple(self._node_logs.with_node(text) for text in texts)

    def begin(self, output: JobOutput, host: str) -> None:
        """Read the job's output files from now on; ``host`` has those that cannot be read here."""
        self._node_logs.host = host
        self._output = output
        output.start()

    def stop(self) -> None:
        """Stop reading output files here."""
        if self._output is not None:
            self._output.stop()

    def name_all(self, hosts: frozenset[str]) -> None:
        """Ask these nodes for all of the job's processes from now on, and no others."""
        self._further.ask(hosts)
        self.tell()

    def follow_log(self, is_shown: bool) -> None:
        """Read output files on the job's first node while they are shown and not readable here."""
        self._is_log_shown = is_shown
        self.tell()

    def take(self, sample: Sample) -> Sample:
        """Keep a sample's answers; return the sample without them."""
        sample = self._node_logs.take(self._further.take(sample))
        if self._is_log_shown and self._unread() != self._node_logs.wanted:
            self.tell()
        return sample

    def tell(self) -> None:
        """Tell the nodes what is read on demand."""
        logs = self._unread() if self._is_log_shown else {}
        self._node_logs.ask(logs)
        wishes = {host: Wish(is_every_process=True) for host in self._further.hosts}
        if logs and self._node_logs.host is not None:
            host = self._node_logs.host
            wishes[host] = wishes.get(host, NOTHING)._replace(logs=logs)
        self._ask(wishes)

    def _unread(self) -> dict[str, str]:
        return self._output.unread() if self._output is not None else {}
