"""What one rank of an MPI program says under ``mpirun hpcwatch run -- PROGRAM``.

Each rank has a monitor of its own. Rank 0 prints its report, every other rank a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hpcwatch.analysis.report import Report
from hpcwatch.base.units import format_bytes, format_cores
from hpcwatch.cluster.current_job import is_one_of_many
from hpcwatch.views.report.ending import ending_and_time

_COUNTS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


class Rank(NamedTuple):
    """Which of the ranks this process is."""

    number: int
    size: int | None
    """None if the launcher does not tell."""

    @property
    def words(self) -> str:
        """``rank 2 of 4``."""
        return f"rank {self.number}" + (f" of {self.size}" if self.size else "")


def own_rank(environment: Mapping[str, str], names: tuple[str, ...]) -> Rank | None:
    """Return the rank that a variable of these names tells; None if this is the only process.

    Tasks of GNU parallel are programs of their own.
    """
    number = _first(environment, names)
    if number is None or "PARALLEL_SEQ" in environment or not is_one_of_many(environment):
        return None
    return Rank(number, _first(environment, _COUNTS))


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        text = environment.get(name, "")
        if text.isascii() and text.isdecimal() and len(text) < 10:
            return int(text)
    return None


def line(report: Report, rank: Rank, named: str) -> str:
    """Return a rank's summary in a line; ``named`` is what `hpcwatch report` takes for it."""
    summary = report.summary
    cores, peak = format_cores(summary.cores_used_mean), format_bytes(summary.memory_peak_bytes)
    again = f", hpcwatch report {named}" if named else ""
    said = ending_and_time(report)
    return (
        f"hpcwatch: {rank.words} on {report.run.hosts[0]}: {said}; {cores} cores, {peak}{again}\n"
    )


def advice(rank: Rank) -> str:
    """Return what rank 0 says besides its report."""
    return (
        f"This is {rank.words}; the others say a line each. One report of all ranks on this node:"
        " hpcwatch run -- mpirun ...\n"
    )
