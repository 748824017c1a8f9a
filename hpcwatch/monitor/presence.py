"""Whether anything of a job is left on its nodes. Pure."""

from __future__ import annotations

from hpcwatch.probe.schema import Sample


class Presence:
    """Tells when nothing of a job runs any more, which its scheduler says only when asked.

    A node that is lost counts as empty: steps that Slurm ends with the job go away like that.
    """

    def __init__(self) -> None:
        self._busy: set[str] = set()
        self._was_busy = False

    @property
    def is_gone(self) -> bool:
        """True if processes of the job were seen, and none is there now."""
        return self._was_busy and not self._busy

    def saw(self, sample: Sample) -> bool:
        """Take a sample; True if the job is gone with it."""
        if sample.job is None:
            return False
        if sample.job.process_count == 0:
            return self.lost(sample.host)
        self._busy.add(sample.host)
        self._was_busy = True
        return False

    def lost(self, host: str) -> bool:
        """Take a node's loss; True if the job is gone with it."""
        was_gone = self.is_gone
        self._busy.discard(host)
        return self.is_gone and not was_gone
