"""What a full sample holds beyond the job's processes: the machine, GPUs, strangers, exporters.

It is imported at the first full reading, which a short program ends before.
"""

from .procfs import tried
from .procs import ProcessTable
from .schema import Exported, Gpu, JobUse, Node, Stranger
from .typed import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from .exporters import Exporters
    from .home import Home, HomeReader
    from .node import NodeReader
    from .node_gpus import NodeGpus
    from .strangers import Strangers

_CERTAIN = ("cgroup", "shepherd", "environment")
"""The way of finding that is reported if no other process on the node is the job's."""


class NodeWide:
    """Reads the node as a whole. Each reader may fail alone, with its reason in ``errors``."""

    def __init__(
        self,
        table: ProcessTable,
        root_pid: Optional[int],
        exporter_ports: Sequence[int],
        job_ids: Sequence[str],
    ) -> None:
        self._table, self._root_pid = table, root_pid
        self._exporter_ports, self._job_ids = exporter_ports, job_ids
        self._is_homeless = False
        self._exporters: Optional[Exporters] = None
        self._gpus: Optional[NodeGpus] = None
        self._home: Optional[HomeReader] = None
        self._node: Optional[NodeReader] = None
        self._strangers: Optional[Strangers] = None

    def read_node(self, errors: Dict[str, str]) -> Optional[Node]:
        """Return the machine's figures, with those of the file system that holds the home."""
        # No psutil for this Python, a broken /proc: the rest continues.
        node = tried("node", errors, lambda: self._read_machine(errors))
        home = None if node is None else tried("home", errors, lambda: self._read_home(errors))
        return node if node is None or home is None else node._replace(**home._asdict())

    def _read_machine(self, errors: Dict[str, str]) -> Node:
        if self._node is None:
            from .node import NodeReader

            self._node = NodeReader()
        return self._node.read(errors)

    def _read_home(self, errors: Dict[str, str]) -> "Optional[Home]":
        """Read the file system that holds the home; the job's first process shows where it is."""
        if self._home is None and not self._is_homeless:
            owner_id = self._table.members.owner_id
            known = () if owner_id is None else self._table.tracked
            pid = self._root_pid or next(iter(known), None)
            if pid is not None:
                from .home import reader_of

                self._home = reader_of(pid, owner_id)
                self._is_homeless = self._home is None  # not repeated: it may be expensive
        return None if self._home is None else self._home.read(errors)

    def read_strangers(
        self, node: Optional[Node], job: Optional[JobUse], at_s: float, errors: Dict[str, str]
    ) -> Optional[List[Stranger]]:
        """Name other busy processes, if it is certain which processes are the job's."""
        if node is None or job is None or job.found_by not in _CERTAIN:
            return None
        machine, use = node, job

        def named() -> Optional[List[Stranger]]:
            if self._strangers is None:
                from .strangers import Strangers

                self._strangers = Strangers(self._table.members.owner_id)
            return self._strangers.read(at_s, machine, use, self._table, errors)

        return tried("strangers", errors, named)

    def read_gpus(self, errors: Dict[str, str]) -> Optional[List[Gpu]]:
        """Return the devices; None if they are unknown."""

        def gpus() -> Optional[List[Gpu]]:
            if self._gpus is None:
                from .node_gpus import NodeGpus

                self._gpus = NodeGpus()
            return self._gpus.read(errors)

        return tried("gpu", errors, gpus)

    def described(
        self, job: Optional[JobUse], gpus: Optional[List[Gpu]], errors: Dict[str, str]
    ) -> Optional[JobUse]:
        """Add to the job's use which devices it may see, and whether it ever opened one."""
        if job is None or gpus is None or self._gpus is None:
            return job
        use, devices = job, self._gpus
        return tried("gpu use", errors, lambda: devices.described(use, self._table.tracked)) or job

    def read_exporters(
        self, gpus: Optional[List[Gpu]], uptime_s: float, errors: Dict[str, str]
    ) -> Tuple[Optional[Exported], Optional[List[Gpu]]]:
        """Return what exporters published since the last sample, and the devices with the rest."""
        if not self._exporter_ports:
            return None, gpus

        def published() -> Tuple[Optional[Exported], Optional[List[Gpu]]]:
            if self._exporters is None:
                from .exporters import Exporters

                self._exporters = Exporters(self._exporter_ports, self._job_ids)
            return self._exporters.read(uptime_s, gpus, errors)

        both = tried("exporters", errors, published)
        if both is None:
            self._exporter_ports = ()  # no thread can be started, say: nothing else will do
            return None, gpus
        return both

    def finish(self) -> None:
        """Make the next reading, which is the last one, include what is read seldom."""
        if self._exporters is not None:
            self._exporters.hurry()
        if self._gpus is not None:
            self._gpus.finish()
        if self._exporters is not None:
            self._exporters.finish()

    def close(self) -> None:
        """End the threads and close the descriptors."""
        if self._gpus is not None:
            self._gpus.close()
        if self._exporters is not None:
            self._exporters.close()
