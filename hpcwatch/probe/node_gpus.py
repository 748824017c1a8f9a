"""The GPUs of a node, and what the job's processes do with them."""

from .gpu import GpuReader
from .members import Tracked
from .schema import Gpu, JobUse
from .typed import TYPE_CHECKING, Dict, List, Mapping, Optional

if TYPE_CHECKING:
    from .gpu_job import GpuJob


class NodeGpus:
    """Reads all devices, and which of them the job may see and has opened."""

    def __init__(self) -> None:
        self._reader = GpuReader()
        self._job: Optional[GpuJob] = None
        self._is_without = False

    def read(self, errors: Dict[str, str]) -> Optional[List[Gpu]]:
        """Return the devices; None if they are unknown, for which ``errors`` has the reason."""
        gpus = self._reader.read(errors)
        if gpus is None or not self._has_any(gpus):
            return gpus
        assert self._job is not None
        return self._job.told_apart(gpus) or self._job.drm_gpus()

    def _has_any(self, gpus: List[Gpu]) -> bool:
        """Return False on a node without any GPU, where nothing more is loaded for them."""
        if self._job is None and not self._is_without:
            from .gpu_presence import has_render_node

            self._is_without = not gpus and not has_render_node()
            if not self._is_without:
                from .gpu_job import GpuJob

                self._job = GpuJob()
        return self._job is not None

    def described(self, job: JobUse, tracked: Mapping[int, Tracked]) -> JobUse:
        """Return the job's use with the devices that it may see, and whether it ever opened one."""
        return job if self._job is None else job._replace(**self._job.traits(tracked)._asdict())

    def finish(self) -> None:
        """Make the next reading, which is the last one, complete."""
        self._reader.finish()

    def close(self) -> None:
        """End the threads that ask the drivers."""
        self._reader.close()
